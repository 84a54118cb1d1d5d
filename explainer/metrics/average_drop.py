"""Average drop and average increase: what the class's score loses, or gains, when only the explanation is seen.

A. Chattopadhay, A. Sarkar, P. Howlader, V. N. Balasubramanian: Grad-CAM++: Generalized Gradient-based Visual
Explanations for Deep Convolutional Networks, WACV 2018 (section 4.1). The paper multiplies the image by the map, so
that black stands where the map is 0; here the evaluation's in-fill stands there, by default the classifier's mean
colour.
"""

import torch
from torch import Tensor

from explainer.functional.masking import composite
from explainer.metrics.base import Judged, Measured, OneLabelMetric


def relative_drop(whole: Tensor, masked: Tensor) -> Tensor:
    r"""Compute the share of a score that is lost; a gain counts as no loss.

    .. math:: \frac{\max(0, Y^c - O^c)}{Y^c}

    Args:
        whole: Scores of the whole images, (B,), positive.
        masked: Scores of the images seen through their masks, (B,).

    Returns:
        Shares (B,), at most 1 for scores that are not negative; lower is better; 0 where the whole image scores 0.

    Example:
        >>> relative_drop(torch.tensor([0.8, 0.5, 0.0]), torch.tensor([0.2, 0.9, 0.0])).tolist()
        [0.75, 0.0, 0.0]
    """
    lost = (whole - masked).clamp_min(0)
    smallest = torch.finfo(whole.dtype).tiny
    return lost / whole.clamp_min(smallest)


@torch.no_grad()
def scores_of(judged: Judged) -> tuple[Tensor, Tensor]:
    """Score images with one label, whole and through their masks.

    Args:
        judged: Images and masks.

    Returns:
        Probability of the class of the whole images, and of the composites, (B,) each.
    """
    owner = torch.arange(len(judged.mask), device=judged.mask.device)
    seen = composite(judged.image, judged.mask, judged.fill(judged.image, judged.mask))
    return judged.probability(judged.image, owner), judged.probability(seen, owner)


class AverageDrop(OneLabelMetric):
    """Mean of `relative_drop` over the images with one label; lower is better."""

    higher_is_better = False
    percent = True
    paper = "A. Chattopadhay et al., WACV 2018"
    meaning = "Share of the class's probability that is lost when the image is seen through the map only."
    formula = r"\max(0, p_c(x) - p_c(m x + (1 - m) \bar{x})) / p_c(x)"
    range = "[0, 1]"

    def measure_one_label(self, judged: Judged) -> Measured:
        """Say how much images of one label lose."""
        whole, masked = scores_of(judged)
        return Measured(relative_drop(whole, masked))


class AverageIncrease(OneLabelMetric):
    """Share of the images with one label of which the class is more probable when only the explanation is seen."""

    higher_is_better = True
    percent = True
    paper = "A. Chattopadhay et al., WACV 2018"
    meaning = "Whether the class is more probable when the image is seen through the map only."
    formula = r"[p_c(m x + (1 - m) \bar{x}) > p_c(x)]"
    range = "0 or 1"

    def measure_one_label(self, judged: Judged) -> Measured:
        """Say which images of one label gain."""
        whole, masked = scores_of(judged)
        return Measured((masked > whole).to(whole))
