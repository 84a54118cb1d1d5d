"""The pointing game: does the maximum of a map lie on the object?

J. Zhang, Z. Lin, J. Brandt, X. Shen, S. Sclaroff: Top-down Neural Attention by Excitation Backprop, ECCV 2016, and
International Journal of Computer Vision 126, 2018: a hit within 15 pixels of the object at the image's original
resolution; the score is the share of hits, first of each class, then their mean. Here a value belongs to an image, and
the mean is over images; the objects are those of all its labels. Of several maxima an argmax takes one, of a mask with
a plateau often its topmost pixel, and Quantus counts a hit if any of them is one; here each counts alike.

(The "pointing game" in Table II of Thakur et al. 2020 is another metric: `BoxIoU`.)
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from explainer.errors import InputError
from explainer.metrics.base import ImageMetric, Judged, Measured
from explainer.metrics.proportion import Truth, truth_of


def near(truth: Tensor, distance: float) -> Tensor:
    """Find the pixels whose centre is at most so far from the centre of an object's pixel.

    Args:
        truth: Truth (B, 1, H, W) of 0 and 1.
        distance: Largest Euclidean distance in pixels, at least 0.

    Returns:
        Pixels near the object, (B, 1, H, W) bool.

    Example:
        >>> near(torch.eye(4)[1].view(1, 1, 1, 4), 1.4).flatten().tolist()
        [True, True, True, False]
    """
    reach = int(distance)
    offset = torch.arange(-reach, reach + 1, device=truth.device)
    squared_distance = offset**2 + offset[:, None] ** 2
    disc = (squared_distance <= distance**2).float()
    # a convolution with a disc counts the object's pixels around each pixel
    counts = F.conv2d(truth.float(), disc[None, None], padding=reach)
    return counts > 0.5


def pointing_hit(mask: Tensor, truth: Tensor, distance: float, weight: Tensor | None = None) -> Tensor:
    r"""Say whether a map points at the object; of several maxima, compute the share of those that do.

    .. math:: \frac{1}{|M|} \sum_{u \in M} \Big[\min_{v: g_v = 1} \|u - v\| \le d\Big], \quad M = \arg\max_u m_u

    So a constant map scores what a pixel drawn by chance would.

    Args:
        mask: Masks (B, 1, H, W).
        truth: Truth (B, 1, H, W) of 0 and 1.
        distance: d, tolerance in pixels, at least 0.
        weight: Weights (B, 1, H, W), 0 where there is no object to hit and a maximum counts neither way; None counts
            all.

    Returns:
        Share of hits (B,) in [0, 1]; higher is better; NaN for an image without object, or if all maxima lie where
        nothing counts.

    Example:
        >>> truth = torch.tensor([[[[0.0, 0.0, 0.0, 1.0]]]])
        >>> pointing_hit(torch.tensor([[[[0.0, 0.9, 0.9, 0.1]]]]), truth, 1.0).item()
        0.5
    """
    if weight is None:
        weight = torch.ones_like(truth)
    counted_truth = truth * weight
    hit = near(counted_truth, distance)
    # a maximum in the void is a hit where it is near the object, else it does not count
    counts = (weight > 0) | hit
    highest = mask.amax((2, 3), keepdim=True)
    maximal = (mask == highest) & counts
    hits = (maximal & hit).sum((1, 2, 3))
    share = hits / maximal.sum((1, 2, 3))
    without_object = counted_truth.sum((1, 2, 3)) == 0
    return share.to(mask).masked_fill(without_object, torch.nan)


class PointingGame(ImageMetric):
    """Mean of `pointing_hit` over images.

    Images are judged at the size that the classifier takes, so the tolerance is scaled by the longer sides: by default,
    15 pixels of an original whose longer side has 500 (as in VOC; COCO: 640) are 6.72 pixels of 224.

    Args:
        tolerance: Tolerance in pixels of the original image, at least 0.
        side: Longer side of the original images in pixels; None takes the tolerance in pixels of the judged image.
        truth: Kind of truth: "boxes", or the exact "segmentation".

    Raises:
        InputError: The tolerance is negative, the side is not positive, or `truth` is neither of the two.
    """

    higher_is_better = True
    percent = True
    paper = "J. Zhang et al., ECCV 2016"
    meaning = "Whether the map's highest pixel hits the object, or misses it by few pixels."
    formula = r"[\min_{v: g_v = 1} \|\mathrm{argmax} m - v\| \le d]"
    range = "0 or 1, between them for several maxima"

    def __init__(self, tolerance: float = 15.0, side: int | None = 500, truth: Truth = "boxes") -> None:
        super().__init__()
        if not tolerance >= 0:
            raise InputError(f"metric PointingGame: tolerance must be at least 0, got {tolerance}")
        if side is not None and side < 1:
            raise InputError(f"metric PointingGame: side must be positive, got {side}")
        if truth not in ("boxes", "segmentation"):
            raise InputError(f"metric PointingGame: truth is 'boxes' or 'segmentation', got {truth!r}")
        self.tolerance = tolerance
        self.side = side
        self.truth = truth

    def measure(self, judged: Judged) -> Measured:
        """Compute `pointing_hit` of each mask; NaN for an image without ground truth."""
        judged = judged.clean
        longer = max(judged.mask.shape[-2:])
        distance = self.tolerance
        if self.side is not None:
            distance = self.tolerance * longer / self.side
        truth, weight = truth_of(judged, self.truth)
        return Measured(pointing_hit(judged.mask, truth, distance, weight))
