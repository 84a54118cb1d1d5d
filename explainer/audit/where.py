"""Where the evidence of a decision lies: on the object, at the image's border, or in the context."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from explainer.data import VOID

BAND = 1 / 16
"""Width of the border, as a fraction of the image's side."""


class Where(NamedTuple):
    """Shares of a mask's mass; object, border and context come to 1.

    Attributes:
        area: Mean of the mask, in [0, 1].
        centre: Place of the mass's middle from the left and from the top, as fractions of the image.
        border: Share within the border and not on the object.
        object: Share on objects of the class; None where it is not known where they are.
        context: Share elsewhere; None where it is not known where the objects are.
    """

    area: float
    centre: tuple[float, float]
    border: float
    object: float | None
    context: float | None


def border_ring(grid: int) -> Tensor:
    """Return the cells of the image's border, (g, g) bool.

    Args:
        grid: Side in cells.

    Example:
        >>> border_ring(32).float().mean().item()
        0.234375
    """
    width = max(1, round(BAND * grid))
    ring = torch.ones(grid, grid, dtype=torch.bool)
    ring[width:-width, width:-width] = False
    return ring


def objects_on_grid(segmentation: Tensor, grid: int) -> tuple[Tensor, Tensor]:
    """Return which part of each cell shows the object, and which part is known.

    Args:
        segmentation: Segmentations (N, S, S) uint8: 1 object, 0 not, 255 void.
        grid: Side of the result in cells.

    Returns:
        Two tensors (N, g, g) in [0, 1].
    """
    shown = F.adaptive_avg_pool2d((segmentation == 1).float()[:, None], grid)[:, 0]
    known = F.adaptive_avg_pool2d((segmentation != VOID).float()[:, None], grid)[:, 0]
    return shown, known


def lies(mask: Tensor, shown: Tensor | None = None, known: Tensor | None = None) -> Where:
    """Say where the mass of a mask lies.

    Args:
        mask: Mask (g, g) in [0, 1].
        shown: Share (g, g) of each cell that shows the object; None where nothing is known of it.
        known: Share (g, g) of each cell of which it is known; a cell of which half is void counts half.

    Returns:
        Shares. A mask of zeros has its middle in the image's, and no share anywhere.

    Example:
        >>> mask = torch.zeros(4, 4); mask[0, 3] = 1.0
        >>> lies(mask).centre, lies(mask).border
        ((0.875, 0.125), 1.0)
    """
    grid = mask.shape[-1]
    mass = float(mask.sum())
    middles = (torch.arange(grid) + 0.5) / grid
    centre = (0.5, 0.5)
    if mass > 0:
        across = float((mask.sum(0) * middles).sum()) / mass
        down = float((mask.sum(1) * middles).sum()) / mass
        centre = (across, down)
    ring = border_ring(grid)
    area = float(mask.mean())
    if shown is None or known is None:
        border = float(mask[ring].sum()) / mass if mass > 0 else 0.0
        return Where(area, centre, border, None, None)
    counted = mask * known
    total = float(counted.sum())
    if not total > 0:
        return Where(area, centre, 0.0, None, None)
    on_object = mask * shown
    off_object = counted - on_object
    border = float(off_object[ring].sum()) / total
    share = float(on_object.sum()) / total
    return Where(area, centre, border, share, max(0.0, 1 - share - border))
