"""Decode JPEG files faster than Pillow does, where that is safe; all other files as everywhere.

Files that are at least twice as large as the image that is wanted are decoded at a half, a quarter or an eighth of
their size, which the JPEG format allows. Others are decoded and resized by torchvision. Pixels differ from the exact
way: without a fraction by one of 255 levels at most, with one more at sharp edges.
"""

import io
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as tvf

from explainer.data.sample import pixels
from explainer.errors import InputError
from explainer.files.pictures import UnreadableError, read_content

try:
    # announced to be removed from torchvision: without it, the fraction of a size is all that is gained
    from torchvision.io import ImageReadMode, decode_jpeg
except ImportError:
    decode_jpeg = None

_JPEG = b"\xff\xd8\xff"
"""First bytes of a JPEG file."""
_LARGEST = 50_000_000
"""Pixels of a picture above which Pillow's checks decide whether it is a decompression bomb."""


def file_content(path: Path) -> bytes:
    """Return the content of an image file.

    Args:
        path: File.

    Raises:
        UnreadableError: It cannot be read, or is no regular file: reading a pipe would wait for ever.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError("it is not a file")
        return path.read_bytes()
    except (OSError, InputError) as error:
        raise UnreadableError(f"cannot read image {path}: {error}") from error


def fast_pixels(content: bytes, name: str, size: int) -> Tensor:
    """Decode an image file, and resize it to a square without cropping.

    Args:
        content: Content of the file.
        name: Name of the image, for errors.
        size: Side of the square in pixels.

    Returns:
        (3, size, size) float in [0, 1].

    Raises:
        UnreadableError: The content is damaged, or no picture.
    """
    if _fits(content, size):
        data = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        try:
            picture = decode_jpeg(data, mode=ImageReadMode.RGB, apply_exif_orientation=True)
        except RuntimeError:
            pass  # damaged, or a kind that torchvision does not know: the exact way decodes it, or says what is wrong
        else:
            resized = tvf.resize(picture, [size, size], antialias=True)
            return tvf.to_dtype(resized, torch.float32, scale=True)
    return pixels(read_content(content, name, side=size), size)


def _fits(content: bytes, size: int) -> bool:
    """Tell whether torchvision decodes a file as Pillow does, and no fraction of its size would do."""
    if decode_jpeg is None or not content.startswith(_JPEG):
        return False
    try:
        with Image.open(io.BytesIO(content)) as file:
            width, height = file.size
            # CMYK, as printers have it, is converted in other ways
            return file.mode in ("RGB", "L") and min(width, height) < 2 * size and width * height < _LARGEST
    except Exception:  # Pillow's own words come from the exact way
        return False
