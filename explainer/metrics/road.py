"""ROAD: how much more a class suffers when the most salient pixels are removed than when the least salient are.

Y. Rong, T. Leemann, V. Borisov, G. Kasneci, E. Kasneci: A Consistent and Efficient Evaluation Strategy for Attribution
Methods, ICML 2022. The paper draws the accuracy of the classifier after removal in both orders, the most relevant first
(MoRF) and the least relevant first (LeRF), and ranks methods by each; nothing is retrained. Here the score of an image
is the class's probability, not whether the class is the best one, and the value is the difference of the two orders,
as in a widely used implementation, which halves it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from explainer.errors import InputError, check_range, check_seed
from explainer.infill import Infill, NoisyLinear
from explainer.metrics.base import Fill, Judged, Measured, OneLabelMetric, Score
from explainer.metrics.insertion import ranks


@torch.no_grad()
def scores_after_removal(
    maps: Tensor,
    image: Tensor,
    fill: Fill,
    score: Score,
    fractions: Sequence[float],
    batch_size: int = 32,
) -> Tensor:
    """Score images without their most salient pixels.

    Args:
        maps: Maps (B, 1, H, W), higher is more salient; ties are broken as if by chance.
        image: Images (B, 3, H, W) in [0, 1].
        fill: In-fill of what is removed, which sees what stays.
        score: Score of the class.
        fractions: Fractions of the image that are removed, F numbers in [0, 1].
        batch_size: Largest number of pictures that are filled, and go through the classifier, at once.

    Returns:
        Scores (B, F).

    Example:
        >>> red = lambda seen, owner: seen[:, 0].mean((1, 2))
        >>> black = lambda images, masks: torch.zeros_like(images)
        >>> scores_after_removal(torch.rand(1, 1, 4, 4), torch.ones(1, 3, 4, 4), black, red, (0.25, 1.0)).tolist()
        [[0.75, 0.0]]
    """
    place = ranks(maps)
    pixels = maps[0].numel()
    counts = [round(fraction * pixels) for fraction in fractions]
    shown = [place >= count for count in counts]
    visible = torch.stack(shown, 1).flatten(0, 1)
    owner = torch.arange(len(maps), device=maps.device).repeat_interleave(len(counts))
    scores = []
    for masks, owners in zip(visible.split(batch_size), owner.split(batch_size), strict=True):
        images = image[owners]
        filled = fill(images, masks.to(images))
        # selected, not mixed: what stays is the image's own, to the bit
        pictures = torch.where(masks, images, filled)
        scores.append(score(pictures, owners))
    return torch.cat(scores).view(len(maps), len(counts))


class ROAD(OneLabelMetric):
    """Mean over fractions of the class's probability without the least salient pixels minus without the most salient.

    Args:
        fractions: Fractions of the image that are removed, in (0, 1).
        infill: In-fill of what is removed; None is the paper's, `NoisyLinear`.
        seed: Seed of the in-fill's noise, the same for every picture.
        batch_size: Largest number of pictures that are filled, and go through the classifier, at once.

    Raises:
        InputError: A number is out of range, or there are no fractions.

    Example:
        >>> ROAD().settings["fractions"], ROAD().settings["infill"]["class"]
        ([0.2, 0.4, 0.6, 0.8], 'NoisyLinear')
    """

    higher_is_better = True
    paper = "Y. Rong et al., ICML 2022"
    meaning = "How much more the class loses without the most salient pixels, imputed, than without the least salient."
    formula = r"\frac{1}{|F|} \sum_f p_c(x \text{ without the last } f) - p_c(x \text{ without the first } f)"
    range = "[-1, 1]"

    def __init__(
        self,
        fractions: Sequence[float] = (0.2, 0.4, 0.6, 0.8),
        infill: Infill | None = None,
        seed: int = 0,
        batch_size: int = 32,
    ) -> None:
        super().__init__()
        if not fractions:
            raise InputError("metric ROAD: fractions must not be empty")
        for fraction in fractions:
            check_range("metric ROAD: fractions", fraction, 0, 1)
        check_seed("metric ROAD: seed", seed)
        if batch_size < 1:
            raise InputError(f"metric ROAD: batch_size must be positive, got {batch_size}")
        self.fractions = list(fractions)
        # made here and not when it is used: `settings`, by which stored results are known, names it then
        self.infill = infill or NoisyLinear()
        self.seed = seed
        self.batch_size = batch_size

    def measure_one_label(self, judged: Judged) -> Measured:
        """Remove the pixels of images with one label, in both orders."""

        def fill(images: Tensor, masks: Tensor) -> Tensor:
            # seeded anew at each call: the noise must not change from picture to picture
            generator = torch.Generator(images.device).manual_seed(self.seed)
            return self.infill(images, masks, generator).expand_as(images)

        values = []
        for maps in (-judged.mask, judged.mask):
            scores = scores_after_removal(maps, judged.image, fill, judged.probability, self.fractions, self.batch_size)
            values.append(scores.mean(1))
        least_first, most_first = values
        return Measured(least_first - most_first)
