"""Random holes, for networks that learn to fill them: boxes, free strokes, blotches, and speckles.

J. Yu et al.: Generative Image Inpainting with Contextual Attention, CVPR 2018 (boxes). J. Yu et al.: Free-Form Image
Inpainting with Gated Convolution, ICCV 2019 (strokes). Blotches are like FIDO's masks, which are random on a coarse
grid (C.-H. Chang et al., ICLR 2019): a network that has only seen boxes fails on those. Speckles are single pixels, as
in its Figure 16.
All draws are made on the CPU, so that a seed means the same holes on every device.
"""

from dataclasses import astuple, dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from explainer.errors import InputError


def boxes(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """A rectangle in each mask, of a fifth to three fifths of each side, anywhere.

    Args:
        count: N.
        size: H and W.
        generator: On the CPU.

    Returns:
        (N, 1, H, W) of 0 (the rectangle) and 1.

    Example:
        >>> boxes(2, (32, 32), torch.Generator().manual_seed(0)).shape
        torch.Size([2, 1, 32, 32])
    """
    draws = torch.rand(2, 2, count, 1, generator=generator)
    inside = []
    for side, (extent, place) in zip(size, draws, strict=True):
        length = (side * (0.2 + 0.4 * extent)).round()
        start = (place * (side - length + 1)).floor()
        position = torch.arange(side)
        inside.append((position >= start) & (position < start + length))
    return 1 - (inside[0][:, :, None] & inside[1][:, None]).float()[:, None]


def strokes(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Two wandering strokes of a brush in each mask.

    Args:
        count: N.
        size: H and W.
        generator: On the CPU.

    Returns:
        (N, 1, H, W) of 0 (the strokes) and 1.

    Example:
        >>> strokes(2, (32, 32), torch.Generator().manual_seed(0)).shape
        torch.Size([2, 1, 32, 32])
    """
    height, width = size
    lines, corners = 2, 5
    start = torch.rand(count, lines, 1, 2, generator=generator) * torch.tensor([height, width])
    turns = (torch.rand(count, lines, corners, generator=generator) - 0.5) * 2.4
    first = torch.rand(count, lines, 1, generator=generator) * 2 * torch.pi
    angle = first + turns.cumsum(2)
    length = min(size) * (0.1 + 0.25 * torch.rand(count, lines, corners, generator=generator))
    moves = length[..., None] * torch.stack([angle.sin(), angle.cos()], -1)
    points = torch.cat([start, start + moves.cumsum(2)], 2)
    radius = min(size) * (0.03 + 0.06 * torch.rand(count, lines, generator=generator))
    near = [
        _distance(points[:, line, corner], points[:, line, corner + 1], size) < radius[:, line, None, None]
        for line in range(lines)
        for corner in range(corners)
    ]
    return 1 - torch.stack(near).any(0).float()[:, None]


def _distance(start: Tensor, end: Tensor, size: tuple[int, int]) -> Tensor:
    """From every pixel to a line between two points, each (N, 2) as row and column: (N, H, W)."""
    grid = torch.stack(torch.meshgrid(*(torch.arange(side) + 0.5 for side in size), indexing="ij"), -1)
    along = (end - start)[:, None, None]
    offset = grid - start[:, None, None]
    place = (offset * along).sum(-1, keepdim=True) / along.square().sum(-1, keepdim=True).clamp_min(1e-6)
    return (offset - place.clamp(0, 1) * along).norm(dim=-1)


def blotches(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Blotches of any grain: noise on a grid of 4 to 16 cells, a tenth to nine tenths of which is a hole.

    Args:
        count: N.
        size: H and W.
        generator: On the CPU.

    Returns:
        (N, 1, H, W) of 0 (the holes) and 1.

    Example:
        >>> blotches(2, (32, 32), torch.Generator().manual_seed(0)).shape
        torch.Size([2, 1, 32, 32])
    """
    cells = torch.randint(4, 17, (count,), generator=generator).tolist()
    fields = [
        F.interpolate(torch.rand(1, 1, n, n, generator=generator), size, mode="bilinear", align_corners=False)
        for n in cells
    ]
    field = torch.cat(fields) if fields else torch.zeros(0, 1, *size)
    share = 0.1 + 0.8 * torch.rand(count, generator=generator)
    levels = [one.quantile(float(part)) for one, part in zip(field, share, strict=True)]
    return (field > torch.stack(levels).view(-1, 1, 1, 1)).float() if fields else field


def speckles(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Pixels drawn one by one in each mask, a tenth to nine tenths of them holes.

    Args:
        count: N.
        size: H and W.
        generator: On the CPU.

    Returns:
        (N, 1, H, W) of 0 (the holes) and 1.

    Example:
        >>> speckles(2, (32, 32), torch.Generator().manual_seed(0)).shape
        torch.Size([2, 1, 32, 32])
    """
    share = 0.1 + 0.8 * torch.rand(count, 1, 1, 1, generator=generator)
    return (torch.rand(count, 1, *size, generator=generator) >= share).float()


@dataclass(frozen=True)
class Holes:
    """How often each kind of hole is drawn; the four need not add up to 1.

    Args:
        boxes: Weight of rectangles.
        strokes: Weight of free strokes.
        blotches: Weight of blotches.
        speckles: Weight of single pixels.

    Raises:
        InputError: A weight is negative, or all are 0.
    """

    boxes: float = 1.0
    strokes: float = 1.0
    blotches: float = 1.0
    speckles: float = 0.0

    def __post_init__(self) -> None:
        weights = astuple(self)
        if min(weights) < 0 or sum(weights) <= 0:
            raise InputError(f"holes: weights must not be negative, and one must be positive, got {self}")

    def draw(self, count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Random masks.

        Args:
            count: N.
            size: H and W.
            generator: On the CPU.

        Returns:
            (N, 1, H, W) of 0 and 1, 1 = keep; each has at least one pixel of either.

        Example:
            >>> Holes().draw(4, (32, 32), torch.Generator().manual_seed(0)).unique().tolist()
            [0.0, 1.0]
        """
        weights = torch.tensor(astuple(self), dtype=torch.float32)
        kind = torch.multinomial(weights, count, replacement=True, generator=generator) if count else torch.zeros(0)
        masks = torch.ones(count, 1, *size)
        for number, make in enumerate((boxes, strokes, blotches, speckles)):
            chosen = (kind == number).nonzero().flatten()
            masks[chosen] = make(len(chosen), size, generator)
        masks[masks.amin((1, 2, 3)) > 0, :, size[0] // 2, size[1] // 2] = 0
        masks[masks.amax((1, 2, 3)) == 0, :, 0, 0] = 1
        return masks


def window(mask: Tensor, side: tuple[int, int]) -> Tensor:
    """Where a window of a fixed size sees most of a hole: around the hole's centre of gravity, within the image.

    Args:
        mask: (N, 1, H, W), 1 = keep.
        side: Height and width of the window.

    Returns:
        (N, 2) long: its first row and column.

    Example:
        >>> mask = torch.ones(1, 1, 8, 8); mask[..., 4:8, 0:4] = 0
        >>> window(mask, (4, 4)).tolist()
        [[4, 0]]
    """
    hole = 1 - mask[:, 0]
    weight = hole.sum((1, 2)).clamp_min(1e-6)
    starts = []
    for axis, length in ((2, side[0]), (1, side[1])):
        line = hole.sum(axis)
        centre = (line * (torch.arange(line.shape[1], device=mask.device) + 0.5)).sum(1) / weight
        starts.append((centre - length / 2).round().clamp(0, line.shape[1] - length).long())
    return torch.stack(starts, 1)


def crop(image: Tensor, corner: Tensor, side: tuple[int, int]) -> Tensor:
    """A window of each image.

    Args:
        image: (N, C, H, W).
        corner: (N, 2) long, as `window` gives it.
        side: Height and width of the window.

    Returns:
        (N, C, height, width).

    Example:
        >>> crop(torch.arange(4.0).view(1, 1, 2, 2), torch.tensor([[1, 0]]), (1, 2)).flatten().tolist()
        [2.0, 3.0]
    """
    rows = corner[:, 0, None] + torch.arange(side[0], device=image.device)
    columns = corner[:, 1, None] + torch.arange(side[1], device=image.device)
    first = torch.arange(len(image), device=image.device)[:, None, None]
    return image.permute(0, 2, 3, 1)[first, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)
