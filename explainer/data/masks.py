"""Segmentations that are drawn as pictures: a class index + 1 at each pixel, 0 for nothing, 255 for void."""

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
"""Masks of so many pixels are decoded before training, some ten seconds; of the others only the header is read."""


def read_mask(path: Path, classes: int) -> Image.Image:
    """Read a mask's class numbers, upright by its own orientation tag.

    Args:
        path: A grey, palette, 1-bit or 16-bit picture, or one of colours whose three channels are equal.
        classes: Number of the classes.

    Returns:
        Their numbers, of mode "L" or "I".

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
    wrong = numbers[(numbers > classes) & (numbers != VOID) | (numbers < 0)]
    if wrong.size:
        raise InputError(
            f"mask {path} holds {wrong.flat[0]}, and there are {classes} classes: "
            "a mask holds class index + 1, 0 for nothing and 255 for void"
        )
    narrow = numbers.astype(np.uint8 if numbers.max() <= 255 else np.int32)
    return turned(Image.fromarray(narrow), orientation)


def _numbers(values: NDArray, mode: str, path: Path) -> NDArray:
    """One number a pixel; what stands beside it (alpha, equal channels) is left out."""
    if mode in ("LA", "La", "PA"):
        values = values[..., 0]
    elif mode in ("RGB", "RGBA", "RGBX", "RGBa"):
        if (values[..., :1] != values[..., 1:3]).any():
            raise InputError(f"mask {path} holds colours: save it as grey, with class index + 1 at each pixel")
        values = values[..., 0]
    if values.ndim != 2 or (values.dtype.kind == "f" and not (values == np.floor(values)).all()):
        raise InputError(f"mask {path} has the mode {mode}: save it as grey, with class index + 1 at each pixel")
    return values.astype(np.int64) if values.dtype.kind == "f" else values


def check_shape(path: Path, width: int, height: int, frame: Frame, side: int) -> None:
    """Refuse a mask that cannot lie on its picture.

    Args:
        path: The mask, for the error.
        width: Its width.
        height: Its height.
        frame: The picture's.
        side: Side of the square that the data set resizes to; a mask of this size fits every picture.

    Raises:
        InputError: It has another format than the picture, upright or as stored, by more than a twentieth.
    """
    formats = (frame.width / frame.height, frame.height / frame.width if frame.orientation >= 5 else 0)
    alike = any(abs(width / height - other) <= 0.05 * other for other in formats)
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
        path: The mask.
        photo: The picture that it is of.
        classes: K, the number of the classes.
        size: Side S of the resized image.

    Returns:
        (K, S, S) uint8: 1 where the class is, 0 where not, 255 where that is void.

    Raises:
        UnreadableError: One of the files is missing or damaged.
        InputError: The mask is none, or has another format than its picture.
    """
    mask = _lay_on(path, photo, classes, size)
    drawn = torch.from_numpy(np.array(mask.resize((size, size), Image.Resampling.NEAREST)))
    present = (drawn == torch.arange(1, classes + 1)[:, None, None]).to(torch.uint8)
    return present.masked_fill(drawn == VOID, VOID)


def check_masks(pairs: Iterable[tuple[Path, Path]], classes: int, size: int) -> None:
    """Refuse, before any work, masks that are none. Damaged files are passed over: their images will be skipped.

    Args:
        pairs: Each mask, and the picture that it is of.
        classes: Number of the classes.
        size: Side of the resized images.

    Raises:
        InputError: As `place_mask`; names the first such file.
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
