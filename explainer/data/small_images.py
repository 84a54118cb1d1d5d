"""Read torchvision's small classification sets by name: FashionMNIST, CIFAR10 and their like.

They are held in memory and cost next to nothing to load, so that whole grids of retrainings run on real images.
"""

import gzip
import math
import struct
import urllib.error
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets
from torchvision.transforms.v2 import functional as tvf

from explainer.data.annotations import divide
from explainer.data.base import ImageDataModule, ImageDataset, Split
from explainer.data.bounds import within
from explainer.errors import InputError
from explainer.files import replacing, sweep

_LARGEST = 1 << 30
"""Most bytes of an unpacked file: the real ones hold at most 47 million."""

Name = Literal["FashionMNIST", "MNIST", "KMNIST", "CIFAR10", "CIFAR100"]


class SmallDataset(ImageDataset):
    """Images of one split, in memory."""

    def __init__(
        self,
        images: Tensor,
        targets: list[int],
        ids: list[str],
        classes: tuple[str, ...],
        **options: object,
    ) -> None:
        super().__init__(ids, classes, **options)  # type: ignore[arg-type]
        self.images = images
        self.targets = targets

    def image(self, index: int) -> Tensor:
        """Return an image (3, S, S) in [0, 1]; grey images have three equal channels."""
        image = self.images[index].float() / 255
        if image.shape[-1] != self.image_size:
            resized = tvf.resize(image, [self.image_size, self.image_size], antialias=True)
            # clamped: with antialiasing, rounding takes values a little out of [0, 1]
            image = resized.clamp(0, 1)
        return image.expand(3, -1, -1)

    def labels(self, index: int) -> Tensor:
        """Return the labels (K,), one-hot."""
        present = torch.zeros(len(self.classes))
        present[self.targets[index]] = 1
        return present


class SmallImages(ImageDataModule):
    """One of torchvision's small sets; its training part is split 90 / 10 into training and validation by the seed.

    Args:
        name: Name of the set.
        train_images: Greatest number of training images, the first ones of the split; None takes all.
        test_images: Greatest number of test images, and of validation images; None takes all.
        image_size: Side of the images in pixels; the files have 28 or 32.
        kwargs: Further arguments of `ImageDataModule`.
    """

    multilabel = False

    def __init__(
        self,
        name: Name = "FashionMNIST",
        train_images: int | None = None,
        test_images: int | None = None,
        image_size: int = 28,
        **kwargs: Any,
    ) -> None:
        super().__init__(image_size=image_size, **kwargs)
        for key, count in (("train_images", train_images), ("test_images", test_images)):
            if count is not None:
                within(key, count, 1)
        self.collection = name
        self.limits = {"train": train_images, "val": test_images, "test": test_images}
        self._parts: dict[bool, Any] = {}

    def fetch(self) -> None:
        """Download with torchvision's checked downloader."""
        self._part(train=True, download=True)
        self._part(train=False, download=True)

    def prepare_data(self) -> None:
        """Unpack files that were put below the root as they are distributed; else download."""
        raw = self.root / self.collection / "raw"
        sweep(raw)
        for path in raw.glob("*-ubyte"):
            if not _is_whole(path):  # a kill tore it; where it is not packed below the root, it is downloaded again
                path.unlink()
        packed = {path.stem: path for path in self.root.rglob("*-ubyte.gz") if path.is_file()}
        for name, path in packed.items():
            if not (raw / name).is_file():
                unpack(path, raw / name)
        if self.download or not self._is_there():
            self.fetch()

    def _is_there(self) -> bool:
        try:
            self._part(train=True, download=False)
        except InputError:
            return False
        return True

    def _part(self, train: bool, download: bool = False) -> Any:
        if train not in self._parts:
            try:
                collection = getattr(datasets, self.collection)
                self._parts[train] = collection(str(self.root), train=train, download=download)
            except (urllib.error.URLError, OSError, RuntimeError, ValueError, EOFError) as error:
                reason = (str(error) or type(error).__name__).splitlines()[0]
                raise InputError(f"no {self.collection} in {self.root} ({reason}): put its files there") from error
            self._check_part(self._parts[train])
        return self._parts[train]

    def _check_part(self, part: Any) -> None:
        targets = torch.as_tensor(part.targets)
        place = f"{self.collection} in {self.root}"
        images = len(part.data)
        if images != len(targets) or not len(targets):
            raise InputError(f"{place} has {images} images and {len(targets)} labels")
        lowest = int(targets.min())
        highest = int(targets.max())
        if lowest < 0 or highest >= len(part.classes):
            raise InputError(f"{place} has labels beyond its {len(part.classes)} classes")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, as the set has them."""
        return tuple(str(name) for name in self._part(train=True).classes)

    def build(self, split: Split) -> SmallDataset:
        """Make the images of a split."""
        part = self._part(train=split != "test")
        indices = list(range(len(part.targets)))
        if split != "test":
            train, val = divide(indices, 0.9, self.seed)
            indices = val if split == "val" else train
        indices = indices[: self.limits[split]]  # cut after the division, which a limit must not change
        # some of torchvision's sets hold tensors, others arrays or lists
        all_images = torch.as_tensor(np.asarray(part.data))
        images = all_images[indices]
        # grey images have no axis of channels, colour ones have it last
        images = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)
        targets = torch.as_tensor(part.targets)[indices].tolist()
        # by the file's part and place: val's images come out of the training file, and keep the names they have there
        kind = "test" if split == "test" else "train"
        ids = [f"{kind}_{index:05d}" for index in indices]
        return SmallDataset(images, targets, ids, self.classes, **self.options(split))


def _announced(file: BinaryIO) -> int | None:
    """Return the size in bytes that the head of an idx file announces, with the head; None where it is no such head."""
    head = file.read(4)
    if len(head) < 4 or head[:3] != b"\0\0\x08":  # two zeros, then the type: bytes
        return None
    axes = head[3]
    length = 4 * axes
    sides = file.read(length)
    if not axes or len(sides) < length:
        return None
    counts = struct.unpack(f">{axes}I", sides)
    return 4 + length + math.prod(counts)


def _is_whole(path: Path) -> bool:
    if not path.is_file():
        return True
    with path.open("rb") as file:
        return _announced(file) == path.stat().st_size


def unpack(source: Path, target: Path) -> None:
    """Unpack an idx file; the target is the whole file or absent.

    Args:
        source: Path of the file as it is distributed, packed by gzip.
        target: Path of the unpacked file.

    Raises:
        InputError: The file is torn, of another kind, larger than any of the real ones, or not of the size that its
            head announces.
    """
    try:
        with gzip.open(source) as packed:
            size = _announced(packed)  # type: ignore[arg-type]
        if size is None or size > _LARGEST:
            raise InputError(f"{source} is no packed idx file of this collection: fetch it again")
        with gzip.open(source) as packed:
            # one byte more than announced: enough to tell a longer file, and no bomb is unpacked
            content = packed.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"cannot unpack {source} ({error}): fetch it again") from error
    if len(content) != size:
        raise InputError(f"{source} does not hold the {size} bytes that it announces: fetch it again")
    with replacing(target, sync=True) as partial:
        partial.write_bytes(content)
