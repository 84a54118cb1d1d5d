"""Anybody's own images: one folder a class, or a CSV of paths and labels."""

import csv
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from explainer.data.annotations import divide
from explainer.data.base import VOID, ImageDataModule, ImageDataset, Split, open_rgb, pixels
from explainer.errors import InputError

_IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
_SPLITS = ("train", "val", "test")


class Item(NamedTuple):
    """One image: its path below the root, the names of its classes, and its split where that is given."""

    path: str
    labels: tuple[str, ...]
    split: str | None


class FolderDataset(ImageDataset):
    """Images of a list.

    Args:
        root: What the paths are relative to.
        items: The images.
        classes: K names in index order.
        masks: Folder of PNGs, <path without suffix>.png: class index + 1 at each pixel, 0 nothing, 255 void.
        options: Of `ImageDataset`.
    """

    def __init__(
        self, root: Path, items: list[Item], classes: tuple[str, ...], masks: Path | None, **options: object
    ) -> None:  # fmt: skip
        super().__init__([item.path for item in items], classes, **options)  # type: ignore[arg-type]
        self.root, self.items, self.masks = root, items, masks

    def image(self, index: int) -> Tensor:
        """(3, S, S) in [0, 1]."""
        return pixels(open_rgb(self.root / self.ids[index]), self.image_size)

    def labels(self, index: int) -> Tensor:
        """(K,) multi-hot."""
        present = torch.zeros(len(self.classes))
        present[[self.classes.index(name) for name in self.items[index].labels]] = 1
        return present

    def segmentation(self, index: int) -> Tensor | None:
        """(K, S, S) from the mask of the same name; None where there is none."""
        path = None if self.masks is None else self.masks / Path(self.ids[index]).with_suffix(".png")
        if path is None or not path.is_file():
            return None
        with Image.open(path) as file:
            drawn = torch.from_numpy(np.array(file.resize((self.image_size,) * 2, Image.Resampling.NEAREST)))
        masks = (drawn == torch.arange(1, len(self.classes) + 1)[:, None, None]).to(torch.uint8)
        return masks.masked_fill(drawn == VOID, VOID)


class Folder(ImageDataModule):
    """Images of one's own.

    Without a CSV: root/{train,val,test}/<class>/*, or root/<class>/*, which is split 80 / 10 / 10 by a seed. With one:
    columns `path` (relative to the root) and `labels` (separated by ";", may be empty), and optionally `split`.

    Args:
        csv: The CSV file, relative to the root or absolute.
        masks: Folder of segmentation PNGs, relative to the root: class index + 1, 0 nothing, 255 void.
        multilabel: Whether an image may have several labels; None says yes when some image of the CSV has not just one.
        class_names: The K classes in the order of the classifier's outputs, also those of which there is no image; None
            takes those that occur, sorted.
        kwargs: Of `ImageDataModule`.
    """

    def __init__(
        self, csv: str | None = None, masks: str | None = None, multilabel: bool | None = None,
        class_names: list[str] | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self.csv, self.masks = csv, masks
        self._given, self._class_names = multilabel, class_names
        self._items: list[Item] | None = None

    @property
    def items(self) -> list[Item]:
        """All images, listed once."""
        if self._items is None:
            if not self.root.is_dir():
                raise InputError(f"no folder {self.root}: set data.init_args.root to your images")
            self._items = read_csv(self.root, self.csv) if self.csv else list_folders(self.root)
        return self._items

    @property
    def multilabel(self) -> bool:  # type: ignore[override]
        """As given, else by what the images have."""
        return any(len(item.labels) != 1 for item in self.items) if self._given is None else self._given

    @property
    def classes(self) -> tuple[str, ...]:
        """Names as given, else those that occur, sorted; an image of another class is an error."""
        occurring = sorted({name for item in self.items for name in item.labels})
        if self._class_names is None:
            return tuple(occurring)
        unknown = sorted(set(occurring) - set(self._class_names))
        if unknown:
            raise InputError(f"class {unknown[0]!r} of images in {self.root} is not among class_names")
        return tuple(self._class_names)

    def fetch(self) -> None:
        """One's own images cannot be downloaded."""
        raise InputError(f"no images in {self.root}: put one folder a class there, or a CSV (data.init_args.csv)")

    def build(self, split: Split) -> FolderDataset:
        """Images of a split."""
        items = self.items
        if any(item.split for item in items):
            items = [item for item in items if item.split == split]
        else:
            items = [item for name in sorted({i.labels for i in items}) for item in self._part(name, split)]
        masks = None if self.masks is None else self.root / self.masks
        return FolderDataset(self.root, items, self.classes, masks, **self.options(split))

    def _part(self, labels: tuple[str, ...], split: Split) -> list[Item]:
        """80, 10 or 10 % of the images with the same labels."""
        train, rest = divide([item for item in self.items if item.labels == labels], 0.8, self.seed)
        val, test = divide(rest, 0.5, self.seed) if rest else ([], [])
        return {"train": train, "val": val, "test": test}[split]


def list_folders(root: Path) -> list[Item]:
    """Images in root/<split>/<class>/ or root/<class>/, at any depth below the class.

    Args:
        root: The folder.

    Returns:
        The images in sorted order.

    Raises:
        InputError: There is no image in such a place.
    """
    split = (root / "train").is_dir()
    items = []
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if path.suffix.lower() in _IMAGES and len(parts) > 1 + split and (not split or parts[0] in _SPLITS):
            items.append(Item("/".join(parts), (parts[split],), parts[0] if split else None))
    if not items:
        raise InputError(f"no images in {root}: expected {root}/<class>/<image> or {root}/train/<class>/<image>")
    return items


def read_csv(root: Path, name: str) -> list[Item]:
    """Images named in a CSV.

    Args:
        root: What the paths, and the CSV's own when relative, are relative to.
        name: The CSV.

    Returns:
        The images in the file's order.

    Raises:
        InputError: The file, a column or an image is missing, or a split has an unknown name.
    """
    path = root / name
    if not path.is_file():
        raise InputError(f"no CSV {path}")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for column in ("path", "labels"):
        if not rows or column not in rows[0]:
            raise InputError(f"{path} needs the columns path and labels; {column!r} is missing")
    items = []
    for line, row in enumerate(rows, start=2):
        split = row.get("split") or None
        if split not in (None, *_SPLITS):
            raise InputError(f"{path}, line {line}: split {split!r} is none of train, val, test")
        if not (root / row["path"]).is_file():
            raise InputError(f"{path}, line {line}: no image {root / row['path']}")
        labels = tuple(sorted({label.strip() for label in (row["labels"] or "").split(";") if label.strip()}))
        items.append(Item(row["path"], labels, split))
    return items
