"""Read images of any number of channels, with all their bits: greyscale pictures, TIFF files of many bands, arrays."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from explainer.errors import InputError, missing_extra, one_line
from explainer.files.pictures import UnreadableError, opened, read_picture, to_grey, upright

_FOUR = ("RGBA", "CMYK", "RGBX")
"""Pillow's modes of four bands that stand for themselves."""


def read_bands(source: str | Path | Image.Image, channels: int) -> NDArray[np.float32]:
    """Read an image for a network of so many channels.

    One channel: a picture of any mode becomes grey, and a 16-bit greyscale picture keeps its 16 bits. Three: a picture
    of any mode becomes RGB with 8 bits, as `read_picture` makes it. Any number: an array (C, H, W) in a .npy file, and
    from four on a TIFF file with as many bands (extra `bands`). Bytes are divided by 255, 16-bit values by 65535, and
    floats must lie in [0, 1].

    Args:
        source: File, or PIL image.
        channels: Number C of channels that are needed.

    Returns:
        Values (C, H, W) in [0, 1].

    Raises:
        UnreadableError: The file is missing, damaged or of another kind, has another number of channels, or its values
            have a range that cannot be told.

    Example:
        >>> read_bands(Image.new("RGB", (5, 4), "white"), 1).shape
        (1, 4, 5)
    """
    if not isinstance(source, Image.Image):
        suffix = Path(source).suffix.lower()
        if suffix == ".npy":
            return _checked(_read_array(Path(source)), channels, source)
        if suffix in (".tif", ".tiff") and channels > 3:
            return _checked(_read_tiff(Path(source)), channels, source)
    if channels == 1:
        with _pictured(source) as picture:
            return to_grey(upright(picture))[None]
    if channels == 3:
        rgb = np.asarray(read_picture(source), np.float32)
        return rgb.transpose(2, 0, 1) / np.float32(255)
    with _pictured(source) as picture:
        count = len(picture.getbands())
        if channels != count or picture.mode not in _FOUR:
            raise InputError(_other_count(count, channels))
        return np.asarray(upright(picture), np.float32).transpose(2, 0, 1) / np.float32(255)


@contextmanager
def _pictured(source: str | Path | Image.Image) -> Iterator[Image.Image]:
    """Open a picture, or take one; every error names it."""
    if not isinstance(source, Image.Image):
        with opened(source) as picture:
            yield picture
        return
    try:
        yield source
    except (InputError, OSError, SyntaxError) as error:
        raise UnreadableError(f"cannot read the image: {error}") from error


def _read_array(path: Path) -> NDArray:
    """Read an array of a .npy file, (H, W) or (C, H, W), without unpickling anything."""
    try:
        array = np.load(path, allow_pickle=False)
    except Exception as error:  # NumPy raises errors of many kinds on damaged files
        raise UnreadableError(f"cannot read array {path}: {one_line(error)}") from error
    if array.ndim not in (2, 3):
        raise UnreadableError(f"cannot read array {path}: it has the shape {array.shape}, wanted is (C, H, W)")
    return array if array.ndim == 3 else array[None]


def _read_tiff(path: Path) -> NDArray:
    """Read the first picture of a TIFF file with all its bands, (C, H, W)."""
    try:
        import tifffile
    except ImportError as error:
        raise missing_extra("TIFF files of many bands need tifffile", "bands") from error
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            array = series.asarray()
            axes = series.axes
    except Exception as error:  # its decoders raise errors of many kinds on damaged files
        raise UnreadableError(f"cannot read image {path}: {one_line(error)}") from error
    if array.ndim == 2:
        return array[None]
    if array.ndim != 3 or not {"Y", "X"} <= set(axes):
        raise UnreadableError(f"cannot read image {path}: it has the axes {axes}, wanted are rows, columns and bands")
    # bands lie together for each pixel, or one after the other
    bands = next(index for index, axis in enumerate(axes) if axis not in "YX")
    return np.moveaxis(array, bands, 0)


def _checked(array: NDArray, channels: int, source: Any) -> NDArray[np.float32]:
    """Return an array's values in [0, 1], where it has the channels that are needed."""
    if len(array) != channels:
        raise UnreadableError(f"cannot read image {source}: {_other_count(len(array), channels)}")
    if not array.size:
        raise UnreadableError(f"cannot read image {source}: it has no pixels")
    if array.dtype in (np.uint8, np.uint16):
        return (array / np.iinfo(array.dtype).max).astype(np.float32)
    low = float(array.min())
    high = float(array.max())
    if array.dtype.kind != "f" or not (low >= 0 and high <= 1):  # NaN fails both
        values = f"{array.dtype} from {low:g} to {high:g}"
        raise UnreadableError(f"cannot read image {source}: it holds {values}; save 8 or 16 bits, or float in [0, 1]")
    return array.astype(np.float32)


def _other_count(count: int, channels: int) -> str:
    """Say that an image has another number of channels than the classifier takes."""
    return (
        f"it has {count} channels, and the classifier takes {channels}: give a .npy file of an array "
        f"({channels}, H, W), a TIFF file of {channels} bands, or a tensor"
    )
