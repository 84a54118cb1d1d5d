"""Read Pascal VOC 2007 and 2012: labels, boxes, and segmentations with their void border.

M. Everingham et al.: The Pascal Visual Object Classes Challenge: A Retrospective, IJCV 2015.

Splits are those of the Explainer paper: train, val and test of VOC 2007. The annotations of the test images of VOC 2012
are not public: there, val is the test split, and a seeded tenth of train is the validation split.
"""

import contextlib
import urllib.error
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_warn
from torch import Tensor
from torchvision.datasets import VOCDetection

from explainer.data.annotations import Box, check_box, divide, place_boxes, read_xml
from explainer.data.base import ImageDataModule, ImageDataset, Split
from explainer.data.masks import check_masks, place_mask
from explainer.errors import InputError
from explainer.files import read_lines
from explainer.files.pictures import UnreadableError, read_frame

CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


class _Annotation(NamedTuple):
    """Size of an image, 0 where its XML does not say it, and its objects: class index, and box unless it is empty."""

    width: int
    height: int
    rows: list[tuple[int, Box | None]]


class VOCDataset(ImageDataset):
    """Images of one list of a VOC year.

    Args:
        folder: Folder VOCdevkit/VOC<year>.
        ids: Names of the images.
        difficult: Whether objects marked `difficult` give their image a label and have a box.
        options: Further arguments of `ImageDataset`.
    """

    def __init__(self, folder: Path, ids: list[str], difficult: bool, **options: object) -> None:
        super().__init__(ids, CLASSES, **options)  # type: ignore[arg-type]
        self.folder = folder
        self.difficult = difficult
        self._annotated = [self._read(name) for name in ids]  # all at once: a bad file is an error before training

    def image(self, index: int) -> Tensor:
        """Return an image (3, S, S) in [0, 1]."""
        return self.read(self._photo(index))

    def _photo(self, index: int) -> Path:
        return self.folder / "JPEGImages" / f"{self.ids[index]}.jpg"

    def _read(self, name: str) -> _Annotation:
        path = self.folder / "Annotations" / f"{name}.xml"
        width, height, objects = read_xml(path)
        rows: list[tuple[int, Box | None]] = []
        for item in objects:
            if item.name not in CLASSES:
                raise InputError(f"{path} names the class {item.name!r}, which VOC does not have")
            if self.difficult or not item.difficult:
                box = check_box(item.box, width, height, f"{path}: {item.name}")
                rows.append((CLASSES.index(item.name), box))
                if box is None:
                    rank_zero_warn(f"{path}: the box of {item.name} has no area, and is left out")
        return _Annotation(width, height, rows)

    def labels(self, index: int) -> Tensor:
        """Return the labels (20,): the classes of the annotated objects."""
        present = torch.zeros(len(CLASSES))
        # boxes without an area too: the object is there, however badly it was marked
        categories = [category for category, _ in self._annotated[index].rows]
        present[categories] = 1
        return present

    def _mask(self, index: int) -> Path | None:
        path = self.folder / "SegmentationClass" / f"{self.ids[index]}.png"
        return path if path.exists() else None

    def segmentation(self, index: int) -> Tensor | None:
        """Return the segmentation (20, S, S) from SegmentationClass; None for the many images that have none."""
        path = self._mask(index)
        if path is None:
            return None
        return place_mask(path, self._photo(index), len(CLASSES), self.image_size)

    def boxes(self, index: int) -> Tensor:
        """Return boxes (N, 5); those drawn on a picture that is stored sideways are turned with it."""
        width, height, rows = self._annotated[index]
        frame = read_frame(self._photo(index))
        if not (width and height):
            width, height = frame.upright
        path = self.folder / "Annotations" / f"{self.ids[index]}.xml"
        checked = []
        for category, box in rows:
            # checked again, now that the size is known where the XML does not give it
            if box is None:
                continue
            inner = check_box(box, width, height, f"{path}: {CLASSES[category]}")
            if inner is not None:
                checked.append((category, inner))
        orientation = frame.turn_of(width, height)
        return place_boxes(checked, width, height, self.image_size, orientation)

    def check_annotations(self) -> None:
        """Refuse pictures that are no masks, and boxes outside images whose size only their own file tells."""
        if not self.annotations:
            return
        pairs = []
        for index in range(len(self)):
            mask = self._mask(index)
            if mask is not None:
                pairs.append((mask, self._photo(index)))
        check_masks(pairs, len(CLASSES), self.image_size)
        for index, annotation in enumerate(self._annotated):
            if not (annotation.width and annotation.height):
                # a picture that cannot be read is skipped and counted later, as any other
                with contextlib.suppress(UnreadableError):
                    self.boxes(index)


class VOC(ImageDataModule):
    """Pascal VOC.

    Args:
        year: Year "2007", as in the papers, or "2012".
        difficult: Whether objects marked `difficult` count as labels; the challenge leaves them out of its score, and
            so do we by default. An image whose objects are all difficult then has no label.
        segmented_only: Whether the test split has only the images with a segmentation (210 of VOC 2007).
        kwargs: Further arguments of `ImageDataModule`.
    """

    def __init__(
        self,
        year: Literal["2007", "2012"] = "2007",
        difficult: bool = False,
        segmented_only: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.year = year
        self.difficult = difficult
        self.segmented_only = segmented_only

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the twenty classes in alphabetical order."""
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
            # only of 2007 the test set's annotations are public
            image_sets = ("trainval", "test") if self.year == "2007" else ("trainval",)
            for image_set in image_sets:
                VOCDetection(str(self.root), year=self.year, image_set=image_set, download=True)
        except (urllib.error.URLError, OSError, RuntimeError) as error:
            raise InputError(
                f"cannot download VOC {self.year} ({error}): fetch its trainval and test archives from "
                f"host.robots.ox.ac.uk/pascal/VOC and unpack them so that {self.root}/VOCdevkit/VOC{self.year} exists"
            ) from error

    def build(self, split: Split) -> VOCDataset:
        """Make the images of a split's list."""
        # who trains needs no segmentation: the shorter list is of the test images alone
        kind = "Segmentation" if self.segmented_only and split == "test" else "Main"
        if self.year == "2007":
            ids = self._list(kind, split)
        elif split == "test":
            # the test set's annotations are not public: val is tested on, and val comes out of train
            ids = self._list(kind, "val")
        else:
            train, val = divide(self._list("Main", "train"), 0.9, self.seed)
            ids = val if split == "val" else train
        return VOCDataset(self.folder, ids, self.difficult, **self.options(split))

    def _list(self, kind: str, name: str) -> list[str]:
        path = self.folder / "ImageSets" / kind / f"{name}.txt"
        if not path.is_file():
            raise InputError(f"no {path}: the VOC {self.year} archive with the {name} images is missing")
        return [line.split()[0] for line in read_lines(path)]
