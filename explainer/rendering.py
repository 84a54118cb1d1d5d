"""Tensors to pictures: heat map, overlay, mask, gallery."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.colors import hsv_to_rgb
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from explainer.files import printable, replacing

HEAT = "turbo"
"""Colour map of saliency: blue is low and red is high, as in the papers; its two dark ends are left out."""

FONT = Path(mpl.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
"""Pillow's own font has no × and no arrows."""

TILE = 168
"""The longer side of a gallery's pictures, in pixels."""


class Tile(NamedTuple):
    """One picture of a gallery.

    Attributes:
        picture: Picture, of any size.
        caption: Words under the picture.
    """

    picture: Image.Image
    caption: str = ""


def in_colour(pixels: Tensor) -> Tensor:
    """Return images of any number of channels as RGB.

    Args:
        pixels: Images (N, C, H, W). One or two channels are shown in grey, of more than three the first three.

    Example:
        >>> import torch
        >>> in_colour(torch.ones(2, 1, 4, 4)).shape
        torch.Size([2, 3, 4, 4])
    """
    if pixels.shape[1] == 1:
        return pixels.expand(-1, 3, -1, -1)
    if pixels.shape[1] == 2:
        return pixels.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    return pixels[:, :3]


def to_pil(image: Tensor) -> Image.Image:
    """Return a tensor as a photograph.

    Args:
        image: Image, (C, H, W): float in [0, 1], where values outside are clipped, or uint8. Other channels than RGB
            are shown as `in_colour` says.

    Returns:
        The 8-bit picture.

    Example:
        >>> import torch
        >>> to_pil(torch.ones(3, 2, 4)).size
        (4, 2)
    """
    (pixels,) = in_colour(image.detach().cpu()[None])
    if pixels.dtype != torch.uint8:
        # rounded: byte() alone cuts off, and an image would be darker each time that it is saved and read
        clipped = pixels.float().clamp(0, 1)
        pixels = (clipped * 255).round().byte()
    rows = pixels.permute(1, 2, 0).contiguous()
    return Image.fromarray(rows.numpy())


def mask_image(mask: Tensor) -> Image.Image:
    """Return a mask in grey: white is kept.

    Args:
        mask: Mask, (1, H, W) or (H, W) in [0, 1].

    Returns:
        The 8-bit picture.

    Example:
        >>> import torch
        >>> mask_image(torch.ones(1, 2, 4)).getpixel((0, 0))
        255
    """
    grey = _one_map(mask).clamp(0, 1)
    rounded = (grey * 255).round()
    return Image.fromarray(rounded.byte().numpy())


def _one_map(values: Tensor) -> Tensor:
    """Return a map (1, H, W) or (H, W) as float32 (H, W), on the CPU."""
    return values.detach().cpu().float().reshape(values.shape[-2:])


def heat_map(saliency: Tensor) -> Image.Image:
    """Return saliency in colours.

    Args:
        saliency: Map, (1, H, W) or (H, W) in [0, 1]; NaN is drawn as 0.

    Returns:
        The picture, blue for 0 and red for 1.

    Example:
        >>> import torch
        >>> heat_map(torch.zeros(1, 2, 4)).size
        (4, 2)
    """
    values = _one_map(saliency).nan_to_num(0).clamp(0, 1).numpy()
    colours = mpl.colormaps[HEAT]
    # looked up as bytes: the colour map itself would make 32 bytes of every pixel
    rgb = colours(np.arange(colours.N))[:, :3]
    table = (rgb * 255).round().astype(np.uint8)
    # the map's two ends are nearly black, where low and high could not be told apart
    shades = (0.06 + 0.86 * values) * colours.N
    indices = shades.astype(np.uint8)
    return Image.fromarray(table[indices])


def overlay(image: Tensor, saliency: Tensor, opacity: float = 0.55) -> Image.Image:
    """Lay saliency in colours over the photograph in grey.

    Args:
        image: Photograph, (C, H, W), as for `to_pil`.
        saliency: Map of the photograph's size, (1, H, W) or (H, W) in [0, 1].
        opacity: Opacity of the colours, in [0, 1].

    Returns:
        The picture.

    Example:
        >>> import torch
        >>> overlay(torch.rand(3, 2, 4), torch.zeros(1, 2, 4)).size
        (4, 2)
    """
    return Image.blend(_grey(image), heat_map(saliency), opacity)


def _grey(image: Tensor) -> Image.Image:
    """Return a photograph without its colours, as an RGB picture."""
    return to_pil(image).convert("L").convert("RGB")


def lovi(scales: Tensor) -> Image.Image:
    r"""Draw which scales are active where, in colours: Layer Ordered Visualization of Information.

    T. N. Mundhenk et al.: Efficient Saliency Maps for Explainable AI, 2020 (section 2.3). Eq. 4 and 5 as printed
    contradict the caption of Figure 2; this is what the caption says. With s the r maps, scaled jointly to [0, 1], and
    S their sum: hue = 300° · Σ s_c (1 − c / (r − 1)) / S (violet first, red last), saturation = 1 − (S / (r max s) −
    1 / r) / (1 − 1 / r) (1 where one scale alone is active, 0 where all are alike), value = max s. Where S is 0: black.

    Args:
        scales: Maps of r scales, (r, H, W), from the first scale to the last; r is at least 2.

    Returns:
        The picture.

    Raises:
        ValueError: There are fewer than two scales.

    Example:
        >>> import torch
        >>> lovi(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])).getpixel((1, 0))  # the last scale alone: red
        (255, 0, 0)
    """
    if len(scales) < 2:
        raise ValueError(f"LOVI orders at least two scales, got {len(scales)}")
    maps = scales.detach().cpu().double()
    low = maps.min()
    high = maps.max()
    # jointly, so that scales keep their proportions; constant maps show nothing
    stack = torch.zeros_like(maps)
    if high > low:
        stack = (maps - low) / (high - low)
    count = len(stack)
    total = stack.sum(0)
    top = stack.amax(0)
    place = torch.linspace(1, 0, count, dtype=stack.dtype)[:, None, None]
    # 300 of 360 degrees: beyond violet comes red again
    weighted_place = (stack * place).sum(0)
    hue = weighted_place / total.clamp_min(1e-12) * 300 / 360
    alike = total / (count * top.clamp_min(1e-12))
    least = 1 / count  # where one scale alone is active
    saturation = 1 - (alike - least) / (1 - least)
    hsv = torch.stack([hue, saturation, top], -1).clamp(0, 1)
    rgb = hsv_to_rgb(hsv.numpy()) * 255
    return Image.fromarray(rgb.round().astype(np.uint8))


def beside_grey(image: Tensor, picture: Image.Image, share: float = 0.25) -> Image.Image:
    """Mix a map's picture with the photograph in grey, as in the SMOE paper's figures.

    Args:
        image: Photograph, (3, H, W) in [0, 1].
        picture: Picture of a map, of the photograph's size.
        share: Share of the photograph, in [0, 1].

    Returns:
        The picture.

    Example:
        >>> import torch
        >>> beside_grey(torch.zeros(3, 2, 4), heat_map(torch.zeros(1, 2, 4))).size
        (4, 2)
    """
    return Image.blend(picture, _grey(image), share)


def gallery(rows: Sequence[Sequence[Tile]], header: Sequence[str] = (), tile_size: int = TILE) -> Image.Image:
    """Draw rows of captioned pictures on white.

    Args:
        rows: Tiles; rows may differ in length.
        header: Words above the columns.
        tile_size: Longer side in pixels to which each picture is scaled.

    Returns:
        The picture.

    Example:
        >>> gallery([[Tile(Image.new("RGB", (8, 4)), "a")]], header=["b"]).mode
        'RGB'
    """
    points = max(11, tile_size // 13)  # a thirteenth of a tile leaves some twenty letters to a caption
    font = ImageFont.truetype(FONT, points)
    gap = max(4, tile_size // 28)
    line = int(1.6 * points)
    top = line + gap if header else gap
    has_captions = any(tile.caption for row in rows for tile in row)
    captions = line if has_captions else 0
    step = tile_size + gap
    pictures = []
    for row in rows:
        pictures.append([fit(tile.picture.convert("RGB"), tile_size) for tile in row])
    # a row is as high as its highest picture
    heights = [max(picture.height for picture in row) for row in pictures]
    columns = max(len(row) for row in rows)
    width = gap + columns * step
    between_rows = captions + gap
    height = top + sum(heights) + len(rows) * between_rows
    canvas = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(canvas)
    for column, words in enumerate(header):
        x = gap + column * step
        _write(draw, words, x, gap, tile_size, font, "black")
    y = top
    for row, fitted, row_height in zip(rows, pictures, heights, strict=True):
        x = gap
        caption_y = y + row_height + 2
        for tile, picture in zip(row, fitted, strict=True):
            left = x + (tile_size - picture.width) // 2
            upper = y + (row_height - picture.height) // 2
            canvas.paste(picture, (left, upper))
            _write(draw, tile.caption, x, caption_y, tile_size, font, "#333333")
            x += step
        y += row_height + between_rows
    return canvas


def fit(picture: Image.Image, side: int = TILE) -> Image.Image:
    """Scale a picture so that its longer side is `side`; small pictures keep their pixels visible.

    Args:
        picture: Picture of any mode that can be scaled.
        side: Longer side in pixels.

    Returns:
        The scaled picture, of the same mode.

    Example:
        >>> fit(Image.new("L", (400, 200)), 100).size
        (100, 50)
    """
    scale = side / max(picture.size)
    # a picture that is a hundred times as wide as high keeps one row
    width = max(1, round(picture.width * scale))
    height = max(1, round(picture.height * scale))
    if scale > 1:
        return picture.resize((width, height), Image.Resampling.NEAREST)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _write(
    draw: ImageDraw.ImageDraw,
    words: str,
    x: int,
    y: int,
    width: int,
    font: ImageFont.FreeTypeFont,
    colour: str,
) -> None:
    """Write one line of text, cut to the tile's width."""
    # to measure a text takes as long as the text is, and it is measured once for each character that goes
    words = printable(words[:500])
    if words and draw.textlength(words, font=font) > width:
        while words and draw.textlength(f"{words}…", font=font) > width:
            words = words[:-1]
        words += "…"
    draw.text((x, y), words, fill=colour, font=font)


def strip(images: Tensor, columns: int = 8, tile_size: int = 128) -> Image.Image:
    """Draw photographs without words.

    Args:
        images: Photographs, (N, 3, H, W) in [0, 1].
        columns: Number of columns of the picture.
        tile_size: Longer side in pixels to which each photograph is scaled.

    Returns:
        The picture.

    Example:
        >>> import torch
        >>> strip(torch.rand(3, 3, 8, 8), columns=2).mode
        'RGB'
    """
    tiles = [Tile(to_pil(image)) for image in images]
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    return gallery(rows, tile_size=tile_size)


def save_picture(picture: Image.Image, path: Path) -> None:
    """Save a picture; a process that is killed leaves the whole file or none.

    Args:
        picture: Picture to save.
        path: File to write, whose suffix tells the format; its folder is made when it is missing.

    Raises:
        OSError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.png"
        >>> save_picture(Image.new("L", (3, 2)), path)
        >>> Image.open(path).size
        (3, 2)
    """
    with replacing(path) as partial:
        picture.save(partial)
