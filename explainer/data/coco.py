"""Microsoft COCO 2014 and 2017, and any data set in its layout.

T.-Y. Lin et al.: Microsoft COCO: Common Objects in Context, ECCV 2014.

The classes are the annotation file's categories in the order of their ids: 80 for the real files, whose ids run to 90
with gaps. The split is the Explainer paper's: 90 % of train for training and 10 % for validation, by a seeded
permutation, and val as the test set. An image without annotation has no label.
"""

import contextlib
import io
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from pycocotools.coco import COCO as Annotations  # noqa: N811
from torch import Tensor

from explainer.data.annotations import divide, place_boxes
from explainer.data.base import ImageDataModule, ImageDataset, Split, open_rgb, pixels
from explainer.errors import InputError


def read_annotations(path: Path) -> Annotations:
    """Read an annotation file, silently.

    Args:
        path: instances_<split><year>.json.

    Returns:
        pycocotools' index of it.

    Raises:
        InputError: The file is missing or not such a file, or an annotation names an unknown category.
    """
    if not path.is_file():
        raise InputError(f"no {path}: unpack COCO's annotations_trainval archive there")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            annotations = Annotations(str(path))
        known, categories = set(annotations.getCatIds()), annotations.anns.values()
        unknown = next((a for a in categories if a["category_id"] not in known), None)
    except (json.JSONDecodeError, KeyError, TypeError, AssertionError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a COCO annotation file: {type(error).__name__} {error}") from error
    if unknown is not None:
        raise InputError(
            f"annotation {unknown.get('id')} in {path} names the unknown category {unknown['category_id']}"
        )
    return annotations


class COCODataset(ImageDataset):
    """Images of a COCO annotation file.

    Args:
        folder: Where the image files are.
        coco: Of `read_annotations`.
        image_ids: Which images, by COCO id.
        options: Of `ImageDataset`.
    """

    def __init__(self, folder: Path, coco: Annotations, image_ids: list[int], **options: object) -> None:
        categories = sorted(coco.getCatIds())
        self.index = {category: i for i, category in enumerate(categories)}
        names = tuple(coco.cats[c]["name"] for c in categories)
        super().__init__([coco.imgs[i]["file_name"] for i in image_ids], names, **options)  # type: ignore[arg-type]
        self.folder, self.coco, self.image_ids = folder, coco, image_ids

    def image(self, index: int) -> Tensor:
        """(3, S, S) in [0, 1]."""
        return pixels(open_rgb(self.folder / self.ids[index]), self.image_size)

    def _objects(self, index: int) -> list[dict[str, Any]]:
        return self.coco.imgToAnns[self.image_ids[index]]

    def labels(self, index: int) -> Tensor:
        """(K,): the set of categories annotated, crowds included."""
        present = torch.zeros(len(self.classes))
        present[[self.index[a["category_id"]] for a in self._objects(index)]] = 1
        return present

    def segmentation(self, index: int) -> Tensor:
        """(K, S, S): polygons and RLE drawn at the original size, then resized; an unannotated image is all 0.

        A crowd region counts as object of its category, as the category counts as a label.
        """
        side = self.image_size
        masks = torch.zeros(len(self.classes), side, side, dtype=torch.uint8)
        for item in self._objects(index):
            drawn = Image.fromarray(np.asarray(self.coco.annToMask(item), np.uint8))
            small = torch.from_numpy(np.array(drawn.resize((side, side), Image.Resampling.NEAREST)))
            masks[self.index[item["category_id"]]] |= small
        return masks

    def boxes(self, index: int) -> Tensor:
        """(N, 5), without crowds, whose boxes hold several objects."""
        info = self.coco.imgs[self.image_ids[index]]
        rows = []
        for item in self._objects(index):
            if not item.get("iscrowd"):
                x, y, width, height = item["bbox"]
                rows.append((self.index[item["category_id"]], (x, y, x + width, y + height)))
        return place_boxes(rows, info["width"], info["height"], self.image_size)


class COCO(ImageDataModule):
    """COCO, or somebody's own data set in COCO's layout.

    Args:
        year: "2014" as in the papers, or "2017"; names the folders train<year>, val<year> and the annotation files.
        kwargs: Of `ImageDataModule`.
    """

    def __init__(self, year: Literal["2014", "2017"] = "2014", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.year = year
        self._annotations: dict[str, Annotations] = {}

    def fetch(self) -> None:
        """Nobody offers a checked downloader for COCO: say what to fetch."""
        raise InputError(
            f"no COCO in {self.root}: fetch train{self.year}.zip, val{self.year}.zip and "
            f"annotations_trainval{self.year}.zip from cocodataset.org and unpack them there"
        )

    def annotations(self, part: Literal["train", "val"]) -> Annotations:
        """The official train or val annotations, read once."""
        if part not in self._annotations:
            self._annotations[part] = read_annotations(self.root / "annotations" / f"instances_{part}{self.year}.json")
        return self._annotations[part]

    @property
    def classes(self) -> tuple[str, ...]:
        """The categories of the training file in the order of their ids."""
        coco = self.annotations("train")
        return tuple(coco.cats[c]["name"] for c in sorted(coco.getCatIds()))

    def build(self, split: Split) -> COCODataset:
        """Images of a split."""
        part: Literal["train", "val"] = "val" if split == "test" else "train"
        coco, folder = self.annotations(part), self.root / f"{part}{self.year}"
        if not folder.is_dir():
            raise InputError(f"no {folder}: unpack COCO's {part}{self.year}.zip there")
        ids = sorted(coco.imgs)
        if split != "test":
            ids = divide(ids, 0.9, self.seed)[split == "val"]
        dataset = COCODataset(folder, coco, ids, **self.options(split))
        if dataset.classes != self.classes:
            raise InputError(f"the categories of {part} and train differ in {self.root / 'annotations'}")
        return dataset
