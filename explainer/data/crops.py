"""Square crops of ImageNet's images: many small pictures from few large ones, for generators of small images.

A crop has the label of its image, whether or not the object is seen in it.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from explainer.data.annotations import divide
from explainer.data.base import Split, pixels
from explainer.data.imagenet import ImageNet, ImageNetDataset, list_images
from explainer.errors import InputError
from explainer.files.pictures import read_picture
from explainer.functional.seeds import derived_seed


class CropDataset(ImageNetDataset):
    """Crops below folders that are named by wnid.

    Args:
        folder: Folder that holds the wnid folders.
        ids: Names "<wnid>/<file>#<number of the crop>".
        smallest: Least side of a crop as a part of the image's shorter side, in (0, 1].
        moving: Whether every epoch has other crops (training).
        options: Further arguments of `ImageDataset`.
    """

    def __init__(self, folder: Path, ids: list[str], smallest: float, moving: bool, **options: object) -> None:
        super().__init__(folder, ids, [], **options)
        self.smallest = smallest
        self.moving = moving

    def image(self, index: int) -> Tensor:
        """Return the crop (3, S, S) in [0, 1]."""
        epoch = 0
        if self.moving:  # in training each epoch sees other crops
            epoch = int(self.epoch)
        # the 1 sets these draws apart from those of the augmentation, which has the same seed, epoch and index
        seed = derived_seed(self.seed, epoch, index, 1)
        generator = torch.Generator().manual_seed(seed)
        extent, across, down = torch.rand(3, generator=generator).tolist()
        file, _, _ = self.ids[index].rpartition("#")
        photo = read_picture(self.folder / file)
        shorter = min(photo.size)
        share = self.smallest + (1 - self.smallest) * extent
        side = max(1, round(shorter * share))
        left = round(across * (photo.width - side))
        top = round(down * (photo.height - side))
        crop = photo.crop((left, top, left + side, top + side))
        return pixels(crop, self.image_size)

    def boxes(self, index: int) -> None:
        """Return None: a crop need not contain the image's boxes."""
        return


class ImageNetCrops(ImageNet):
    """Crops of ImageNet, root/{train,val}/<wnid>/*.JPEG; without train, its val part is divided into all three splits.

    Args:
        crops: Number of crops of each image in an epoch.
        smallest: Least side of a crop as a part of the image's shorter side, in (0, 1]; the largest has all of it.
        val_fraction: Part of the images (not of the crops) that is the validation split.
        kwargs: Further arguments of `ImageDataModule`.
    """

    def __init__(self, crops: int = 1, smallest: float = 0.5, val_fraction: float = 0.02, **kwargs: Any) -> None:
        super().__init__(val_fraction=val_fraction, **kwargs)
        if crops < 1 or not 0 < smallest <= 1:
            raise InputError(f"data.init_args: crops must be at least 1, smallest in (0, 1], got {crops}, {smallest}")
        self.crops = crops
        self.smallest = smallest

    def build(self, split: Split) -> CropDataset:
        """Make the crops of a split's images, sorted by wnid and file name; outside training one of each image."""
        trained = (self.root / "train").is_dir()
        part = "train"
        if split == "test" or not trained:
            part = "val"
        folder = self.root / part
        ids = list_images(folder)
        # images are divided, not crops: two crops of one image must not stand on both sides
        if split != "test" or not trained:
            train, rest = divide(ids, 1 - self.val_fraction, self.seed)
            ids = train if split == "train" else rest
        count = self.crops if split == "train" else 1
        numbered = [f"{name}#{number}" for name in ids for number in range(count)]
        options = self.options(split) | {"annotations": False}
        return CropDataset(folder, numbered, self.smallest, split == "train", **options)
