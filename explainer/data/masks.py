"""Read segmentations that are pictures: a class index + 1 at each pixel, 0 for nothing, 255 for void."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from explainer.errors import InputError
from explainer.files.pictures import Frame, UnreadableError, opened, orientation_of, read_frame, turned

VOID = 255
_CHECKED_PIXELS = 500_000_000
"""Number of pixels of masks that are decoded before training, some ten seconds; of the rest only headers are read."""


def read_mask(path: Path, classes: int) -> Image.Image:
    """Read a mask's class numbers, upright by its own orientation tag.

    Args:
        path: Path of a grey, palette, 1-bit or 16-bit picture, or of a colour picture with three equal channels.
        classes: Number of the classes.

    Returns:
        Picture of class numbers, of mode "L" or "I".

    Raises:
        UnreadableError: The file is missing or damaged.
        InputError: The picture is no such mask; names the file and what it holds.
    """
    with opened(path, "mask") as file:
        file.load()
        orientation = orientation_of(file)
        mode = file.mode
        values = np.asarray(file)
    numbers = _numbers(values, mode, path)
    unknown = (numbers > classes) & (numbers != VOID)
    wrong = numbers[unknown | (numbers < 0)]
    if wrong.size:
        raise InputError(
            f"mask {path} holds {wrong.flat[0]}, and there are {classes} classes: "
            "a mask holds class index + 1, 0 for nothing and 255 for void"
        )
    # of NumPy's kinds of whole numbers, Pillow turns and resizes these two
    kind = np.uint8 if numbers.max() <= 255 else np.int32
    narrow = Image.fromarray(numbers.astype(kind))
    return turned(narrow, orientation)


def _numbers(values: NDArray, mode: str, path: Path) -> NDArray:
    """Return one number a pixel; alpha and equal channels beside it are left out."""
    if mode in ("LA", "La", "PA"):
        values = values[..., 0]
    elif mode in ("RGB", "RGBA", "RGBX", "RGBa"):
        differ = values[..., :1] != values[..., 1:3]
        if differ.any():
            raise InputError(f"mask {path} holds colours: save it as grey, with class index + 1 at each pixel")
        values = values[..., 0]
    is_float = values.dtype.kind == "f"
    # some tools write whole numbers as floats; broken ones are a picture, and no mask
    broken = is_float and bool((values != np.floor(values)).any())
    if values.ndim != 2 or broken:
        raise InputError(f"mask {path} has the mode {mode}: save it as grey, with class index + 1 at each pixel")
    if is_float:
        return values.astype(np.int64)
    return values


def check_shape(path: Path, width: int, height: int, frame: Frame, side: int) -> None:
    """Refuse a mask that cannot lie on its picture.

    Args:
        path: Path of the mask, for the error.
        width: Width of the mask in pixels.
        height: Height of the mask in pixels.
        frame: Frame of the picture.
        side: Side in pixels of the square that the data set resizes to; a mask of this size fits every picture.

    Raises:
        InputError: Its aspect ratio differs from the picture's, upright or as stored, by more than a twentieth.
    """
    ratios = [frame.width / frame.height]
    if frame.orientation >= 5:  # the picture lies sideways: the mask may be drawn on the upright one
        ratios.append(frame.height / frame.width)
    # a twentieth: masks that were drawn on a smaller copy have sides that were rounded
    shape = width / height
    alike = any(abs(shape - ratio) <= 0.05 * ratio for ratio in ratios)
    if not alike and (width, height) != (side, side):
        across, down = frame.upright
        raise InputError(
            f"mask {path} is {width} x {height}, and its picture {across} x {down}: they cannot be laid on"
        )


def _lay_on(path: Path, photo: Path, classes: int, size: int) -> Image.Image:
    """Read a mask, check that it can lie on its picture, and turn it with the picture."""
    mask = read_mask(path, classes)
    frame = read_frame(photo)
    check_shape(path, *mask.size, frame, size)
    return turned(mask, frame.turn_of(*mask.size))


def place_mask(path: Path, photo: Path, classes: int, size: int) -> Tensor:
    """Read a mask, turn it with its picture, and resize it.

    A mask with an orientation tag is turned by it. One without that has the format of the stored picture, while the
    picture lies sideways, is turned with the picture.

    Args:
        path: Path of the mask.
        photo: Path of its picture.
        classes: Number K of the classes.
        size: Side S of the resized image in pixels.

    Returns:
        (K, S, S) uint8: 1 where the class is, 0 where it is not, 255 where that is void.

    Raises:
        UnreadableError: One of the files is missing or damaged.
        InputError: The picture is no mask, or has another aspect ratio than its photograph.
    """
    mask = _lay_on(path, photo, classes, size)
    # the nearest pixel: a mean of two class numbers would be a third class
    small = mask.resize((size, size), Image.Resampling.NEAREST)
    drawn = torch.from_numpy(np.array(small))
    numbers = torch.arange(1, classes + 1)
    present = (drawn == numbers[:, None, None]).to(torch.uint8)
    # void for every class: nobody knows which of them is there
    return present.masked_fill(drawn == VOID, VOID)


def check_masks(pairs: Iterable[tuple[Path, Path]], classes: int, size: int) -> None:
    """Refuse, before any work, pictures that are no masks; damaged files are passed over, their images will be skipped.

    Args:
        pairs: Paths of each mask and its picture.
        classes: Number of the classes.
        size: Side of the resized images in pixels.

    Raises:
        InputError: `place_mask` would refuse a mask; names the first such file.
    """
    pixels = 0
    for path, photo in pairs:
        try:
            with opened(path, "mask") as file:
                pixels += file.width * file.height
            if pixels <= _CHECKED_PIXELS:
                _lay_on(path, photo, classes, size)
        except UnreadableError:
            continue
