"""The box around what a map holds to be salient.

S. Thakur, S. Fischmeister: A Generalizable Saliency Map-Based Interpretation of Model Outcome, ICPR 2020 (section
III-B). The paper does not say what its threshold is a part of. By default it is a fraction of the map's range, at 0.5:
the box then follows how far the map reaches, while a quantile gives every map the same area to enclose, of whatever
height its pixels are.
"""

from typing import Literal

import torch
from torch import Tensor

from explainer.errors import InputError
from explainer.functional.masking import min_max

Threshold = Literal["fraction", "quantile"]


def saliency_boxes(saliency: Tensor, threshold: float = 0.5, of: Threshold = "fraction") -> Tensor:
    """Return the smallest box around the pixels that reach a threshold.

    Args:
        saliency: Maps, (B, 1, H, W), raw; higher is more salient.
        threshold: Threshold in (0, 1]. A "fraction" stands for min + threshold · (max − min), a "quantile" for the
            value that this part of the map's pixels does not exceed.
        of: Meaning of the threshold, "fraction" or "quantile".

    Returns:
        (B, 4) long: x0, y0, x1, y1 in pixels; x1 and y1 are the first ones outside. All 0 where there is no box: the
        map is constant, or has a NaN or infinite pixel.

    Raises:
        InputError: The shape is another, or the threshold is outside its range.

    Example:
        >>> saliency = torch.zeros(2, 1, 6, 8)
        >>> saliency[0, 0, 1:3, 2:7] = 1.0
        >>> saliency_boxes(saliency).tolist()
        [[2, 1, 7, 3], [0, 0, 0, 0]]
    """
    if saliency.ndim != 4 or saliency.shape[1] != 1:
        raise InputError(f"saliency has shape {tuple(saliency.shape)}; a box needs maps (B, 1, H, W)")
    if not 0 < threshold <= 1:
        raise InputError(f"the threshold of a box is a {of} in (0, 1], got {threshold}")
    values = saliency[:, 0].detach().double()
    finite = values.isfinite().flatten(1).all(1)
    highest = values.amax((1, 2))
    lowest = values.amin((1, 2))
    # "not >" and not "==", so that a map of NaN is constant too
    constant = ~(highest > lowest)
    # nothing stands out of a constant map, and nothing can be said of a broken one
    usable = (finite & ~constant)[:, None, None]
    scaled = min_max(torch.where(usable, values, 0.0))
    least: Tensor | float = threshold
    if of == "quantile":
        least = scaled.flatten(1).quantile(threshold, 1)[:, None, None]
    above = (scaled >= least) & usable
    x0, x1 = _ends(above.any(1))
    y0, y1 = _ends(above.any(2))
    return torch.stack([x0, y0, x1, y1], 1)


def _ends(present: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first index that is present, and the one behind the last, of (B, N) bool; 0 and 0 without any."""
    length = present.shape[1]
    # counted from 1, so that 0 is left for what is absent
    place = torch.arange(1, length + 1, device=present.device) * present
    first = (length + 1 - place).masked_fill(~present, 0).argmax(1)
    return first, place.amax(1)


def shrink(boxes: Tensor, alpha: float) -> Tensor:
    """Scale the sides of boxes by α about their centres, to whole pixels, at least one.

    The paper takes α from 1.0 to 0.5, "half the original size". Sides are meant here, so that 0.5 leaves a quarter of
    the area.

    Args:
        boxes: Boxes, (B, 4) long: x0, y0, x1, y1.
        alpha: Scale of the sides, in (0, 1].

    Returns:
        (B, 4) long, within `boxes`; an empty box stays empty.

    Raises:
        InputError: α is outside its range.

    Example:
        >>> shrink(torch.tensor([[0, 0, 8, 4]]), 0.5).tolist()
        [[2, 1, 6, 3]]
    """
    if not 0 < alpha <= 1:
        raise InputError(f"a box is scaled by alpha in (0, 1], got {alpha}")
    sides = boxes[:, 2:] - boxes[:, :2]
    scaled = (alpha * sides.double()).round().long()
    # at least a pixel, but none where the box has none
    smaller = torch.minimum(scaled.clamp_min(1), sides)
    margin = (sides - smaller).div(2, rounding_mode="floor")
    start = boxes[:, :2] + margin
    return torch.cat([start, start + smaller], 1)


def outside(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the mask that keeps what is outside of the boxes: the complement of the paper's B.

    Args:
        boxes: Boxes, (B, 4) long: x0, y0, x1, y1.
        size: Height and width of the image in pixels.

    Returns:
        (B, 1, H, W) float of 0 and 1, 1 = keep.

    Example:
        >>> outside(torch.tensor([[1, 0, 2, 2]]), (2, 3))[0, 0].tolist()
        [[1.0, 0.0, 1.0], [1.0, 0.0, 1.0]]
    """
    height, width = size
    x = torch.arange(width, device=boxes.device)[None, None, :]
    y = torch.arange(height, device=boxes.device)[None, :, None]
    corners = boxes.unbind(1)
    x0, y0, x1, y1 = (corner[:, None, None] for corner in corners)
    within_columns = (x >= x0) & (x < x1)
    within_rows = (y >= y0) & (y < y1)
    within = within_columns & within_rows
    return 1 - within[:, None].float()


def surroundings(boxes: Tensor, size: tuple[int, int], margin: float) -> Tensor:
    """Return squares around boxes, moved into the image, and cut where they are larger than it.

    Args:
        boxes: Boxes, (B, 4) long: x0, y0, x1, y1.
        size: Height and width of the image in pixels.
        margin: Margin on each side, as a part of the box's longer side; it is at least a pixel.

    Returns:
        (B, 4) long: x0, y0, x1, y1; each square holds its box.

    Example:
        >>> surroundings(torch.tensor([[0, 4, 4, 8]]), (20, 20), 0.5).tolist()
        [[0, 2, 8, 10]]
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    longest = sides.amax(1)
    share = 1 + 2 * margin
    wanted = (longest.double() * share).ceil().long()
    # whatever the margin, a pixel on each side is known
    side = torch.maximum(wanted, longest + 2)[:, None]
    height, width = size
    limit = torch.tensor([width, height], device=boxes.device)
    lengths = torch.minimum(side, limit)
    corners = boxes[:, :2] + boxes[:, 2:]
    centred = (corners - lengths).div(2, rounding_mode="floor")
    start = torch.minimum(centred.clamp_min(0), limit - lengths)
    return torch.cat([start, start + lengths], 1)


def check_boxes(boxes: Tensor, size: tuple[int, int]) -> None:
    """Refuse boxes of which nothing can be varied, or around which nothing is known.

    Args:
        boxes: Boxes, (B, 4) long: x0, y0, x1, y1.
        size: Height and width of the image in pixels.

    Raises:
        InputError: Names the first box that is empty, reaches out of the image or covers all of it.

    Example:
        >>> check_boxes(torch.tensor([[0, 0, 2, 4]]), (4, 4))
    """
    height, width = size
    for number, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        box = f"box {number} ({x0}, {y0}, {x1}, {y1})"
        if x1 <= x0 or y1 <= y0:
            raise InputError(f"{box} is empty, as a constant map gives: there is nothing to vary")
        if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
            raise InputError(f"{box} reaches out of the image of {height}×{width}")
        if (x1 - x0, y1 - y0) == (width, height):
            raise InputError(f"{box} covers the whole image, nothing around is known: raise the threshold, or shrink")
