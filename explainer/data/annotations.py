"""Read XML of the Pascal kind, check and place boxes, and divide lists by a seed, for all annotated data sets."""

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import torch
from torch import Tensor

from explainer.errors import InputError
from explainer.files.reading import read_bytes

Box = tuple[float, float, float, float]
"""Corners x0, y0, x1, y1 in pixels, from 0; the last ones lie behind the object."""


class Annotated(NamedTuple):
    """One object of an XML file: its name, whether it is difficult, and x0, y0, x1, y1 in pixels, from 0."""

    name: str
    difficult: bool
    box: Box


def read_xml(path: Path) -> tuple[int, int, list[Annotated]]:
    """Read an annotation file of VOC or ImageNet.

    Args:
        path: Path of the XML file. Its corners count from 1 and include the last pixel; reversed ones are put in order.

    Returns:
        Width and height of the image in pixels, 0 where the file does not give them; and the objects.

    Raises:
        InputError: The file is missing or is no such XML, or it has a text where a number belongs.
    """
    try:
        # bytes, not text: the XML itself says in which encoding it is
        root = ElementTree.fromstring(read_bytes(path))
        width = _side(root.findtext("size/width", ""))
        height = _side(root.findtext("size/height", ""))
        objects = [_read_object(element) for element in root.iter("object")]
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError) as error:  # LookupError: its encoding
        raise InputError(f"cannot read annotation {path}: {error}") from error
    return width, height, objects


def _side(text: str) -> int:
    """Return a width or height; tools that do not know it write 0 or nothing."""
    # a float first, for tools that write 500.0
    side = float(text or 0)
    if not 0 <= side < 2**31 or side != int(side):
        raise InputError(f"an image cannot be {text} pixels wide or high")
    return int(side)


def _read_object(element: ElementTree.Element) -> Annotated:
    name = element.findtext("name", "").strip()
    texts = [element.findtext(f"bndbox/{key}", "") for key in ("xmin", "ymin", "xmax", "ymax")]
    try:
        x0, y0, x1, y1 = map(float, texts)
    except ValueError as error:
        raise InputError(f"object {name!r} has the box {', '.join(texts)}, which is not four numbers") from error
    left, right = sorted((x0, x1))
    top, bottom = sorted((y0, y1))
    # corners count from 1 and include the last pixel: ours count from 0 and end behind it
    box = (left - 1, top - 1, right, bottom)
    difficult = element.findtext("difficult", "0").strip()
    return Annotated(name, difficult == "1", box)


def check_box(corners: Sequence[float], width: float, height: float, where: str) -> Box | None:
    """Put a box's corners in order, and clip it to its image.

    Args:
        corners: Corners x0, y0, x1, y1 in pixels of the annotated image.
        width: Width of that image; 0 where it is not known, and then nothing is clipped.
        height: Height of that image.
        where: Names of file and object in the error.

    Returns:
        The box; None where it has no area, as some of COCO's own have.

    Raises:
        InputError: A corner is no finite number, or all of the box lies outside the image.

    Example:
        >>> check_box((30, 5, 10, 41), 40, 40, "a.xml: cat")
        (10, 5, 30, 40)
    """
    if not all(math.isfinite(corner) for corner in corners):
        raise InputError(f"{where} has the box {list(corners)}: correct it, or take it out")
    x0, x1 = sorted((corners[0], corners[2]))
    y0, y1 = sorted((corners[1], corners[3]))
    if x0 == x1 or y0 == y1:
        return None
    if not (width and height):
        return x0, y0, x1, y1
    # a box may reach a little over the border, and is clipped; one beside its image is a mistake in the file
    if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
        raise InputError(f"{where} has the box {list(corners)} outside its image of {width} x {height} pixels")
    return max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)


def turn_box(box: Box, orientation: int) -> Box:
    """Turn a box of a stored picture with the picture.

    Args:
        box: Corners as parts of the stored picture's width and height, in [0, 1].
        orientation: The picture's EXIF orientation.

    Returns:
        Corners as parts of the upright picture's width and height.

    Example:
        >>> turn_box((0.0, 0.0, 0.5, 0.25), 6)
        (0.75, 0.0, 1.0, 0.5)
    """
    x0, y0, x1, y1 = box
    # EXIF numbers the eight ways to mirror and turn; mirrored here as stored, before the axes are swapped
    if orientation in (2, 3, 7, 8):
        x0, x1 = 1 - x1, 1 - x0
    if orientation in (3, 4, 6, 7):
        y0, y1 = 1 - y1, 1 - y0
    if orientation >= 5:  # these orientations swap the axes
        return y0, x0, y1, x1
    return x0, y0, x1, y1


def place_boxes(
    rows: Sequence[tuple[int, tuple[float, ...]]],
    width: float,
    height: float,
    size: int,
    orientation: int = 1,
) -> Tensor:
    """Place boxes in pixels of the resized image.

    Args:
        rows: Class index, and corners x0, y0, x1, y1 in pixels of the annotated image.
        width: Width of the annotated image in pixels.
        height: Height of the annotated image in pixels.
        size: Side of the resized image in pixels.
        orientation: EXIF orientation from which the boxes are turned upright; 1 where they are upright.

    Returns:
        (N, 5): class index, x0, y0, x1, y1.

    Example:
        >>> place_boxes([(3, (0, 0, 50, 100))], 100, 100, 10).tolist()
        [[3.0, 0.0, 0.0, 5.0, 10.0]]
    """
    across = size / width
    down = size / height
    placed = []
    for number, (x0, y0, x1, y1) in rows:
        box = (x0 * across, y0 * down, x1 * across, y1 * down)
        # only where they are turned: by way of parts of the sides, corners would be rounded once more
        if orientation != 1:
            parts = (x0 / width, y0 / height, x1 / width, y1 / height)
            left, top, right, bottom = turn_box(parts, orientation)
            box = (left * size, top * size, right * size, bottom * size)
        placed.append([number, *box])
    return torch.tensor(placed, dtype=torch.float32).view(-1, 5)


def divide(items: Sequence, fraction: float, seed: int) -> tuple[list, list]:
    """Split a list in two by a seeded permutation; both parts keep the list's order.

    Args:
        items: List to split.
        fraction: Share of the first part; that gets at least one item, and leaves at least one where there are two.
        seed: Seed of the permutation (Python's Mersenne Twister, the same on every machine).

    Returns:
        The two parts.

    Example:
        >>> first, second = divide(range(10), 0.9, 42)
        >>> len(first), len(second)
        (9, 1)
    """
    order = list(range(len(items)))
    random.Random(seed).shuffle(order)
    wanted = round(fraction * len(items))
    most = max(1, len(items) - 1)
    count = min(max(1, wanted), most)
    # only which items go where is drawn: both parts keep the list's order, which is that of the images' names
    chosen = set(order[:count])
    first = [item for index, item in enumerate(items) if index in chosen]
    second = [item for index, item in enumerate(items) if index not in chosen]
    return first, second
