"""Masks and images: aggregate class masks, scale maps, and show an image through a mask.

S. Stalder, N. Perraudin, R. Achanta, F. Perez-Cruz, M. Volpi: What You See is What You Classify: Black Box
Attributions, NeurIPS 2022 (section 3).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def composite(image: Tensor, mask: Tensor, infill: Tensor) -> Tensor:
    r"""Show an image where the mask is 1 and the infill where it is 0.

    .. math:: m \odot x + (1 - m) \odot \text{infill}

    Args:
        image: Images (B, 3, H, W) in [0, 1].
        mask: Masks (B, 1, H, W) in [0, 1], 1 = keep.
        infill: Colours in [0, 1], of any shape that broadcasts to `image`.

    Returns:
        Composites (B, 3, H, W) in [0, 1].

    Example:
        >>> image = torch.rand(2, 3, 4, 4)
        >>> torch.equal(composite(image, torch.ones(2, 1, 4, 4), torch.zeros(1, 3, 1, 1)), image)
        True
    """
    return mask * image + (1 - mask) * infill


_SATURATED = 10.0
"""Mask logit from which a mask is almost 1: there is room in float32 for the order of logits beyond it."""
_LACK = 1 / (1 + math.exp(_SATURATED))
"""What a mask of this logit lacks to 1."""
_LARGEST = 1e4
"""Mask logit beyond which no order is kept."""


def mask_of(logits: Tensor) -> Tensor:
    r"""Return the masks of mask logits: their sigmoid, in which no order of pixels is lost.

    In float32 the sigmoid of 17 is 1, and that of −104 is 0. A network that has learned to rank pixels has logits in
    the hundreds, and what it ranks highest would all be the same to insertion and deletion. Beyond 10 the logits'
    logarithm is therefore spread over what is left to 1, and below −10 over what is left to 0.

    Args:
        logits: Mask logits of any shape, float32.

    Returns:
        Masks in [0, 1]: the sigmoid between −10 and 10, and within 5e-5 of it elsewhere.

    Example:
        >>> logits = torch.tensor([-300.0, -200.0, 0.0, 20.0, 40.0])
        >>> logits.sigmoid().tolist()[:2], logits.sigmoid().tolist()[3:]
        ([0.0, 0.0], [1.0, 1.0])
        >>> bool((mask_of(logits).diff() > 0).all())
        True
    """
    within = logits.clamp(-_SATURATED, _SATURATED)
    beyond = logits - within
    further = beyond.abs().log1p() * beyond.sign()
    # logits larger than the largest would get out of [0, 1]
    return torch.add(within.sigmoid(), further, alpha=_LACK / math.log1p(_LARGEST)).clamp(0, 1)


def target_mask(masks: Tensor, labels: Tensor, absent: float = 0.0) -> Tensor:
    r"""Take the maximum over the masks of the classes present, pixel by pixel.

    .. math:: m[i, j] = \max_{c \in \mathcal{Y}} s_c[i, j]

    Args:
        masks: Class masks (B, K, H, W) in [0, 1]; or logits, with `absent` = -inf: the sigmoid of their maximum is the
            same.
        labels: Labels (B, K), multi-hot.
        absent: Value of an image without any label, which the paper does not define; by default nothing is kept.

    Returns:
        Target mask (B, 1, H, W).

    Example:
        >>> masks = torch.tensor([0.2, 0.9, 0.4]).view(1, 3, 1, 1)
        >>> target_mask(masks, torch.tensor([[1.0, 0.0, 1.0]])).item() == masks[0, 2].item()
        True
    """
    missing = labels[:, :, None, None] == 0
    # filled and not selected: images have different numbers of labels, which no rectangular tensor holds
    masks_of_present = masks.masked_fill(missing, absent)
    return masks_of_present.amax(1, keepdim=True)


def non_target_mask(masks: Tensor, labels: Tensor, absent: float = 0.0) -> Tensor:
    r"""Take the maximum over the masks of the classes that are *not* present.

    .. math:: n[i, j] = \max_{c \notin \mathcal{Y}} s_c[i, j]

    Args:
        masks: Class masks (B, K, H, W) in [0, 1], or logits.
        labels: Labels (B, K), multi-hot.
        absent: Value of an image that has every label.

    Returns:
        Non-target mask (B, 1, H, W).

    Example:
        >>> masks = torch.tensor([0.2, 0.9, 0.4]).view(1, 3, 1, 1)
        >>> non_target_mask(masks, torch.tensor([[0.0, 1.0, 0.0]])).item() == masks[0, 2].item()
        True
    """
    return target_mask(masks, 1 - labels, absent)


def enlarged(masks: Tensor, size: Sequence[int]) -> Tensor:
    """Enlarge masks to an image's size, bilinearly; masks that have it are returned as they are.

    Args:
        masks: Masks or logits (B, K, h, w).
        size: H and W.

    Returns:
        Masks (B, K, H, W). Infinite values give NaN.

    Example:
        >>> enlarged(torch.zeros(1, 2, 3, 4), (6, 8)).shape
        torch.Size([1, 2, 6, 8])
    """
    if list(masks.shape[-2:]) == list(size):
        return masks
    return F.interpolate(masks, tuple(size), mode="bilinear", align_corners=False)


def min_max(maps: Tensor) -> Tensor:
    """Scale every map to [0, 1] by its own minimum and maximum; a constant map becomes 0.

    Args:
        maps: Maps (..., H, W) of any real values.

    Returns:
        Maps of the same shape, in [0, 1].

    Example:
        >>> min_max(torch.tensor([[[2.0, 4.0, 3.0]]])).tolist()
        [[[0.0, 1.0, 0.5]]]
    """
    low = maps.amin((-2, -1), keepdim=True)
    high = maps.amax((-2, -1), keepdim=True)
    smallest = torch.finfo(maps.dtype).tiny  # where() computes both branches: no division by 0 in either
    span = (high - low).clamp_min(smallest)
    scaled = (maps - low) / span
    return torch.where(high > low, scaled, 0.0)


def smallest_box(region: Tensor) -> Tensor:
    """Find the smallest box around all of a region.

    Args:
        region: Regions (B, 1, H, W) bool.

    Returns:
        Boxes (B, 4) float: x0, y0, x1, y1 in pixels, x1 and y1 just outside the region; all 0 for an empty region.

    Example:
        >>> region = torch.zeros(1, 1, 4, 6, dtype=torch.bool)
        >>> region[0, 0, 1:3, 2:5] = True
        >>> smallest_box(region).tolist()
        [[2.0, 1.0, 5.0, 3.0]]
    """
    sides = []
    regions = region[:, 0]
    for axis in (1, 2):  # which columns, then which rows, hold something
        line = regions.any(axis).float()
        start = line.argmax(1)  # the first of equal maxima
        distance_to_end = line.flip(1).argmax(1)
        end = line.shape[1] - distance_to_end
        # a line of zeros has its "maximum" at both ends: an empty region would have a box of the whole image
        end = torch.where(line.any(1), end, 0)
        sides.append((start, end))
    (x0, x1), (y0, y1) = sides
    return torch.stack([x0, y0, x1, y1], 1).float()


def grid_cells(size: tuple[int, int], grid: int) -> Tensor:
    """Number the cells of a grid that divides an image as evenly as whole pixels allow.

    Args:
        size: H and W.
        grid: Number of cells along each side, at most the shorter side.

    Returns:
        Cell of each pixel, (H, W) long, 0 … grid² - 1, row by row.

    Example:
        >>> grid_cells((2, 4), 2).tolist()
        [[0, 0, 1, 1], [2, 2, 3, 3]]
    """
    height, width = size
    row = torch.arange(height) * grid // height
    column = torch.arange(width) * grid // width
    return row[:, None] * grid + column
