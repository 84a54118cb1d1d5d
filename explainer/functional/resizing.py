"""Images and masks at another size; large ones in bands of rows, so that no more than a band is held as floats."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

BAND = 2**21
"""Number of pixels in a band: 8 MiB a channel as floats."""


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize images bilinearly with antialiasing, as the data sets do.

    Args:
        images: Images (B, C, H, W).
        size: Height and width wanted.

    Returns:
        Images (B, C, *size).

    Example:
        >>> resize(torch.rand(1, 3, 8, 8), (4, 2)).shape
        torch.Size([1, 3, 4, 2])
    """
    if images.shape[-2:] == torch.Size(size):
        return images
    return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)


def bands(height: int, width: int, pixels: int = BAND) -> Iterator[slice]:
    """Divide an image into bands of whole rows.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        pixels: Largest number of pixels in a band, which has at least one row.

    Yields:
        Rows of each band, from the top.

    Example:
        >>> list(bands(5, 10, pixels=20))
        [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(1, pixels // width)
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))


def resize_bands(parts: Iterable[Tensor], size: tuple[int, int]) -> Tensor:
    """Resize an image that comes in bands, as `resize` does the whole: first along the rows, then along the columns.

    Args:
        parts: Bands (B, C, rows, W), from the top.
        size: Height and width wanted.

    Returns:
        Images (B, C, *size).

    Example:
        >>> image = torch.rand(1, 3, 40, 30)
        >>> torch.allclose(resize_bands(image.split(16, 2), (8, 8)), resize(image, (8, 8)), atol=1e-6)
        True
    """
    width = size[1]
    # rows first: a row lies whole in its band, a column does not
    narrow = [resize(part, (part.shape[-2], width)) for part in parts]
    whole = torch.cat(narrow, -2)
    return resize(whole, size)


def enlarge_rows(maps: Tensor, size: tuple[int, int], rows: slice) -> Tensor:
    """Compute some rows of enlarged maps: those of `F.interpolate(maps, size, mode="bilinear", align_corners=False)`.

    Args:
        maps: Maps (B, C, h, w) float.
        size: Height and width of the whole.
        rows: Rows of the whole that are wanted.

    Returns:
        Rows (B, C, rows, W), in storage of their own.

    Example:
        >>> maps = torch.rand(1, 2, 4, 4)
        >>> whole = F.interpolate(maps, (10, 12), mode="bilinear", align_corners=False)
        >>> torch.allclose(enlarge_rows(maps, (10, 12), slice(3, 7)), whole[:, :, 3:7], atol=1e-6)
        True
    """
    height = maps.shape[-2]
    if maps.shape[-2:] == torch.Size(size):
        return maps[..., rows, :].clone()
    # PyTorch rounds the scale to single precision, and the place only once, after a fused multiplication and addition
    scale = torch.tensor(height / size[0], dtype=torch.float32)
    row = torch.arange(rows.start, rows.stop, device=maps.device, dtype=torch.float64)
    # the half: a pixel's value stands at its middle
    place = (row + 0.5) * scale.double() - 0.5
    place = place.float().clamp_min(0)
    lowest = height - 1
    above = place.floor().long().clamp_max(lowest)
    below = (above + 1).clamp_max(lowest)
    share = (place - above).clamp(0, 1)
    share = share[:, None]
    first = int(above[0])
    last = int(below[-1]) + 1
    wide = maps[..., first:last, :]
    if wide.shape[-1] != size[1]:
        wide = F.interpolate(wide, (last - first, size[1]), mode="bilinear", align_corners=False)
    # in place: the rows are the largest tensor here
    upper = wide.index_select(-2, above - first)
    upper.mul_(1 - share)
    lower = wide.index_select(-2, below - first)
    lower.mul_(share)
    return upper.add_(lower)
