"""The energy-based pointing game: which share of a map lies on the object?

H. Wang, Z. Wang, M. Du, F. Yang, Z. Zhang, S. Ding, P. Mardziel, X. Hu: Score-CAM: Score-Weighted Visual Explanations
for Convolutional Neural Networks, CVPR Workshops 2020 (section 4.3). One minus the soft `proportion_outside`.
"""

from torch import Tensor

from explainer.errors import InputError
from explainer.metrics.base import ImageMetric, Judged, Measured
from explainer.metrics.proportion import Truth, proportion_outside, truth_of


def energy_inside(mask: Tensor, truth: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""Compute the share of a map's sum that lies on the object.

    .. math:: \frac{\sum_u m_u g_u}{\sum_u m_u}

    A map without anything in it says as much of every pixel as a constant one does, and counts as such.

    Args:
        mask: Masks (B, 1, H, W) in [0, 1].
        truth: Truth (B, 1, H, W) of 0 and 1.
        weight: Weights (B, 1, H, W), 0 where a pixel does not count; None counts all.

    Returns:
        Share (B,) in [0, 1]; higher is better; NaN for an image without object.

    Example:
        >>> import torch
        >>> energy_inside(torch.tensor([[[[0.5, 1.0, 0.5]]]]), torch.tensor([[[[0.0, 1.0, 1.0]]]])).item()
        0.75
    """
    return 1 - proportion_outside(mask, truth, weight)


class EnergyPointing(ImageMetric):
    """Mean of `energy_inside` over images.

    The paper leaves out images whose box fills more than half of them; here all with an object count, so a constant
    map scores the mean area of the objects.

    Args:
        truth: Kind of truth: "boxes", as in the paper, or the exact "segmentation".

    Raises:
        InputError: `truth` is neither.
    """

    higher_is_better = True
    percent = True
    paper = "H. Wang et al., CVPR Workshops 2020"
    meaning = "How much of the map lies on the object."
    formula = r"\frac{\sum m g}{\sum m}"
    range = "[0, 1]"

    def __init__(self, truth: Truth = "boxes") -> None:
        super().__init__()
        if truth not in ("boxes", "segmentation"):
            raise InputError(f"metric EnergyPointing: truth is 'boxes' or 'segmentation', got {truth!r}")
        self.truth = truth

    def measure(self, judged: Judged) -> Measured:
        """Compute `energy_inside` of each mask; NaN for an image without ground truth."""
        judged = judged.clean
        truth, weight = truth_of(judged, self.truth)
        return Measured(energy_inside(judged.mask, truth, weight))
