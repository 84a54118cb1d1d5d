"""Read anybody's own images: one folder a class, or a CSV of paths and labels."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_info
from torch import Tensor

from explainer.data.base import ImageDataModule, ImageDataset, Split
from explainer.data.bounds import within
from explainer.data.division import partition, stratify
from explainer.data.listing import Item, list_folders, list_images
from explainer.data.masks import check_masks, place_mask
from explainer.data.tables import SPLITS, read_csv
from explainer.errors import InputError
from explainer.files.bands import read_bands
from explainer.functional.resizing import resize

_MOST_CHANNELS = 10_000
"""More channels than any camera has."""


class FolderDataset(ImageDataset):
    """Images of a list.

    Args:
        root: Folder to which the paths are relative.
        items: Images of the split.
        classes: Names of the K classes in index order.
        masks: Folder of PNGs, <path without suffix>.png: class index + 1 at each pixel, 0 nothing, 255 void.
        channels: Number C of channels that every image must have.
        options: Further arguments of `ImageDataset`.
    """

    def __init__(
        self,
        root: Path,
        items: list[Item],
        classes: tuple[str, ...],
        masks: Path | None,
        channels: int = 3,
        **options: object,
    ) -> None:
        super().__init__([item.path for item in items], classes, **options)  # type: ignore[arg-type]
        self.root = root
        self.items = items
        self.masks = masks
        self.channels = channels
        self._index = {name: number for number, name in enumerate(classes)}

    def image(self, index: int) -> Tensor:
        """Return an image (C, S, S) in [0, 1]."""
        path = self.root / self.ids[index]
        if self.channels == 3:
            return self.read(path)
        values = torch.from_numpy(read_bands(path, self.channels).copy())
        return resize(values[None], (self.image_size, self.image_size))[0]

    def labels(self, index: int) -> Tensor:
        """Return the labels (K,), multi-hot."""
        present = torch.zeros(len(self.classes))
        indices = [self._index[name] for name in self.items[index].labels]
        present[indices] = 1
        return present

    def _mask(self, index: int) -> Path | None:
        if self.masks is None:
            return None
        name = Path(self.ids[index]).with_suffix(".png")
        if name.is_absolute():  # joined to the folder of the masks it would be the picture itself
            root = self.root.absolute()
            within_root = name.is_relative_to(root)
            name = name.relative_to(root) if within_root else Path(name.name)
        path = self.masks / name
        return path if path.exists() else None

    def segmentation(self, index: int) -> Tensor | None:
        """Return the segmentation (K, S, S) from the mask of the same name; None where there is none."""
        path = self._mask(index)
        if path is None:
            return None
        photo = self.root / self.ids[index]
        return place_mask(path, photo, len(self.classes), self.image_size)

    def check_annotations(self) -> None:
        """Refuse pictures that are no masks."""
        if self.annotations and self.masks is not None:
            pairs = []
            for index, name in enumerate(self.ids):
                mask = self._mask(index)
                if mask is not None:
                    pairs.append((mask, self.root / name))
            check_masks(pairs, len(self.classes), self.image_size)


class Folder(ImageDataModule):
    """Images of one's own.

    Without a CSV: root/{train,val,test}/<class>/*, or root/<class>/*, which is split 80 / 10 / 10 by a seed. With one:
    columns `path` (relative to the root) and `labels` (separated by ";", may be empty), and optionally `split`. An
    image may have several lines, one a label. Where there is a train split and no val, a tenth of train is val; where
    there is no test, val is test too; where there is neither, train is split. Without labels, all images at any depth
    are split 80 / 10 / 10: an Explainer whose `targets` are "predicted" needs no others.

    Args:
        csv: Path of the CSV file, relative to the root or absolute.
        masks: Folder of segmentation PNGs, relative to the root: class index + 1, 0 nothing, 255 void.
        multilabel: Whether an image may have several labels; None allows it when an image of the CSV has another number
            than one.
        class_names: Names of the K classes in the order of the classifier's outputs, also of those without any image;
            None takes those that occur, sorted.
        labelled: Whether folders or the CSV tell the labels; without labels, `class_names` must be given.
        channels: Number C of channels of the images. 3: pictures of any mode become RGB with 8 bits. 1: they become
            grey and keep 16 bits. 4 and more: TIFF files of as many bands (extra `bands`).
        kwargs: Further arguments of `ImageDataModule`.
    """

    def __init__(
        self,
        csv: str | None = None,
        masks: str | None = None,
        multilabel: bool | None = None,
        class_names: list[str] | None = None,
        labelled: bool = True,
        channels: int = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        within("channels", channels, 1, _MOST_CHANNELS)
        if not labelled and csv is not None:
            raise InputError("data.init_args.csv tells labels: leave it out, or set labelled to true")
        if not labelled and class_names is None:
            raise InputError("images without labels need data.init_args.class_names: the classifier's, in their order")
        self.csv = csv
        self.masks = masks
        self.labelled = labelled
        self.channels = channels
        self._given = multilabel
        self._class_names = class_names
        self._items: list[Item] | None = None
        self._divided: dict[Split, list[Item]] | None = None
        if class_names is not None:
            _check_names(class_names)

    @property
    def _masks_folder(self) -> Path | None:
        if self.masks is None:
            return None
        return self.root / self.masks

    @property
    def items(self) -> list[Item]:
        """All images, listed once."""
        if self._items is None:
            if not self.root.is_dir():
                raise InputError(f"no folder {self.root}: set data.init_args.root to your images")
            if self.csv:
                self._items = read_csv(self.root, self.csv)
            else:
                # masks may lie below the root, and are no images
                list_items = list_folders if self.labelled else list_images
                self._items = list_items(self.root, self._masks_folder)
        return self._items

    @property
    def multilabel(self) -> bool:  # type: ignore[override]
        """Whether an image may have several labels: as given, else by what the images have."""
        if self._given is not None:
            return self._given
        return any(len(item.labels) != 1 for item in self.items)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names as given, else those that occur, sorted; an image of another class is an error."""
        occurring = sorted({name for item in self.items for name in item.labels})
        if self._class_names is None and not occurring:
            raise InputError(f"no image in {self.root} has a label: give labels, or data.init_args.class_names")
        if self._class_names is None:
            return tuple(occurring)
        unknown = sorted(set(occurring) - set(self._class_names))
        if unknown:
            raise InputError(f"class {unknown[0]!r} of images in {self.root} is not among class_names")
        return tuple(self._class_names)

    def fetch(self) -> None:
        """Say what to do: one's own images cannot be downloaded."""
        raise InputError(f"no images in {self.root}: put one folder a class there, or a CSV (data.init_args.csv)")

    def build(self, split: Split) -> FolderDataset:
        """Make the images of a split."""
        if self._divided is None:
            self._divided = self._divide()
        if split == "test" and self._divided["test"] is self._divided["val"]:
            rank_zero_info(f"{self.root}: there are no test images, the val images are the test images too")
        masks = self._masks_folder
        if masks is not None and not masks.is_dir():
            raise InputError(f"no folder {masks}: set data.init_args.masks to the folder of the segmentations")
        items = self._divided[split]
        return FolderDataset(self.root, items, self.classes, masks, self.channels, **self.options(split))

    def _divide(self) -> dict[Split, list[Item]]:
        """Return the splits that are given, and those that must be made, which are sorted by labels."""
        parts: dict[Split, list[Item]] = {}
        for name in SPLITS:
            parts[name] = [item for item in self.items if item.split == name]
        if not any(parts.values()):
            return self._share_out(self.items, "no splits are given")
        if parts["train"] and not parts["val"] and not parts["test"]:
            return self._share_out(parts["train"], "there are neither val nor test images")
        if parts["train"] and not parts["val"]:
            # sorted, so that neither the order of folders nor that of a CSV's lines decides
            train = sorted(parts["train"], key=lambda item: item.labels)
            labels = [item.labels for item in train]
            chosen = stratify(labels, (0.9, 0.1), self.seed)
            parts["train"] = [item for item, part in zip(train, chosen) if part == 0]
            parts["val"] = [item for item, part in zip(train, chosen) if part == 1]
            count = len(parts["val"])
            source = f"{count} of {len(train)} train images, chosen by labels, seed {self.seed}"
            rank_zero_info(f"{self.root}: there are no val images, they are {source}")
        elif parts["val"] and not parts["test"]:
            # nothing is taken out of val: it stays the split that was given
            parts["test"] = parts["val"]
        return parts

    def _share_out(self, items: list[Item], why: str) -> dict[Split, list[Item]]:
        """Divide images by labels: 80, 10 and 10 %."""
        # sorted, so that neither the order of folders nor that of a CSV's lines decides
        items = sorted(items, key=lambda item: item.labels)
        labels = [item.labels for item in items]
        chosen = partition(labels, self.seed)
        parts: dict[Split, list[Item]] = {}
        for number, name in enumerate(SPLITS):
            parts[name] = [item for item, part in zip(items, chosen) if part == number]
        sizes = " / ".join(str(len(part)) for part in parts.values())
        rank_zero_info(
            f"{self.root}: {why}, the images are split {sizes} (train / val / test) by labels, seed {self.seed}"
        )
        return parts


def _check_names(names: list[str]) -> None:
    """Refuse class names that are empty, are no text, or stand twice."""
    wrong = next((name for name in names if not isinstance(name, str) or not name.strip()), None)
    if wrong is not None or not names:
        raise InputError(f"data.init_args.class_names must be names, got {wrong!r}")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"data.init_args.class_names has {twice!r} twice")
