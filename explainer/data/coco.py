"""Microsoft COCO 2014 and 2017, and any data set in its layout.

T.-Y. Lin et al.: Microsoft COCO: Common Objects in Context, ECCV 2014.

The classes are the annotation file's categories in the order of their ids: 80 for the real files, whose ids run to 90
with gaps. The split is the Explainer paper's: 90 % of train for training and 10 % for validation, by a seeded
permutation, and val as the test set. An image without annotation has no label.
"""

import contextlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from explainer.data.annotations import check_box, divide, place_boxes
from explainer.data.base import ImageDataModule, ImageDataset, Split
from explainer.data.coco_file import Annotations, Photo, RunLengths, check_segmentation, draw, read_annotations
from explainer.errors import InputError
from explainer.files.pictures import UnreadableError, read_frame, turned


class COCODataset(ImageDataset):
    """Images of a COCO annotation file.

    Args:
        folder: Folder of the image files.
        annotations_file: Annotations, as `read_annotations` gives them.
        photos: Images of the split.
        options: Further arguments of `ImageDataset`.
    """

    def __init__(self, folder: Path, annotations_file: Annotations, photos: list[Photo], **options: object) -> None:
        super().__init__([photo.file_name for photo in photos], annotations_file.classes, **options)  # type: ignore[arg-type]
        self.folder = folder
        self.photos = photos
        self.segmented = annotations_file.segmented

    def image(self, index: int) -> Tensor:
        """Return an image (3, S, S) in [0, 1]."""
        return self.read(self.folder / self.ids[index])

    def labels(self, index: int) -> Tensor:
        """Return the labels (K,): the categories annotated, crowds included."""
        present = torch.zeros(len(self.classes))
        # a set: several things of a category, as several people, are one label
        categories = [thing.category for thing in self.photos[index].things]
        present[categories] = 1
        return present

    def _frame(self, index: int) -> tuple[int, int, int]:
        """Return width and height of the annotated picture, and the orientation from which annotations are turned.

        A size that the file does not give is taken from run lengths, where there are some, or from the upright picture.
        """
        photo = self.photos[index]
        frame = read_frame(self.folder / photo.file_name)
        width = photo.width
        height = photo.height
        if not width:
            width, height = frame.upright
            packed = [thing.segmentation for thing in photo.things if isinstance(thing.segmentation, RunLengths)]
            if packed:
                height, width = packed[0].size
        return width, height, frame.turn_of(width, height)

    def segmentation(self, index: int) -> Tensor | None:
        """Draw polygons and RLE (K, S, S) at the annotated size, then resize; an unannotated image is all 0.

        A crowd region counts as object of its category, as the category counts as a label. None where an object has no
        segmentation, or the file holds none: what is not drawn is not known.
        """
        things = self.photos[index].things
        if not self.segmented or any(thing.segmentation is None for thing in things):
            return None
        side = self.image_size
        masks = torch.zeros(len(self.classes), side, side, dtype=torch.uint8)
        if not things:
            return masks
        width, height, orientation = self._frame(index)
        for thing in things:
            assert thing.segmentation is not None
            if not self.photos[index].width:
                check_segmentation(thing.segmentation, width, height)
            drawn = Image.fromarray(draw(thing.segmentation, width, height))
            upright = turned(drawn, orientation)
            # the nearest pixel: there is nothing between object and no object
            small = upright.resize((side, side), Image.Resampling.NEAREST)
            # objects of one category are one mask, whether or not they overlap
            masks[thing.category] |= torch.from_numpy(np.array(small))
        return masks

    def boxes(self, index: int) -> Tensor:
        """Return boxes (N, 5), without those of crowds, which hold several objects, and those that are not given."""
        rows = []
        width, height, orientation = self._frame(index)
        path = self.folder / self.ids[index]
        for thing in self.photos[index].things:
            if thing.crowd or thing.box is None:
                continue
            # checked again, now that the size is known where the file does not give it
            box = check_box(thing.box, width, height, f"{thing.name} of {path}")
            if box is not None:
                rows.append((thing.category, box))
        return place_boxes(rows, width, height, self.image_size, orientation)

    def check_annotations(self) -> None:
        """Check the images whose size only their own file tells; the others were checked when they were read."""
        for index, photo in enumerate(self.photos):
            if self.annotations and photo.things and not photo.width:
                # a picture that cannot be read is skipped and counted later, as any other
                with contextlib.suppress(UnreadableError):
                    self.boxes(index)
                    self.segmentation(index)


class COCO(ImageDataModule):
    """COCO, or somebody's own data set in COCO's layout.

    Args:
        year: Year "2014", as in the papers, or "2017"; it names the folders train<year>, val<year> and the annotations.
        kwargs: Further arguments of `ImageDataModule`.
    """

    def __init__(self, year: Literal["2014", "2017"] = "2014", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.year = year
        self._annotations: dict[str, Annotations] = {}

    def fetch(self) -> None:
        """Say what to fetch: nobody offers a checked downloader for COCO."""
        raise InputError(
            f"no COCO in {self.root}: fetch train{self.year}.zip, val{self.year}.zip and "
            f"annotations_trainval{self.year}.zip from cocodataset.org and unpack them there"
        )

    def annotations(self, part: Literal["train", "val"]) -> Annotations:
        """Return the official train or val annotations, read once."""
        if part not in self._annotations:
            path = self.root / "annotations" / f"instances_{part}{self.year}.json"
            self._annotations[part] = read_annotations(path)
        return self._annotations[part]

    @property
    def classes(self) -> tuple[str, ...]:
        """The categories of the training file in the order of their ids."""
        return self.annotations("train").classes

    def build(self, split: Split) -> COCODataset:
        """Make the images of a split."""
        part: Literal["train", "val"] = "val" if split == "test" else "train"
        coco = self.annotations(part)
        folder = self.root / f"{part}{self.year}"
        if not folder.is_dir():
            raise InputError(f"no {folder}: unpack COCO's {part}{self.year}.zip there")
        photos = coco.photos
        if split != "test":
            # as in the papers: the official val is tested on, since the labels of COCO's own test set are not public
            train, val = divide(photos, 0.9, self.seed)
            photos = val if split == "val" else train
        dataset = COCODataset(folder, coco, photos, **self.options(split))
        if dataset.classes != self.classes:
            raise InputError(f"the categories of {part} and train differ in {self.root / 'annotations'}")
        return dataset
