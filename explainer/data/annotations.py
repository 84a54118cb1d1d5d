"""What the annotated data sets share: XML of the Pascal kind, boxes at the resized image, and splits from a seed."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import torch
from torch import Tensor

from explainer.errors import InputError


class Annotated(NamedTuple):
    """One object of an XML file: its name, whether it is difficult, and x0, y0, x1, y1 in pixels, from 0."""

    name: str
    difficult: bool
    box: tuple[float, float, float, float]


def read_xml(path: Path) -> tuple[int, int, list[Annotated]]:
    """Read an annotation file of VOC or ImageNet.

    Args:
        path: The XML file. Its corners count from 1 and include the last pixel.

    Returns:
        Width and height of the image in pixels, and the objects.

    Raises:
        InputError: The file is missing or is not such an XML.
    """
    try:
        root = ElementTree.parse(path).getroot()
        objects = []
        for element in root.iter("object"):
            x0, y0, x1, y1 = (float(element.findtext(f"bndbox/{k}", "")) for k in ("xmin", "ymin", "xmax", "ymax"))
            difficult = element.findtext("difficult", "0").strip() == "1"
            objects.append(Annotated(element.findtext("name", "").strip(), difficult, (x0 - 1, y0 - 1, x1, y1)))
        return int(root.findtext("size/width", "")), int(root.findtext("size/height", "")), objects
    except (OSError, ElementTree.ParseError, ValueError) as error:
        raise InputError(f"cannot read annotation {path}: {error}") from error


def place_boxes(rows: Sequence[tuple[int, tuple[float, ...]]], width: float, height: float, size: int) -> Tensor:
    """Boxes in pixels of the resized image.

    Args:
        rows: Class index, and x0, y0, x1, y1 in pixels of the original image.
        width: Of the original image.
        height: Of the original image.
        size: Side of the resized image.

    Returns:
        (N, 5): class index, x0, y0, x1, y1.

    Example:
        >>> place_boxes([(3, (0, 0, 50, 100))], 100, 100, 10).tolist()
        [[3.0, 0.0, 0.0, 5.0, 10.0]]
    """
    across, down = size / width, size / height
    placed = [[c, x0 * across, y0 * down, x1 * across, y1 * down] for c, (x0, y0, x1, y1) in rows]
    return torch.tensor(placed, dtype=torch.float32).view(-1, 5)


def divide(items: Sequence, fraction: float, seed: int) -> tuple[list, list]:
    """Split a list in two by a seeded permutation; both parts keep the list's order.

    Args:
        items: What to split.
        fraction: Of the first part; it gets at least one item, and leaves at least one where there are two.
        seed: Of the permutation (Python's Mersenne Twister, the same on every machine).

    Returns:
        The two parts.

    Example:
        >>> first, second = divide(range(10), 0.9, 42)
        >>> len(first), len(second)
        (9, 1)
    """
    order = list(range(len(items)))
    random.Random(seed).shuffle(order)
    count = min(max(1, round(fraction * len(items))), max(1, len(items) - 1))
    first = set(order[:count])
    return [x for i, x in enumerate(items) if i in first], [x for i, x in enumerate(items) if i not in first]
