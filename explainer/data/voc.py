"""Pascal VOC 2007 and 2012: labels, boxes, and segmentations with their void border.

M. Everingham et al.: The Pascal Visual Object Classes Challenge: A Retrospective, IJCV 2015.

Splits are those of the Explainer paper: train, val and test of VOC 2007. The annotations of the test images of VOC 2012
are not public: there, val is the test split, and a seeded tenth of train is the validation split.
"""

import urllib.error
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets import VOCDetection

from explainer.data.annotations import divide, place_boxes, read_xml
from explainer.data.base import VOID, ImageDataModule, ImageDataset, Split, open_rgb, pixels
from explainer.errors import InputError

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip


class VOCDataset(ImageDataset):
    """Images of one list of a VOC year.

    Args:
        folder: VOCdevkit/VOC<year>.
        ids: Names of the images.
        difficult: Whether objects marked `difficult` give their image a label and have a box.
        options: Of `ImageDataset`.
    """

    def __init__(self, folder: Path, ids: list[str], difficult: bool, **options: object) -> None:
        super().__init__(ids, CLASSES, **options)  # type: ignore[arg-type]
        self.folder, self.difficult = folder, difficult
        self._annotated = [self._read(name) for name in ids]  # all at once: a bad file is an error before training

    def image(self, index: int) -> Tensor:
        """(3, S, S) in [0, 1]."""
        return pixels(open_rgb(self.folder / "JPEGImages" / f"{self.ids[index]}.jpg"), self.image_size)

    def _read(self, name: str) -> tuple[int, int, list[tuple[int, tuple[float, ...]]]]:
        path = self.folder / "Annotations" / f"{name}.xml"
        width, height, objects = read_xml(path)
        rows: list[tuple[int, tuple[float, ...]]] = []
        for item in objects:
            if item.name not in CLASSES:
                raise InputError(f"{path} names the class {item.name!r}, which VOC does not have")
            if self.difficult or not item.difficult:
                rows.append((CLASSES.index(item.name), item.box))
        return width, height, rows

    def labels(self, index: int) -> Tensor:
        """(20,): the classes of the annotated objects."""
        present = torch.zeros(len(CLASSES))
        present[[c for c, _ in self._annotated[index][2]]] = 1
        return present

    def segmentation(self, index: int) -> Tensor | None:
        """(20, S, S), from SegmentationClass; None for the many images that have none."""
        path = self.folder / "SegmentationClass" / f"{self.ids[index]}.png"
        if not path.is_file():
            return None
        with Image.open(path) as file:
            drawn = file.resize((self.image_size, self.image_size), Image.Resampling.NEAREST)
        classes = torch.from_numpy(np.array(drawn))
        masks = (classes == torch.arange(1, len(CLASSES) + 1)[:, None, None]).to(torch.uint8)
        return masks.masked_fill(classes == VOID, VOID)

    def boxes(self, index: int) -> Tensor:
        """(N, 5)."""
        width, height, rows = self._annotated[index]
        return place_boxes(rows, width, height, self.image_size)


class VOC(ImageDataModule):
    """Pascal VOC.

    Args:
        year: "2007" as in the papers, or "2012".
        difficult: Whether objects marked `difficult` count as labels; the challenge leaves them out of its score, and
            so do we by default. An image whose objects are all difficult then has no label.
        segmented_only: Whether the test split is only the images with a segmentation (210 of VOC 2007).
        kwargs: Of `ImageDataModule`.
    """

    def __init__(
        self, year: Literal["2007", "2012"] = "2007", difficult: bool = False, segmented_only: bool = False,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self.year, self.difficult, self.segmented_only = year, difficult, segmented_only

    @property
    def classes(self) -> tuple[str, ...]:
        """The twenty classes in alphabetical order."""
        return CLASSES

    @property
    def folder(self) -> Path:
        """The year's folder: below `root`, or `root` itself."""
        for below in (f"VOCdevkit/VOC{self.year}", f"VOC{self.year}", "."):
            if (self.root / below / "JPEGImages").is_dir():
                return self.root / below
        raise InputError(f"no VOCdevkit/VOC{self.year}/JPEGImages in {self.root}: unpack the VOC archives there")

    def fetch(self) -> None:
        """Download with torchvision's checked downloader: trainval, and test for 2007."""
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            for image_set in ("trainval", "test") if self.year == "2007" else ("trainval",):
                VOCDetection(str(self.root), year=self.year, image_set=image_set, download=True)
        except (urllib.error.URLError, OSError, RuntimeError) as error:
            raise InputError(
                f"cannot download VOC {self.year} ({error}): fetch its trainval and test archives from "
                f"host.robots.ox.ac.uk/pascal/VOC and unpack them so that {self.root}/VOCdevkit/VOC{self.year} exists"
            ) from error

    def build(self, split: Split) -> VOCDataset:
        """The images of a split's list."""
        if self.year == "2007":
            ids = self._list("Segmentation" if self.segmented_only and split == "test" else "Main", split)
        elif split == "test":
            ids = self._list("Segmentation" if self.segmented_only else "Main", "val")
        else:
            ids = divide(self._list("Main", "train"), 0.9, self.seed)[split == "val"]
        return VOCDataset(self.folder, ids, self.difficult, **self.options(split))

    def _list(self, kind: str, name: str) -> list[str]:
        path = self.folder / "ImageSets" / kind / f"{name}.txt"
        if not path.is_file():
            raise InputError(f"no {path}: the VOC {self.year} archive with the {name} images is missing")
        return [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
