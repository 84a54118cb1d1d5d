"""The flipping curve: how many of the most salient pixels have to be replaced by an in-fill before the class goes.

C.-H. Chang, E. Creager, A. Goldenberg, D. Duvenaud: Explaining Image Classifiers by Counterfactual Generation, ICLR
2019 (section 4.5, Figure 10). The in-fill is asked again at every step, with what is still visible.
"""

import torch
from torch import Tensor

from explainer.errors import InputError
from explainer.metrics.base import ImageMetric, Judged, Measured, of_one_label
from explainer.metrics.insertion import area_under, removal_curve


def remaining(curve: Tensor, least: float = 1.0) -> Tensor:
    r"""Compute what is left of the log-odds, as a share of what filling in everything takes away.

    .. math:: r_k = \frac{s_k - s_S}{s_0 - s_S}

    Args:
        curve: Log-odds (B, S + 1), from the whole image to the one that is filled in everywhere.
        least: Smallest fall of the log-odds, from the whole image to the filled one, for which the share is defined.

    Returns:
        Shares (B, S + 1) from 1 to 0, not confined between them; NaN where filling in everything takes too little.

    Example:
        >>> remaining(torch.tensor([[4.0, 1.0, -2.0], [1.0, 1.0, 1.0]])).tolist()
        [[1.0, 0.5, 0.0], [nan, nan, nan]]
    """
    end = curve[:, -1:]
    fall = curve[:, :1] - end
    share = (curve - end) / fall
    return share.masked_fill(fall < least, torch.nan)


def pixels_needed(share: Tensor, reduction: Tensor) -> Tensor:
    """Find the fraction of the pixels after which the log-odds are reduced by so much for the first time (Figure 10).

    Args:
        share: Shares (B, S + 1) of `remaining`.
        reduction: Reductions (R,) in [0, 1].

    Returns:
        Fractions (B, R) in [0, 1]; lower is better; NaN where the share is not defined.

    Example:
        >>> pixels_needed(torch.tensor([[1.0, 0.4, 0.2, 0.0, 0.0]]), torch.tensor([0.5, 0.9])).tolist()
        [[0.25, 0.75]]
    """
    # the last share is 0 up to rounding, and counts as a reduction by all
    taken_away = 1 - share[:, None]
    reached = taken_away >= reduction[:, None] - 1e-6
    # argmax takes the first of equal values: the first step at which it is reached, even if the log-odds rise again
    first = reached.float().argmax(-1)
    fraction = first / (share.shape[1] - 1)
    undefined = share.isnan().any(1, keepdim=True)
    return fraction.masked_fill(undefined, torch.nan)


class Flipping(ImageMetric):
    """Mean area under the curve of `remaining` log-odds, over the images with one label; lower is better.

    Args:
        steps: Number of steps of the curve, of as many pixels each.
        batch_size: Largest number of pictures that go through the classifier at once.
        least: Smallest fall of the log-odds for which the value is defined, above 0.

    Raises:
        InputError: A number is not positive.
    """

    higher_is_better = False
    paper = "C.-H. Chang et al., ICLR 2019"
    meaning = "How fast the log-odds r of the class fall as pixels are replaced, the most salient first."
    formula = r"\frac{1}{S} \sum_k (r_k + r_{k+1}) / 2, r_k = (s_k - s_S) / (s_0 - s_S)"
    range = "around [0, 1], unbounded"

    def __init__(self, steps: int = 16, batch_size: int = 32, least: float = 1.0) -> None:
        super().__init__()
        if steps < 1 or batch_size < 1:
            raise InputError(f"metric Flipping: steps and batch_size must be positive, got {steps} and {batch_size}")
        if not least > 0:
            raise InputError(f"metric Flipping: least must be positive, got {least}")
        self.steps = steps
        self.batch_size = batch_size
        self.least = least

    def measure(self, judged: Judged) -> Measured:
        """Fill in step by step; NaN for images with several labels or none, and if a full in-fill leaves the class."""
        judged = judged.clean
        return of_one_label(judged, self._measure)

    def _measure(self, judged: Judged) -> Measured:
        """Return the area under the curve, and the curve, of images with one label."""
        # a step of less than a pixel would show the same picture twice
        steps = min(self.steps, judged.mask[0].numel())
        curve = removal_curve(judged.mask, judged.image, judged.fill, judged.log_odds, steps, self.batch_size)
        share = remaining(curve, self.least)
        return Measured(area_under(share), share)
