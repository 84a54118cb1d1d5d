"""Single deletion: does a map order the parts of a scene as the classifier does?

R. Hesse, S. Schaub-Meyer, S. Roth: FunnyBirds: A Synthetic Vision Dataset for a Part-Based Analysis of Explainable AI
Methods, ICCV 2023 (section 4, single deletion): the rank correlation between the importance that an explanation gives
to each part and the fall of the class's logit when the scene is rendered without that part. No pixel is replaced by
another one, so that no in-fill leads the classifier astray. Departures: their parts are those of one bird and the
background is left out, ours cover the image, the background among them unless `background` is False; they average
over the sum in a part's region for every method, and `reduction` can take the mean, which does not favour large parts.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from explainer.errors import InputError
from explainer.functional.parts import Parts, part_sums
from explainer.metrics.base import ImageMetric, Judged, Logits, Measured, of_one_label, of_some
from explainer.metrics.memory import Memory
from explainer.metrics.rank_correlation import ranks

FEWEST_PARTS = 3
"""Parts below which an order says next to nothing: two are in the right order in half of all cases."""


def logit_falls(image: Tensor, pictures: Tensor, target: int, logits: Logits, batch_size: int = 32) -> Tensor:
    """Measure how far the logit of a class falls without each part.

    Args:
        image: Image (3, H, W) in [0, 1].
        pictures: Pictures (P, 3, H, W) in [0, 1], each without one part.
        target: Index of the class.
        logits: Classifier.
        batch_size: Largest number of pictures that go through the classifier at once.

    Returns:
        Falls (P,) float64; higher is more important, below 0 where the part spoke against the class.

    Example:
        >>> pictures = torch.stack([torch.zeros(3, 2, 2), torch.ones(3, 2, 2)])
        >>> logit_falls(torch.ones(3, 2, 2), pictures, 0, lambda seen: seen.mean((2, 3))).tolist()
        [1.0, 0.0]
    """
    # the whole image goes through the classifier as the others do: a fall is no difference of rounding
    seen = torch.cat([image[None], pictures.to(image)])
    answers = [logits(chunk)[:, target] for chunk in seen.split(batch_size)]
    of_class = torch.cat(answers).double()
    return of_class[0] - of_class[1:]


def attributed(mask: Tensor, regions: Tensor, reduction: Literal["sum", "mean"] = "sum") -> Tensor:
    """Return what a map attributes to each part.

    Args:
        mask: Map (1, H, W).
        regions: Regions (P, H, W) bool.
        reduction: The "sum" over a region, or the "mean" above one and the same pixel of the map.

    Returns:
        Attributions (P,) float64.

    Example:
        >>> regions = torch.tensor([[[True, False, False]], [[False, True, True]]])
        >>> attributed(torch.full((1, 1, 3), 0.1), regions, "mean")
        tensor([0., 0.], dtype=torch.float64)
    """
    if reduction == "sum":
        return part_sums(mask, regions)
    # the order of means is that of the differences from any number, and rounding makes no order of a constant map
    differences = mask.double() - mask.flatten()[0].double()
    return part_sums(differences, regions) / regions.flatten(1).sum(1)


def agreement_in_order(attributions: Tensor, importances: Tensor) -> Tensor:
    r"""Compute Spearman's correlation of what a map gives the parts of an image and what they are worth.

    .. math:: \rho = \frac{\operatorname{cov}(R(a), R(i))}{\sigma_{R(a)} \sigma_{R(i)}}

    Args:
        attributions: Attribution of each part (P,).
        importances: Importance of each part (P,).

    Returns:
        A number in [-1, 1]; higher is better; equal values share their ranks. NaN with fewer than three parts or equal
        importances; 0 where all attributions are equal, since leaving such an image out would flatter a method that
        says nothing.

    Example:
        >>> agreement_in_order(torch.tensor([3.0, 1.0, 2.0]), torch.tensor([0.9, -0.1, 0.2])).item()
        1.0
    """
    a = ranks(attributions[None].double())[0]
    i = ranks(importances[None].double())[0]
    a = a - a.mean()
    i = i - i.mean()
    if len(i) < FEWEST_PARTS or not i.any() or not importances.isfinite().all():
        return i.new_tensor(torch.nan)
    if not a.any():
        return i.new_tensor(0.0)
    squares = (a @ a) * (i @ i)
    correlation = (a @ i) / squares.sqrt()
    # rounding must not take a perfect order beyond 1
    return correlation.clamp(-1, 1)


class PartDeletion(ImageMetric):
    """Mean rank correlation between the parts' share of a map and the fall of the logit without them; higher is better.

    Images with several labels, without known parts, with fewer than three of them, or whose parts are all worth the
    same have no value. The truth of a part depends on the classifier alone.

    Args:
        reduction: Attribution of a part: "sum" of the map over its region, as in the paper, or "mean".
        background: Whether the background is one of the parts.
        batch_size: Largest number of pictures that go through the classifier at once.

    Raises:
        InputError: The batch size is not positive, or there is no such reduction.
    """

    higher_is_better = True
    paper = "R. Hesse et al., ICCV 2023"
    meaning = "Whether the map orders the parts of a scene as the classifier's logit falls without them."
    formula = r"\rho(a, i), a_p = \sum_{x \in p} m_x, i_p = s(x) - s(x_{-p})"
    range = "[-1, 1]"

    def __init__(
        self,
        reduction: Literal["sum", "mean"] = "sum",
        background: bool = True,
        batch_size: int = 32,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise InputError(f"metric PartDeletion: batch_size must be positive, got {batch_size}")
        if reduction not in ("sum", "mean"):
            raise InputError(f"metric PartDeletion: reduction is 'sum' or 'mean', got {reduction!r}")
        self.reduction = reduction
        self.background = background
        self.batch_size = batch_size
        # a place of the batch → falls of its image
        self._falls: dict[int, Memory] = {}

    def measure(self, judged: Judged) -> Measured:
        """Compare the order of the parts; NaN where it is not defined."""
        judged = judged.clean
        if judged.parts is None:
            return Measured(judged.mask.new_full((len(judged.mask),), torch.nan))
        return of_one_label(judged, self._measure)

    def _measure(self, judged: Judged) -> Measured:
        """Measure the images with known parts, all of which have one label."""
        parts: Sequence[Parts | None] = judged.parts or []
        known = [n for n, of_image in enumerate(parts) if of_image is not None]
        index = torch.tensor(known, dtype=torch.long, device=judged.mask.device)
        return of_some(index, judged.mask, lambda indices: Measured(self._values(judged.of(indices))))

    def _values(self, judged: Judged) -> Tensor:
        """Return the correlation of each image, all of which have parts."""
        values = []
        targets = judged.labels.argmax(1).tolist()
        for n, of_image in enumerate(judged.parts or []):
            assert of_image is not None
            parts = of_image if self.background else without_background(of_image)
            if len(parts.names) < FEWEST_PARTS:
                values.append(torch.tensor(torch.nan, dtype=torch.float64, device=judged.mask.device))
                continue
            attributions = attributed(judged.mask[n], parts.regions, self.reduction)
            falls = self._fall(n, judged.image[n], parts.pictures, targets[n], judged.logits)
            values.append(agreement_in_order(attributions, falls))
        return torch.stack(values)

    def _fall(self, place: int, image: Tensor, pictures: Tensor, target: int, logits: Logits) -> Tensor:
        """Return what the class loses without each part, (P,)."""

        def falls(shown: Tensor) -> Tensor:
            return logit_falls(image, shown, target, logits, self.batch_size)

        # the map plays no part in the falls: every method on these images has the same ones
        memory = self._falls.setdefault(place, Memory())
        of_target = torch.tensor(target)
        return memory.of([image, pictures, of_target, falls(pictures[:1])], lambda: falls(pictures))


def without_background(parts: Parts) -> Parts:
    """Leave the background out.

    Args:
        parts: Parts of one picture.

    Example:
        >>> parts = Parts(torch.ones(2, 1, 1, dtype=torch.bool), torch.ones(2, 3, 1, 1), ("object", "background"))
        >>> without_background(parts).names
        ('object',)
    """
    places = [place for place, name in enumerate(parts.names) if name != "background"]
    names = tuple(parts.names[place] for place in places)
    return Parts(parts.regions[places], parts.pictures[places], names)
