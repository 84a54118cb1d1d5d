"""Read COCO's annotation files, checked once and whole: ids, boxes, polygons and run lengths."""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as run_lengths
from pytorch_lightning.utilities.rank_zero import rank_zero_warn

from explainer.data.annotations import Box, check_box
from explainer.errors import InputError
from explainer.files.reading import parse

_Id = int | str | float
_LARGEST = 178_956_970
"""Most pixels of an image: Pillow opens no larger one, and pycocotools does not survive one."""
_NO_IMAGE = "annotations name no image"
"""Words under which such annotations are counted."""


@dataclass(frozen=True, slots=True)
class _Image:
    id: _Id
    file_name: str
    width: float | str | None = None
    height: float | str | None = None


@dataclass(frozen=True, slots=True)
class RunLengths:
    """A mask as pycocotools packs it: height and width, and the lengths of its runs, as numbers or as text."""

    size: tuple[int, int]
    counts: list[int] | str


Segmentation = list[list[float]] | RunLengths
"""Polygons of x0, y0, x1, y1, …; or run lengths."""


@dataclass(frozen=True, slots=True)
class _Annotation:
    image_id: _Id
    category_id: _Id
    id: _Id | None = None
    bbox: list[float] | None = None
    segmentation: Segmentation | None = None
    iscrowd: int | bool | None = None


@dataclass(frozen=True, slots=True)
class _Category:
    id: _Id
    name: str


@dataclass(frozen=True, slots=True)
class _File:
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


@dataclass(frozen=True, slots=True)
class Thing:
    """One object: its name, its class, whether it is a crowd, and box and segmentation, None where there is none."""

    name: str
    category: int
    crowd: bool
    box: Box | None
    segmentation: Segmentation | None


@dataclass(frozen=True, slots=True)
class Photo:
    """One image: its file, its size (0 where the file does not say it), and its objects."""

    file_name: str
    width: int
    height: int
    things: list[Thing] = field(default_factory=list)


@dataclass(frozen=True)
class Annotations:
    """A checked annotation file.

    Attributes:
        classes: Names of the categories in the order of their ids.
        photos: The images in the order of their ids.
        segmented: Whether any object has a segmentation.
    """

    classes: tuple[str, ...]
    photos: list[Photo]
    segmented: bool


def read_annotations(path: Path) -> Annotations:
    """Read an annotation file.

    Ids given as text stand for the same numbers. Annotations that name no image are counted and named, and so are
    boxes and polygons without an area, which are left out.

    Args:
        path: Path of instances_<split><year>.json.

    Returns:
        Images in the order of their ids, with their objects.

    Raises:
        InputError: The file is missing or of another kind, an id or a file stands twice, an annotation names an unknown
            category, or its box or segmentation is impossible; names the annotation.
    """
    if not path.is_file():
        raise InputError(f"no {path}: unpack COCO's annotations_trainval archive there")
    content = parse(path, _File, f"{path} is not a COCO annotation file")
    # by id: two files with the same categories in another order mean the same class indices
    categories = sorted(content.categories, key=_order)
    category_ids = [_key(category.id) for category in categories]
    _refuse_twice(category_ids, f"{path}: category")
    index = {identity: number for number, identity in enumerate(category_ids)}
    # and so do the seeded splits: they depend on ids, not on the order in which a tool wrote them
    images = sorted(content.images, key=_order)
    _refuse_twice([_key(image.id) for image in images], f"{path}: image id")
    _refuse_twice([image.file_name for image in images], f"{path}: image")
    photos = {_key(image.id): _photo(image, path) for image in images}
    left_out: dict[str, list[str]] = defaultdict(list)
    for number, annotation in enumerate(content.annotations):
        name = f"annotation {number if annotation.id is None else annotation.id}"
        category = index.get(_key(annotation.category_id))
        if category is None:
            raise InputError(f"{name} in {path} names the unknown category {annotation.category_id}")
        photo = photos.get(_key(annotation.image_id))
        if photo is None:
            left_out[_NO_IMAGE].append(f"{name} of image {annotation.image_id!r}")
            continue
        try:
            thing = _thing(annotation, name, category, photo, left_out)
        except InputError as error:
            raise InputError(f"{path}: {name} of {photo.file_name}: {error}") from error
        photo.things.append(thing)
    without_image = left_out[_NO_IMAGE]
    # a few are a slip; all of them mean that ids of another file are meant
    if content.annotations and len(without_image) == len(content.annotations):
        raise InputError(f"{path}: no annotation names an image; the first is {without_image[0]}")
    for what, names in left_out.items():
        if names:
            count = len(names)
            rank_zero_warn(f"{path}: {count} {what} and are left out, such as {names[0]}")
    names_of_classes = tuple(category.name for category in categories)
    things = [thing for photo in photos.values() for thing in photo.things]
    segmented = any(thing.segmentation is not None for thing in things)
    return Annotations(names_of_classes, list(photos.values()), segmented)


def _key(identity: _Id) -> str:
    """Return the name of an id: 1, 1.0 and "1" have the same."""
    if isinstance(identity, float) and identity.is_integer():
        return str(int(identity))
    return str(identity)


def _order(item: _Image | _Category) -> tuple[bool, _Id]:
    return isinstance(item.id, str), item.id  # numbers and texts cannot be compared: numbers go first


def _refuse_twice(names: list[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"{what} {name} stands twice: take one out")
        seen.add(name)


def _photo(image: _Image, path: Path) -> Photo:
    try:
        width = float(image.width or 0)
        height = float(image.height or 0)
    except ValueError as error:
        raise InputError(f"{path}: image {image.file_name} has a size that is no number: {error}") from error
    # the remainder of NaN is NaN, and so is that of infinity: neither is whole
    whole = width % 1 == 0 and height % 1 == 0
    if not whole or min(width, height) < 0 or width * height > _LARGEST:
        raise InputError(f"{path}: image {image.file_name} cannot have {width:g} x {height:g} pixels")
    if not (width and height):
        return Photo(image.file_name, 0, 0)
    return Photo(image.file_name, int(width), int(height))


def _thing(annotation: _Annotation, name: str, category: int, photo: Photo, left_out: dict[str, list[str]]) -> Thing:
    """Check an annotation of an image; what has no area is left out."""
    segmentation = check_segmentation(annotation.segmentation, photo.width, photo.height)
    if segmentation is None and annotation.segmentation and any(annotation.segmentation):  # type: ignore[arg-type]
        left_out["segmentations have no area"].append(f"{name} of {photo.file_name}")
    box = None
    if annotation.bbox:
        if len(annotation.bbox) != 4:
            raise InputError(f"its bbox has {len(annotation.bbox)} numbers instead of x, y, width, height")
        x, y, width, height = annotation.bbox
        corners = (x, y, x + width, y + height)
        box = check_box(corners, photo.width, photo.height, "it")
        if box is None:
            left_out["boxes have no area"].append(f"{name} of {photo.file_name}")
    elif segmentation is not None:
        box = check_box(_around(segmentation), photo.width, photo.height, "it")
    return Thing(name, category, bool(annotation.iscrowd), box, segmentation)


def check_segmentation(segmentation: Segmentation | None, width: int, height: int) -> Segmentation | None:
    """Refuse an impossible segmentation.

    Args:
        segmentation: Polygons, or run lengths; None where there are none.
        width: Width of the image in pixels; 0 where it is not known.
        height: Height of the image in pixels.

    Returns:
        The segmentation without polygons of no area; None where none is left.

    Raises:
        InputError: It lies outside the image, has another size, or holds impossible numbers; says which.
    """
    if segmentation is None:
        return None
    if isinstance(segmentation, RunLengths):
        _check_runs(segmentation, width, height)
        return segmentation
    polygons = [polygon for polygon in segmentation if polygon and _check_polygon(polygon, width, height)]
    return polygons or None


def _check_polygon(polygon: list[float], width: int, height: int) -> bool:
    """Tell whether a polygon has three points; refuse an impossible one."""
    if len(polygon) % 2 or not math.isfinite(sum(polygon)):
        raise InputError("a polygon is not pairs of finite numbers")
    if width:
        xs = polygon[::2]
        ys = polygon[1::2]
        left = min(xs)
        right = max(xs)
        top = min(ys)
        bottom = max(ys)
        if left > width or right < 0 or top > height or bottom < 0:
            raise InputError(f"a polygon lies outside its image of {width} x {height} pixels")
        # annotators draw a little over the border; what goes far beyond it costs memory to draw
        far_across = left < -width or right > 2 * width
        far_down = top < -height or bottom > 2 * height
        if far_across or far_down:
            raise InputError(f"a polygon goes far beyond its image of {width} x {height} pixels")
    return len(polygon) >= 6


def _check_runs(runs: RunLengths, width: int, height: int) -> None:
    rows, columns = runs.size
    if min(rows, columns) < 1 or rows * columns > _LARGEST:
        raise InputError(f"its run lengths cannot be of {columns} x {rows} pixels")
    if width and (columns, rows) != (width, height):
        raise InputError(f"its run lengths are of {columns} x {rows} pixels, its image of {width} x {height}")
    counts = unpack(runs.counts) if isinstance(runs.counts, str) else runs.counts
    if not counts or min(counts) < 0 or sum(counts) != rows * columns:
        raise InputError(f"its run lengths do not fill its {columns} x {rows} pixels")


def unpack(text: str) -> list[int]:
    """Unpack run lengths that COCO's tools packed into text; any other text gives none.

    Args:
        text: Characters from "0" on, of six bits each, the sixth of which says that the number goes on. Numbers from
            the third on are differences to the one before the last.

    Returns:
        The lengths; an empty list where the text has another form.

    Example:
        >>> unpack("52203")
        [5, 2, 2, 2, 5]
    """
    # vectorised: a mask of COCO has hundreds of runs, and a file has hundreds of thousands of masks
    characters = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
    codes = characters.astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63:
        return []
    if codes[-1] & 32:  # the last number goes on, and nothing follows
        return []
    ends = np.flatnonzero((codes & 32) == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 6:  # more than 30 bits: no image has so many pixels
        return []
    digit = np.arange(len(codes)) - np.repeat(starts, lengths)
    parts = (codes & 31) << (5 * digit)
    values = np.add.reduceat(parts, starts)
    negative = codes[ends] & 16
    values -= np.where(negative, 1 << (5 * lengths), 0)  # two's complement
    # differences to the one before the last, so odd and even places add up apart; the very first stands alone
    values[1::2] = values[1::2].cumsum()
    values[2::2] = values[2::2].cumsum()
    return values.tolist()


def _around(segmentation: Segmentation) -> tuple[float, float, float, float]:
    if isinstance(segmentation, RunLengths):
        x, y, width, height = run_lengths.toBbox(_packed(segmentation))
        return float(x), float(y), float(x + width), float(y + height)
    xs = [x for polygon in segmentation for x in polygon[::2]]
    ys = [y for polygon in segmentation for y in polygon[1::2]]
    return min(xs), min(ys), max(xs), max(ys)


def _packed(runs: RunLengths) -> dict:
    rows, columns = runs.size
    written = {"size": [rows, columns], "counts": runs.counts}
    if isinstance(runs.counts, str):
        return written
    # numbers, as COCO's crowds have them: pycocotools packs them before it draws
    return run_lengths.frPyObjects(written, rows, columns)


def draw(segmentation: Segmentation, width: int, height: int) -> NDArray[np.uint8]:
    """Draw an object as a map (height, width) of 0 and 1."""
    if isinstance(segmentation, RunLengths):
        return run_lengths.decode(_packed(segmentation))
    polygons = run_lengths.frPyObjects(segmentation, height, width)
    # parts of one object, as a car behind a post: a pixel of any of them is the object's
    merged = run_lengths.merge(polygons)
    return run_lengths.decode(merged)
