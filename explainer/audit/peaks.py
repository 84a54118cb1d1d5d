"""Where a mask peaks, and the patch of the image that stands there."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

PEAKS = 3
"""Peaks of a mask at most: an object and a mark may both be evidence."""
WINDOW = 0.25
"""Side of a patch, as a fraction of the image's side."""
LARGEST_PATCH = 32
"""Side of a patch that is kept, in pixels; larger ones are shrunk."""
_LEAST = 0.5
"""Share of a mask's highest value that a further peak has at least."""


class Peaks(NamedTuple):
    """Peaks of masks.

    Attributes:
        places: Row and column (N, P, 2) of each peak, on the masks' grid.
        strengths: Value (N, P) of the mask there, in [0, 1]; 0 where there is no such peak.
    """

    places: Tensor
    strengths: Tensor


def find_peaks(masks: Tensor, count: int = PEAKS, window: float = WINDOW) -> Peaks:
    """Find the highest places of masks, no two of them in one window.

    Args:
        masks: Masks (N, g, g) in [0, 1].
        count: Number P of peaks, at most.
        window: Side of the window, as a fraction of the masks' side.

    Returns:
        Peaks, the highest first. A further one reaches half of the first one's value.

    Example:
        >>> mask = torch.zeros(1, 16, 16); mask[0, 2:5, 2:5] = 1.0; mask[0, 11:14, 10:13] = 0.8
        >>> find_peaks(mask, 2).places.tolist()
        [[[3, 3], [12, 11]]]
    """
    side = masks.shape[-1]
    # a mean over neighbours: the middle of what is evidence, not its one strongest cell
    smooth = F.avg_pool2d(masks[:, None], 3, 1, 1, count_include_pad=False)[:, 0]
    rows = torch.arange(side, device=masks.device)
    reach = window * side
    places: list[Tensor] = []
    strengths: list[Tensor] = []
    for number in range(count):
        values, flat = smooth.flatten(1).max(1)
        row = flat // side
        column = flat % side
        if number:
            values = torch.where(values >= _LEAST * strengths[0], values, torch.zeros_like(values))
        places.append(torch.stack([row, column], 1))
        strengths.append(values)
        near_rows = (rows[None] - row[:, None]).abs() < reach
        near_columns = (rows[None] - column[:, None]).abs() < reach
        taken = near_rows[:, :, None] & near_columns[:, None, :]
        smooth = smooth.masked_fill(taken, -1.0)
    return Peaks(torch.stack(places, 1), torch.stack(strengths, 1).clamp_min(0))


def window_at(place: Tensor, side: int, grid: int, size: int) -> tuple[int, int]:
    """Return the upper left corner of the window around a place of the grid, moved into the image.

    Args:
        place: Row and column (2,) on the grid.
        side: Side of the image in pixels.
        grid: Side of the grid in cells.
        size: Side of the window in pixels.

    Example:
        >>> window_at(torch.tensor([0, 3]), 64, 4, 16)
        (0, 48)
    """
    # the middle of the cell, in pixels
    corner = []
    for cell in place.tolist():
        middle = (cell + 0.5) * side / grid
        low = round(middle - size / 2)
        corner.append(min(max(0, low), side - size))
    return corner[0], corner[1]


def patch_side(side: int) -> int:
    """Return the side in pixels of a patch that is cut out of an image.

    Args:
        side: Side of the image in pixels.

    Example:
        >>> patch_side(64), patch_side(224)
        (16, 56)
    """
    return max(4, min(side, round(WINDOW * side)))


def cut(image: Tensor, place: Tensor, grid: int) -> Tensor:
    """Cut the patch around a place out of an image.

    Args:
        image: Image (C, S, S) in [0, 1].
        place: Row and column (2,) on the masks' grid.
        grid: Side of the grid in cells.

    Returns:
        (C, p, p) uint8, p at most 32.
    """
    size = patch_side(image.shape[-1])
    top, left = window_at(place, image.shape[-1], grid, size)
    patch = image[:, top : top + size, left : left + size]
    if size > LARGEST_PATCH:
        patch = F.interpolate(patch[None], (LARGEST_PATCH, LARGEST_PATCH), mode="area")[0]
    return eight_bit(patch)


def eight_bit(image: Tensor) -> Tensor:
    """Return an image in [0, 1] as uint8."""
    return (image * 255).round().clamp(0, 255).byte()


def share_near(mask: Tensor, shown: Tensor, known: Tensor, place: Tensor) -> float | None:
    """Return which share of a mask's mass within the window around a place lies on the object.

    Args:
        mask: Mask (g, g) in [0, 1].
        shown: Share (g, g) of each cell that shows the object.
        known: Share (g, g) of each cell of which it is known.
        place: Row and column (2,) of the window's middle.

    Returns:
        In [0, 1]; None where nothing is known of the window.
    """
    grid = mask.shape[-1]
    size = max(1, round(WINDOW * grid))
    top, left = window_at(place, grid, grid, size)
    window = (slice(top, top + size), slice(left, left + size))
    total = float((mask[window] * known[window]).sum())
    if not total > 0:
        return None
    return min(1.0, float((mask[window] * shown[window]).sum()) / total)
