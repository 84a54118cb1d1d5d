"""Weakly supervised localisation: is the box around what is salient the object's (P. Dabkowski, Y. Gal, NeurIPS 2017;
C.-H. Chang et al., ICLR 2019, Table 1; the level by R. Fong, A. Vedaldi, ICCV 2017).

A pixel is salient above 0.5 for maps that are masks or probabilities, above α times the map's own mean for others; α is
searched over 0, 0.2 … 5 on held-out images.
"""

import torch
from torch import Tensor

from explainer.errors import InputError
from explainer.functional.masking import smallest_box
from explainer.metrics.base import ImageMetric, Judged, Measured
from explainer.metrics.box_iou import best_iou

ALPHAS = tuple(round(0.2 * k, 1) for k in range(26))
"""Values of α that are searched."""


def mean_level(mask: Tensor, alpha: float) -> Tensor:
    r"""Compute the level :math:`\alpha \mu`, with the map's own mean.

    Args:
        mask: Masks (B, 1, H, W) in [0, 1].
        alpha: α, in [0, 5].

    Returns:
        Levels (B,).

    Raises:
        InputError: α lies outside [0, 5].

    Example:
        >>> mean_level(torch.tensor([[[[0.0, 0.5]]]]), 2.0).item()
        0.5
    """
    if not 0 <= alpha <= ALPHAS[-1]:
        raise InputError(f"alpha must lie in [0, {ALPHAS[-1]:g}], got {alpha}")
    return alpha * mask.mean((1, 2, 3))


def localisation_error(box: Tensor, truth: list[Tensor], overlap: float = 0.5) -> Tensor:
    """Say whether a box misses every object.

    Args:
        box: Boxes (B, 4): x0, y0, x1, y1 in pixels; a box without area misses.
        truth: True boxes of each image, B tensors (N, 4).
        overlap: Intersection over union that has to be exceeded.

    Returns:
        Errors (B,), 1 for a miss and 0 for a hit; lower is better; NaN for an image without a true box.

    Example:
        >>> box = torch.tensor([[0.0, 0.0, 4.0, 4.0]])
        >>> localisation_error(box, [torch.tensor([[0.0, 0.0, 4.0, 3.0], [5.0, 5.0, 6.0, 6.0]])]).item()
        0.0
    """
    best = best_iou(box, truth)
    misses = (best <= overlap).to(best)
    # a comparison with NaN is false: an image without a true box would count as a hit
    return misses.masked_fill(best.isnan(), torch.nan)


def alpha_errors(mask: Tensor, truth: list[Tensor], overlap: float = 0.5) -> Tensor:
    """Compute `localisation_error` for every α of the search.

    Args:
        mask: Masks (B, 1, H, W) in [0, 1].
        truth: True boxes of each image, B tensors (N, 4).
        overlap: Intersection over union that has to be exceeded.

    Returns:
        Errors (B, 26), a column for each α.

    Example:
        >>> alpha_errors(torch.zeros(1, 1, 4, 4), [torch.tensor([[0.0, 0.0, 4.0, 4.0]])]).mean().item()
        1.0
    """
    errors = []
    for alpha in ALPHAS:
        level = mean_level(mask, alpha)[:, None, None, None]
        box = smallest_box(mask > level)
        errors.append(localisation_error(box, truth, overlap))
    return torch.stack(errors, 1)


def best_alpha(errors: Tensor) -> tuple[float, float]:
    """Find the α of the lowest mean error; of several, the smallest.

    Args:
        errors: Errors of held-out images, (N, 26); rows of NaN do not count.

    Returns:
        α and its mean error.

    Raises:
        InputError: No image has a value.

    Example:
        >>> best_alpha(torch.ones(2, 26).index_fill(1, torch.tensor([3]), 0.0))
        (0.6, 0.0)
    """
    known = errors[~errors.isnan().any(1)]
    if not len(known):
        raise InputError("alpha cannot be searched: no held-out image has a box; give evaluation.salient.alpha one")
    # argmin takes the first of equal errors, which is the smallest α
    mean = known.mean(0)
    return ALPHAS[int(mean.argmin())], float(mean.min())


class Localisation(ImageMetric):
    """Error rate of the smallest box around what is salient, in [0, 1]; a map with nothing salient misses.

    Args:
        overlap: Intersection over union with a true box that has to be exceeded.

    Raises:
        InputError: `overlap` lies outside [0, 1).
    """

    higher_is_better = False
    percent = True
    paper = "P. Dabkowski, Y. Gal, NeurIPS 2017; C.-H. Chang et al., ICLR 2019"
    meaning = "How often the smallest box around the salient pixels misses every true box."
    formula = r"1 - [\max_t \mathrm{IoU}(\mathrm{box}(m > \ell), t) > 0.5]"
    range = "0 or 1"

    def __init__(self, overlap: float = 0.5) -> None:
        super().__init__()
        if not 0 <= overlap < 1:
            raise InputError(f"metric Localisation: overlap must lie in [0, 1), got {overlap}")
        self.overlap = overlap

    def measure(self, judged: Judged) -> Measured:
        """Compute `localisation_error` of each image: 1 for a miss, 0 for a hit, NaN without ground truth."""
        judged = judged.clean
        box = smallest_box(judged.region)
        return Measured(localisation_error(box, judged.boxes, self.overlap))
