"""Tell images, classes and splits in a folder: hidden and special files are passed over, links are followed."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from pytorch_lightning.utilities.rank_zero import rank_zero_info

from explainer.errors import InputError

IMAGES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
_LEFT_BEHIND = frozenset({"__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "lost+found", "@eadir"})
"""Names, without a leading dot, of what systems leave behind in folders; compared without case."""
_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""Folder names of splits, as labelling tools write them; compared without case."""


class Item(NamedTuple):
    """One image: its path below the root, the names of its classes, and its split where that is given."""

    path: str
    labels: tuple[str, ...]
    split: str | None


def hidden(name: str) -> bool:
    """Tell whether a folder's entry is no part of a data set: `.ipynb_checkpoints`, `._photo.png`, `__MACOSX`, …."""
    return name.startswith(".") or name.casefold() in _LEFT_BEHIND


def walk(folder: Path, passed: Counter, but: Path | None = None) -> Iterator[tuple[str, ...]]:
    """List the images below a folder, following links, but never around a loop.

    Args:
        folder: Folder that is searched.
        passed: Counter of what is passed over, by the reason; changed in place.
        but: Folder that is left out; None for no such one.

    Yields:
        Parts of each image's path below the folder, in no certain order.
    """
    left_out = None
    if but is not None:
        left_out = os.path.realpath(but)
    root = os.path.realpath(folder)
    top: tuple[tuple[str, ...], frozenset[str]] = ((), frozenset({root}))
    # a list and not a recursion: folders may be nested deeper than Python calls
    todo = [top]
    while todo:
        parts, above = todo.pop()
        for entry in os.scandir(folder.joinpath(*parts)):
            # by the ending: to open each of a million files would take as long as an epoch
            image = Path(entry.name).suffix.lower() in IMAGES
            folder_like = _follows(entry.is_dir)
            if hidden(entry.name):
                passed["hidden"] += image or folder_like
            elif folder_like:
                real = os.path.realpath(entry.path)
                # a loop is known by a folder above it, not by a visit: two links to one folder are both followed
                if real == left_out:
                    passed["the masks"] += 1
                elif real in above:
                    passed["a link to a folder above it"] += 1
                else:
                    todo.append(((*parts, entry.name), above | {real}))
            elif image and _follows(entry.is_file):
                yield (*parts, entry.name)
            elif image:
                passed["no file, such as a broken link or a pipe"] += 1


def _follows(kind: Callable[[], bool]) -> bool:
    """Ask an entry what it is; a link that leads nowhere, or to itself, is nothing."""
    try:
        return kind()
    except OSError:
        return False


def list_folders(root: Path, masks: Path | None = None) -> list[Item]:
    """List the images in root/<split>/<class>/ or root/<class>/, at any depth below the class.

    Folders named train, val and test (or as `_NAMES` has them) are splits when train holds folders of images; they are
    classes when images lie in them directly beside other classes, or when there is neither val nor test beside train
    but other folders of images. What was decided that a person might not expect is said in one line.

    Args:
        root: Folder of the data set.
        masks: Folder of segmentations, which is no class.

    Returns:
        Images in sorted order.

    Raises:
        InputError: There is no image below a class folder.
    """
    passed: Counter = Counter()
    images = list(walk(root, passed, masks))
    # file systems list in orders of their own, and the division by a seed must be the same everywhere
    paths = sorted(parts for parts in images if len(parts) > 1)
    passed["beside the class folders"] = len(images) - len(paths)
    splits = _splits(paths)
    if not splits:
        items = [Item("/".join(parts), (parts[0],), None) for parts in paths]
    else:
        nested = [parts for parts in paths if parts[0] in splits and len(parts) > 2]
        passed["outside the splits"] = len(paths) - len(nested)
        items = []
        for parts in nested:
            folder, label = parts[:2]
            items.append(Item("/".join(parts), (label,), splits[folder]))
    if not items:
        raise InputError(f"no images in {root}: expected {root}/<class>/<image> or {root}/train/<class>/<image>")
    reasons = [f"{count} ({reason})" for reason, count in passed.items() if count]
    if reasons:
        rank_zero_info(f"{root}: passed over {', '.join(reasons)}")
    return items


def list_images(root: Path, masks: Path | None = None) -> list[Item]:
    """List the images below a folder, at any depth, as images without labels.

    Args:
        root: Folder of the images.
        masks: Folder of segmentations, which are no images; None for no such one.

    Returns:
        Images in sorted order.

    Raises:
        InputError: There is no image.
    """
    passed: Counter = Counter()
    # file systems list in orders of their own, and the division by a seed must be the same everywhere
    paths = sorted(walk(root, passed, masks))
    items = [Item("/".join(parts), (), None) for parts in paths]
    if not items:
        raise InputError(f"no images in {root}: expected files such as {root}/photo.jpg, at any depth")
    return items


def _splits(paths: list[tuple[str, ...]]) -> dict[str, str]:
    """Return the top folders that are splits, with the splits' names; none where they are classes."""
    direct = {parts[0] for parts in paths if len(parts) == 2}
    nested = {parts[0] for parts in paths if len(parts) > 2}
    folders = direct | nested
    splits = {}
    for name in folders:
        split = _NAMES.get(name.casefold())
        if split is not None:
            splits[name] = split
    others = folders - set(splits)
    # a split holds folders of images; "train" may be a class, too, of locomotives
    held = {split for name, split in splits.items() if name in nested}
    flat = any(name not in nested for name in splits)
    if not held:
        return {}
    if others and (flat or "train" not in held or len(held) == 1):
        return {}
    return splits
