"""Insertion and deletion: how fast the class comes or goes with the most important pixels.

V. Petsiuk, A. Das, K. Saenko: RISE: Randomized Input Sampling for Explanation of Black-box Models, BMVC 2018. The paper
exchanges 224 pixels a step at 224×224, inserts into a blur and deletes to the mean colour; here step, in-fill and score
are settings. The published code has a kernel of 11 pixels for its blur of deviation 5, which cuts the Gaussian off.
"""

from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor

from explainer.errors import InputError
from explainer.infill import Blur, Infill
from explainer.metrics.base import Fill, Judged, Measured, OneLabelMetric, Score


def ranks(maps: Tensor) -> Tensor:
    """Rank the pixels by importance, 0 the most important; ties are broken as if by chance.

    Args:
        maps: Maps (B, 1, H, W), higher is more important.

    Returns:
        Ranks (B, 1, H, W) long, a permutation of 0 … HW - 1 each, the same one for the same map.

    Example:
        >>> ranks(torch.tensor([[0.1, 0.9], [0.5, 0.3]])[None, None]).flatten().tolist()
        [3, 0, 1, 2]
    """
    flat = maps.flatten(1)
    # A stable sort leaves ties in their order. In the image's own order a plateau would be taken from the top left;
    # in a shuffled order it is not.
    generator = torch.Generator().manual_seed(0)
    shuffled = torch.randperm(flat.shape[1], generator=generator).to(maps.device)
    sorted_places = flat[:, shuffled].argsort(dim=1, descending=True, stable=True)
    order = shuffled[sorted_places]
    # the inverse of the permutation: from a pixel to its rank
    rank = torch.arange(flat.shape[1], device=maps.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, rank).view_as(maps)


@torch.no_grad()
def removal_curve(
    maps: Tensor,
    before: Tensor | Fill,
    after: Tensor | Fill,
    probability: Score,
    steps: int = 224,
    batch_size: int = 16,
) -> Tensor:
    """Follow the class's probability while one picture's pixels are exchanged for another's, the most important first.

    Args:
        maps: Maps (B, 1, H, W), higher is more important.
        before: Pictures at first, (B, 3, H, W): the images (deletion), or an infill (insertion).
        after: Pictures at last, (B, 3, H, W). One of the two may be an in-fill, which is asked at every step for what
            it puts where the other's pixels are not shown.
        probability: Score of the class, its probability or another.
        steps: Number of steps, S, of HW / S pixels each, rounded.
        batch_size: Largest number of pictures that go through the classifier at once.

    Returns:
        Scores (B, S + 1).

    Raises:
        ValueError: There are fewer than one step, or more steps than pixels.
    """
    count = len(maps)
    pixels = maps[0].numel()
    if not 1 <= steps <= pixels:
        raise ValueError(f"steps must lie between 1 and the number of pixels {pixels}, got {steps}")
    place = ranks(maps)
    numbers = torch.arange(steps + 1, device=maps.device)
    # rounded one by one, not a step of rounded length: the last step must end at the last pixel
    pixels_changed = (numbers * pixels / steps).round()
    cuts = pixels_changed.view(-1, 1, 1, 1)
    # The pictures of all images and steps are numbered in one row, so that every batch is full.
    scores = []
    length = steps + 1
    total = count * length
    for start in range(0, total, batch_size):
        stop = min(start + batch_size, total)
        parts = []
        position = start
        while position < stop:  # image by image: nothing is copied but what is shown
            image, first = divmod(position, length)
            last = min(length, first + stop - position)
            changed = place[image] < cuts[first:last]
            parts.append(exchanged(before, after, changed, image))
            position += last - first
        pictures = parts[0] if len(parts) == 1 else torch.cat(parts)
        owner = torch.arange(start, stop, device=maps.device) // length
        scores.append(probability(pictures, owner))
    return torch.cat(scores).view(count, length)


def exchanged(before: Tensor | Fill, after: Tensor | Fill, changed: Tensor, owner: int) -> Tensor:
    """Exchange some pixels of one picture for another's.

    Args:
        before: Pictures (B, 3, H, W) whose pixels are seen where nothing is changed; or an in-fill of `after`.
        after: Pictures (B, 3, H, W) whose pixels are seen where `changed`; or an in-fill of `before`.
        changed: Pixels to exchange, (N, 1, H, W) bool.
        owner: Index of the picture among the B.

    Returns:
        Pictures (N, 3, H, W).

    Raises:
        ValueError: Both are in-fills, so there is no image.

    Example:
        >>> changed = torch.tensor([[[[True, False]]]])
        >>> exchanged(torch.zeros(1, 3, 1, 2), lambda x, m: x + 5, changed, 0)[0, 0].tolist()
        [[5.0, 0.0]]
    """
    if isinstance(before, Tensor):
        image = before[owner].expand(len(changed), -1, -1, -1)
        if isinstance(after, Tensor):
            return torch.where(changed, after[owner], image)
        visible = (~changed).to(image)
        infill = after(image, visible)
        return torch.where(changed, infill, image)
    if not isinstance(after, Tensor):
        raise ValueError("one of the two must be images")
    image = after[owner].expand(len(changed), -1, -1, -1)
    visible = changed.to(image)
    infill = before(image, visible)
    return torch.where(changed, image, infill)


def area_under(curve: Tensor) -> Tensor:
    r"""Compute the trapezoidal mean, :math:`\frac{1}{S} \sum_k (p_k + p_{k+1}) / 2`: (B, S + 1) → (B,).

    Example:
        >>> area_under(torch.tensor([[0.0, 0.5, 1.0]])).item()
        0.5
    """
    sums_of_ends = curve[:, 1:] + curve[:, :-1]
    return sums_of_ends.mean(1) / 2


class ExchangeCurve(OneLabelMetric):
    """Base of insertion and deletion: the area under a curve while pixels are exchanged.

    Args:
        steps: Number of steps of the curve, of as many pixels each; fewer where an image has fewer pixels.
        infill: In-fill that the image is exchanged for.
        score: Score of the class: its "probability", which is a sigmoid's for a multi-label classifier, or "log_odds".
        batch_size: Largest number of pictures that go through the classifier at once.

    Raises:
        InputError: Steps or batch size are not positive, or there is no such score.
    """

    paper = "V. Petsiuk et al., BMVC 2018"
    formula = r"\frac{1}{S} \sum_k (p_k + p_{k+1}) / 2"
    range = "[0, 1]; log-odds: unbounded"

    def __init__(
        self,
        steps: int = 224,
        infill: Infill | None = None,
        score: Literal["probability", "log_odds"] = "probability",
        batch_size: int = 32,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if steps < 1 or batch_size < 1:
            raise InputError(f"metric {name}: steps and batch_size must be positive, got {steps} and {batch_size}")
        if score not in ("probability", "log_odds"):
            raise InputError(f"metric {name}: score is 'probability' or 'log_odds', got {score!r}")
        self.steps = steps
        self.infill = infill
        self.score = score
        self.batch_size = batch_size

    @abstractmethod
    def ends(self, image: Tensor, other: Tensor | Fill) -> tuple[Tensor | Fill, Tensor | Fill]:
        """Return what is seen at first, and what at last."""

    def measure_one_label(self, judged: Judged) -> Measured:
        """Exchange the pixels of images with one label, the most important first."""
        other = self._other(judged)
        before, after = self.ends(judged.image, other)
        score = judged.probability if self.score == "probability" else judged.log_odds
        # a step of less than a pixel would show the same picture twice
        steps = min(self.steps, judged.mask[0].numel())
        curve = removal_curve(judged.mask, before, after, score, steps, self.batch_size)
        return Measured(area_under(curve), curve)

    def _other(self, judged: Judged) -> Tensor | Fill:
        """Return what the image is exchanged for: once for all steps unless it depends on what is visible."""
        infill = self.infill
        if infill is None:
            return judged.fill

        def fill(images: Tensor, masks: Tensor | None = None) -> Tensor:
            # seeded anew at each call: the noise must not change from step to step
            generator = torch.Generator(images.device).manual_seed(0)
            return infill(images, masks, generator).expand_as(images)

        return fill if infill.sees_mask else fill(judged.image)


class Insertion(ExchangeCurve):
    """Area under the class's probability while pixels are put into an in-fill, over the images with one label.

    A constant map, like any ties of a map, gives an order by chance, the same one for every image.

    Args:
        steps: Number of steps of the curve, of as many pixels each; the paper's are of 224 pixels at 224×224.
        infill: In-fill that is seen at first; None is the paper's blur of deviation 5.
        score: Score of the class: its "probability", which is a sigmoid's for a multi-label classifier, or "log_odds".
        batch_size: Largest number of pictures that go through the classifier at once.

    Raises:
        InputError: Steps or batch size are not positive, or there is no such score.

    Example:
        >>> Insertion(steps=28).settings
        {'steps': 28, 'infill': {'class': 'Blur', 'sigma': 5.0}, 'score': 'probability'}
    """

    label = "Ins"
    higher_is_better = True
    meaning = "How fast the class appears as pixels are put into an in-fill, the most salient first."

    def __init__(
        self,
        steps: int = 224,
        infill: Infill | None = None,
        score: Literal["probability", "log_odds"] = "probability",
        batch_size: int = 32,
    ) -> None:
        # made here and not when it is used: `settings`, by which stored results are known, names it then
        super().__init__(steps, infill or Blur(5.0), score, batch_size)

    def ends(self, image: Tensor, other: Tensor | Fill) -> tuple[Tensor | Fill, Tensor | Fill]:
        """Go from the in-fill to the image."""
        return other, image


class Deletion(ExchangeCurve):
    """Area under the class's probability while pixels are replaced by an in-fill, over the images with one label.

    A constant map, like any ties of a map, gives an order by chance, the same one for every image.

    Args:
        steps: Number of steps of the curve, of as many pixels each; the paper's are of 224 pixels at 224×224.
        infill: In-fill that is seen at last; None is the evaluation's own, which is the classifier's mean colour, as in
            the paper, unless `evaluation.infill` says otherwise.
        score: Score of the class: its "probability", which is a sigmoid's for a multi-label classifier, or "log_odds".
        batch_size: Largest number of pictures that go through the classifier at once.

    Raises:
        InputError: Steps or batch size are not positive, or there is no such score.

    Example:
        >>> Deletion(score="log_odds").settings
        {'steps': 224, 'infill': None, 'score': 'log_odds'}
    """

    label = "Del"
    higher_is_better = False
    meaning = "How fast the class vanishes as pixels are replaced, the most salient first."

    def ends(self, image: Tensor, other: Tensor | Fill) -> tuple[Tensor | Fill, Tensor | Fill]:
        """Go from the image to the in-fill."""
        return image, other
