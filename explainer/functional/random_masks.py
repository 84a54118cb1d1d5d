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
    """Draw a rectangle in each mask, of a fifth to three fifths of each side, anywhere.

    Args:
        count: Number of masks, N.
        size: H and W.
        generator: Generator on the CPU.

    Returns:
        Masks (N, 1, H, W) of 0 (the rectangle) and 1.

    Example:
        >>> boxes(2, (32, 32), torch.Generator().manual_seed(0)).shape
        torch.Size([2, 1, 32, 32])
    """
    draws = torch.rand(2, 2, count, 1, generator=generator)
    inside = []
    for side, (extent, place) in zip(size, draws, strict=True):
        share = 0.2 + 0.4 * extent
        length = (side * share).round()
        places = side - length + 1
        start = (place * places).floor()
        position = torch.arange(side)
        behind_start = position >= start
        before_end = position < start + length
        inside.append(behind_start & before_end)
    rows, columns = inside
    hole = rows[:, :, None] & columns[:, None]
    return _mask_of(hole)


def _mask_of(hole: Tensor) -> Tensor:
    """Return the masks (N, 1, H, W) of holes (N, H, W) bool."""
    return 1 - hole.float()[:, None]


def strokes(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Draw two wandering strokes of a brush in each mask.

    Args:
        count: Number of masks, N.
        size: H and W.
        generator: Generator on the CPU.

    Returns:
        Masks (N, 1, H, W) of 0 (the strokes) and 1.

    Example:
        >>> strokes(2, (32, 32), torch.Generator().manual_seed(0)).shape
        torch.Size([2, 1, 32, 32])
    """
    height, width = size
    lines = 2
    corners = 5
    shorter = min(size)
    # The order of the draws is part of what a seed means: start, turns, first direction, length, radius.
    start_share = torch.rand(count, lines, 1, 2, generator=generator)
    start = start_share * torch.tensor([height, width])
    turn_share = torch.rand(count, lines, corners, generator=generator)
    # at most 1.2 radians, some 70 degrees, to either side: a stroke wanders, but does not fold back on itself
    turns = (turn_share - 0.5) * 2.4
    angle_share = torch.rand(count, lines, 1, generator=generator)
    first_angle = angle_share * 2 * torch.pi
    angle = first_angle + turns.cumsum(2)
    length_share = torch.rand(count, lines, corners, generator=generator)
    # lengths and widths are parts of the shorter side: a stroke looks the same at every size of the images
    length = shorter * (0.1 + 0.25 * length_share)
    direction = torch.stack([angle.sin(), angle.cos()], -1)
    moves = length[..., None] * direction
    later_points = start + moves.cumsum(2)
    points = torch.cat([start, later_points], 2)
    radius_share = torch.rand(count, lines, generator=generator)
    radius = shorter * (0.03 + 0.06 * radius_share)
    hole = torch.zeros(count, height, width, dtype=torch.bool)
    for line in range(lines):
        for corner in range(corners):
            start_of_part = points[:, line, corner]
            end_of_part = points[:, line, corner + 1]
            distance = _distance(start_of_part, end_of_part, size)
            hole |= distance < radius[:, line, None, None]
    return _mask_of(hole)


def _distance(start: Tensor, end: Tensor, size: tuple[int, int]) -> Tensor:
    """Measure the distance from every pixel to a line between two points, (N, 2) as row and column: (N, H, W)."""
    rows = torch.arange(size[0]) + 0.5
    columns = torch.arange(size[1]) + 0.5
    grid = torch.meshgrid(rows, columns, indexing="ij")
    pixels = torch.stack(grid, -1)
    line = (end - start)[:, None, None]
    offset = pixels - start[:, None, None]
    squared_length = line.square().sum(-1, keepdim=True)
    along = (offset * line).sum(-1, keepdim=True)
    # the nearest point of the line as a share of its length; beyond its ends the ends are nearest
    place = along / squared_length.clamp_min(1e-6)
    nearest = place.clamp(0, 1) * line
    return (offset - nearest).norm(dim=-1)


def blotches(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Draw blotches of any grain: noise on a grid of 4 to 16 cells, a tenth to nine tenths of which is a hole.

    Args:
        count: Number of masks, N.
        size: H and W.
        generator: Generator on the CPU.

    Returns:
        Masks (N, 1, H, W) of 0 (the holes) and 1.

    Example:
        >>> blotches(2, (32, 32), torch.Generator().manual_seed(0)).shape
        torch.Size([2, 1, 32, 32])
    """
    grains = torch.randint(4, 17, (count,), generator=generator).tolist()
    fields = []
    for cells in grains:
        noise = torch.rand(1, 1, cells, cells, generator=generator)
        field = F.interpolate(noise, size, mode="bilinear", align_corners=False)
        fields.append(field)
    # drawn after all fields, as it always was: the order is part of what a seed means
    shares = 0.1 + 0.8 * torch.rand(count, generator=generator)
    masks = torch.zeros(count, 1, *size)
    pairs = zip(fields, shares.tolist(), strict=True)
    for index, (field, share) in enumerate(pairs):
        # the level that leaves just that share of the pixels below it
        level = field.quantile(share)
        masks[index] = field[0] > level
    return masks


def speckles(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Draw the pixels of each mask one by one, a tenth to nine tenths of them holes.

    Args:
        count: Number of masks, N.
        size: H and W.
        generator: Generator on the CPU.

    Returns:
        Masks (N, 1, H, W) of 0 (the holes) and 1.

    Example:
        >>> speckles(2, (32, 32), torch.Generator().manual_seed(0)).shape
        torch.Size([2, 1, 32, 32])
    """
    share = 0.1 + 0.8 * torch.rand(count, 1, 1, 1, generator=generator)
    chance = torch.rand(count, 1, *size, generator=generator)
    return (chance >= share).float()


@dataclass(frozen=True)
class Holes:
    """Weights by which the kinds of holes are drawn; they need not add up to 1.

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
        """Draw random masks.

        Args:
            count: Number of masks, N.
            size: H and W.
            generator: Generator on the CPU.

        Returns:
            Masks (N, 1, H, W) of 0 and 1, 1 = keep; each has at least one pixel of either.

        Example:
            >>> Holes().draw(4, (32, 32), torch.Generator().manual_seed(0)).unique().tolist()
            [0.0, 1.0]
        """
        weights = torch.tensor(astuple(self), dtype=torch.float32)
        masks = torch.ones(count, 1, *size)
        if not count:  # multinomial refuses to draw nothing
            return masks
        kinds = torch.multinomial(weights, count, replacement=True, generator=generator)
        for kind, draw in enumerate((boxes, strokes, blotches, speckles)):
            indices = (kinds == kind).nonzero().flatten()
            masks[indices] = draw(len(indices), size, generator)
        # a network learns nothing without a hole, and has nothing to go by without a known pixel
        without_hole = masks.amin((1, 2, 3)) > 0
        middle_row = size[0] // 2
        middle_column = size[1] // 2
        masks[without_hole, :, middle_row, middle_column] = 0
        without_rest = masks.amax((1, 2, 3)) == 0
        masks[without_rest, :, 0, 0] = 1
        return masks


def window(mask: Tensor, side: tuple[int, int]) -> Tensor:
    """Place a window of a fixed size so that it sees most of a hole: around its centre of gravity, within the image.

    Args:
        mask: Masks (N, 1, H, W), 1 = keep.
        side: Height and width of the window.

    Returns:
        First row and column of the window, (N, 2) long.

    Example:
        >>> mask = torch.ones(1, 1, 8, 8); mask[..., 4:8, 0:4] = 0
        >>> window(mask, (4, 4)).tolist()
        [[4, 0]]
    """
    hole = 1 - mask[:, 0]
    # a mask without a hole has no centre of gravity: its window begins at the corner
    weight = hole.sum((1, 2)).clamp_min(1e-6)
    height, width = side
    starts = []
    for axis, length in ((2, height), (1, width)):
        line = hole.sum(axis)
        count = line.shape[1]
        place = torch.arange(count, device=mask.device) + 0.5
        moment = (line * place).sum(1)
        centre = moment / weight
        start = (centre - length / 2).round()
        last_start = count - length
        within = start.clamp(0, last_start)
        starts.append(within.long())
    return torch.stack(starts, 1)


def crop(image: Tensor, corner: Tensor, side: tuple[int, int]) -> Tensor:
    """Cut a window out of each image.

    Args:
        image: Images (N, C, H, W).
        corner: First row and column of each window, (N, 2) long, as `window` gives them.
        side: Height and width of the window.

    Returns:
        Windows (N, C, height, width).

    Example:
        >>> crop(torch.arange(4.0).view(1, 1, 2, 2), torch.tensor([[1, 0]]), (1, 2)).flatten().tolist()
        [2.0, 3.0]
    """
    # one indexing for all images: a loop of slices would ask the device for every corner
    height, width = side
    down = torch.arange(height, device=image.device)
    across = torch.arange(width, device=image.device)
    rows = corner[:, 0, None] + down
    columns = corner[:, 1, None] + across
    owner = torch.arange(len(image), device=image.device)
    owner = owner[:, None, None]
    # the three indices stand side by side: with a slice between them, indexing would move the channels unasked
    channels_last = image.permute(0, 2, 3, 1)
    pixels = channels_last[owner, rows[:, :, None], columns[:, None]]
    return pixels.permute(0, 3, 1, 2)
