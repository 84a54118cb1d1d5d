"""Read ImageNet (ILSVRC 2012) by folders of wnids, with bounding boxes where their XML is present.

O. Russakovsky et al.: ImageNet Large Scale Visual Recognition Challenge, IJCV 2015.

A class's index is its wnid's place among the 1,000 of the challenge in sorted order, also when a tree holds only some
of them. The labels of the test images are not public: val is the test split, and train is divided by a seed.
"""

import contextlib
import os
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from explainer.data.annotations import check_box, divide, place_boxes, read_xml
from explainer.data.base import ImageDataModule, ImageDataset, Split
from explainer.data.bounds import share
from explainer.data.listing import hidden
from explainer.errors import InputError
from explainer.files.pictures import UnreadableError, read_frame

_IMAGES = {".jpeg", ".jpg", ".png"}


@cache
def wnids() -> tuple[str, ...]:
    """Return the 1,000 wnids in sorted order."""
    from timm.data import ImageNetInfo  # late: timm takes seconds, for which other data sets do not wait

    return tuple(ImageNetInfo().label_names())


@cache
def class_names() -> tuple[str, ...]:
    """Return the first English name of each class; with the wnid where a name stands twice ("crane")."""
    from timm.data import ImageNetInfo

    names = [text.split(",")[0] for text in ImageNetInfo().label_descriptions()]
    unique = []
    for name, wnid in zip(names, wnids(), strict=True):
        unique.append(name if names.count(name) == 1 else f"{name} ({wnid})")
    return tuple(unique)


class ImageNetDataset(ImageDataset):
    """Images below folders that are named by wnid.

    Args:
        folder: Folder that holds the wnid folders.
        ids: Names "<wnid>/<file>".
        xml: Folders that may hold <wnid>/<stem>.xml or <stem>.xml.
        options: Further arguments of `ImageDataset`.
    """

    def __init__(self, folder: Path, ids: list[str], xml: list[Path], **options: object) -> None:
        super().__init__(ids, class_names(), **options)  # type: ignore[arg-type]
        self.folder = folder
        self.xml = xml

    def image(self, index: int) -> Tensor:
        """Return an image (3, S, S) in [0, 1]."""
        return self.read(self.folder / self.ids[index])

    def _class(self, index: int) -> int:
        return wnids().index(self.ids[index].split("/")[0])

    def labels(self, index: int) -> Tensor:
        """Return the labels (1000,), one-hot."""
        present = torch.zeros(len(wnids()))
        present[self._class(index)] = 1
        return present

    def _xml(self, index: int) -> Path | None:
        relative = Path(self.ids[index]).with_suffix(".xml")
        for folder in self.xml:
            # train's XML comes in folders of wnids, val's in one folder
            for path in (folder / relative, folder / relative.name):
                if path.is_file():
                    return path
        return None

    def boxes(self, index: int) -> Tensor | None:
        """Return all boxes (N, 5) of the image's class; None without XML.

        Boxes that were drawn on a picture that is stored sideways are turned with it.
        """
        path = self._xml(index)
        if path is None:
            return None
        width, height, objects = read_xml(path)
        frame = read_frame(self.folder / self.ids[index])
        if not (width and height):
            width, height = frame.upright
        boxes = [check_box(item.box, width, height, f"{path}: {item.name}") for item in objects]
        # all of the image's class, as the challenge has it: its XML names no other
        category = self._class(index)
        rows = [(category, box) for box in boxes if box is not None]
        orientation = frame.turn_of(width, height)
        return place_boxes(rows, width, height, self.image_size, orientation)

    def check_annotations(self) -> None:
        """Refuse XML that cannot be read, and impossible boxes."""
        if not self.annotations or not any(folder.is_dir() for folder in self.xml):
            return
        for index in range(len(self)):
            # a picture that cannot be read is skipped and counted later, as any other
            with contextlib.suppress(UnreadableError):
                self.boxes(index)


def list_images(folder: Path) -> list[str]:
    """List the images below wnid folders.

    Args:
        folder: Folder "train" or "val" of an ImageNet tree.

    Returns:
        Names "<wnid>/<file>", sorted.

    Raises:
        InputError: The folder is missing, or a folder in it is none of the 1,000 wnids.
    """
    if not folder.is_dir():
        raise InputError(f"no {folder}: ImageNet's {folder.name} images, a folder for each wnid, belong there")
    names = [path.name for path in folder.iterdir() if path.is_dir()]
    folders = sorted(name for name in names if not hidden(name))
    known = set(wnids())
    unknown = next((wnid for wnid in folders if wnid not in known), None)
    if unknown is not None:
        raise InputError(f"folder {folder / unknown} is none of ImageNet's 1,000 wnids; use Folder for other classes")
    images = []
    for wnid in folders:
        images += [f"{wnid}/{name}" for name in sorted(_images_in(folder / wnid))]
    return images


def _images_in(folder: Path) -> list[str]:
    # os.scandir knows what is a file without asking for each of a million
    entries = [entry for entry in os.scandir(folder) if not hidden(entry.name)]
    pictures = [entry for entry in entries if Path(entry.name).suffix.lower() in _IMAGES]
    return [entry.name for entry in pictures if entry.is_file()]


class ImageNet(ImageDataModule):
    """ImageNet in the layout root/{train,val}/<wnid>/*.JPEG.

    Args:
        val_fraction: Share of train that is the validation split. A root without train serves only for testing.
        kwargs: Further arguments of `ImageDataModule`.
    """

    multilabel = False

    def __init__(self, val_fraction: float = 0.02, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        share("val_fraction", val_fraction)
        self.val_fraction = val_fraction

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the 1,000 classes."""
        return class_names()

    def fetch(self) -> None:
        """Say what to get: ImageNet needs a registration."""
        raise InputError(
            f"no ImageNet in {self.root}: register at image-net.org, and unpack ILSVRC 2012 as "
            f"{self.root}/train/<wnid>/*.JPEG and {self.root}/val/<wnid>/*.JPEG"
        )

    def build(self, split: Split) -> ImageNetDataset:
        """Make the images of a split, sorted by wnid and file name."""
        part = "val" if split == "test" else "train"
        folder = self.root / part
        ids = list_images(folder)
        if split != "test":
            # the official val is tested on, since the labels of ImageNet's own test set are not public
            train, val = divide(ids, 1 - self.val_fraction, self.seed)
            ids = val if split == "val" else train
        xml = [self.root / name / part for name in ("Annotations/CLS-LOC", "Annotations", "bbox")]
        return ImageNetDataset(folder, ids, xml, **self.options(split))
