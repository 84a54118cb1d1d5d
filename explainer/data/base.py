"""What every data set shares: one sample, one batch, reading an image safely, and the DataModule.

A data set subclasses `ImageDataset` (what an index means) and `ImageDataModule` (which splits there are, where to
download them); everything else, from resizing to skipping unreadable files, is here.
"""

import os
import warnings
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal, NamedTuple

import pytorch_lightning as pl
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2 import functional as tvf

from explainer.data.sampler import EpochSampler
from explainer.errors import InputError

Split = Literal["train", "val", "test"]
VOID = 255


class Sample(NamedTuple):
    """One image: image (3, S, S) in [0, 1]; labels (K,) multi-hot; segmentation (K, S, S) uint8; boxes (N, 5)."""

    image: Tensor
    labels: Tensor
    id: str
    segmentation: Tensor | None = None
    boxes: Tensor | None = None


class Batch(NamedTuple):
    """The one batch of this project.

    Attributes:
        image: (B, 3, H, W), RGB in [0, 1]; never normalised (the explanandum does that inside).
        labels: (B, K) multi-hot float.
        id: B names, unique within the split.
        segmentation: (B, K, H, W) uint8, 1 object, 0 not, 255 void; an image without annotation is all void.
        boxes: B tensors (N, 5): class index, x0, y0, x1, y1 in pixels of `image`.
    """

    image: Tensor
    labels: Tensor
    id: list[str]
    segmentation: Tensor | None = None
    boxes: list[Tensor] | None = None


def collate(samples: list[Sample | None]) -> Batch:
    """Stack samples into a batch; `None` (an unreadable image) is left out, so the batch may be smaller or empty.

    Args:
        samples: What the data set returned, images of one size.

    Returns:
        The batch; `segmentation` and `boxes` are None unless some sample has them.

    Example:
        >>> sample = Sample(torch.zeros(3, 8, 8), torch.zeros(2), "a")
        >>> collate([sample, None, sample]).image.shape
        torch.Size([2, 3, 8, 8])
    """
    kept = [s for s in samples if s is not None]
    if not kept:
        return Batch(torch.zeros(0, 3, 1, 1), torch.zeros(0, 1), [])
    segmentation = None
    if any(s.segmentation is not None for s in kept):
        segmentation = torch.stack([_segmentation_or_void(s) for s in kept])
    boxes = None
    if any(s.boxes is not None for s in kept):
        boxes = [s.boxes if s.boxes is not None else torch.zeros(0, 5) for s in kept]
    return Batch(
        torch.stack([s.image for s in kept]), torch.stack([s.labels for s in kept]), [s.id for s in kept],
        segmentation, boxes,
    )  # fmt: skip


def _segmentation_or_void(sample: Sample) -> Tensor:
    if sample.segmentation is not None:
        return sample.segmentation
    return torch.full((len(sample.labels), *sample.image.shape[1:]), VOID, dtype=torch.uint8)


def open_rgb(path: str | Path) -> Image.Image:
    """Read an image file of any mode (grey, palette, RGBA, CMYK, 16 bit) as 8-bit RGB.

    Args:
        path: An image file.

    Returns:
        The decoded image.

    Raises:
        OSError: The file is missing, truncated or not an image.

    Example:
        >>> import tempfile; name = tempfile.mktemp(suffix=".png")
        >>> Image.new("LA", (2, 1), (128, 255)).save(name)
        >>> open_rgb(name).mode
        'RGB'
    """
    with Image.open(path) as image:
        image.load()
        if image.mode.startswith("I") or image.mode == "F":
            image = image.convert("F").point(lambda v: v / 257.0)
        return image.convert("RGB")


def pixels(image: Image.Image, size: int) -> Tensor:
    """Resize to a square without cropping, as in the Explainer paper.

    Args:
        image: Any RGB image.
        size: Side in pixels.

    Returns:
        (3, size, size) float in [0, 1].

    Example:
        >>> pixels(Image.new("RGB", (1, 1), (255, 0, 0)), 4)[:, 0, 0].tolist()
        [1.0, 0.0, 0.0]
    """
    return tvf.to_dtype(tvf.to_image(image.resize((size, size), Image.Resampling.BILINEAR)), torch.float32, scale=True)


class ImageDataset(Dataset, ABC):
    """One split of a data set.

    Args:
        ids: A unique name for each image.
        classes: Names of the K classes, in index order.
        image_size: Side S of the square that images, segmentations and boxes are resized to.
        annotations: Whether to load segmentation and boxes (not needed for training).
        strict: Make an unreadable image an error instead of naming it once, counting and skipping it.
        flip: Probability of a horizontal flip (training).
        erase: Probability that a random rectangle (10 to 60 % of each side) takes the image's mean colour
            (training); it makes a classifier robust to the masked images that explanations show it.
        seed: Of the random augmentation, which is a function of (seed, epoch, index) alone.
    """

    def __init__(
        self, ids: list[str], classes: tuple[str, ...], *, image_size: int, annotations: bool = False,
        strict: bool = False, flip: float = 0.0, erase: float = 0.0, seed: int = 42,
    ) -> None:  # fmt: skip
        self.ids, self.classes = ids, classes
        self.image_size, self.annotations, self.strict = image_size, annotations, strict
        self.flip, self.erase, self.seed = flip, erase, seed
        self.epoch = torch.zeros(1, dtype=torch.long).share_memory_()  # seen by loader workers too
        self._unreadable = torch.zeros(len(ids), dtype=torch.bool).share_memory_()

    @property
    def unreadable(self) -> list[str]:
        """Ids of the images that could not be read so far."""
        return [self.ids[i] for i in self._unreadable.nonzero().flatten().tolist()]

    @abstractmethod
    def image(self, index: int) -> Tensor:
        """(3, S, S) in [0, 1]; raises OSError when the file cannot be read."""

    @abstractmethod
    def labels(self, index: int) -> Tensor:
        """(K,) multi-hot float."""

    def segmentation(self, index: int) -> Tensor | None:
        """(K, S, S) uint8 of 0, 1 and 255 (void), or None when the image has none."""
        return None

    def boxes(self, index: int) -> Tensor | None:
        """(N, 5) float: class index, x0, y0, x1, y1 in pixels of the resized image, or None."""
        return None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample | None:
        try:
            image = self.image(index)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            self._report_unreadable(index, error)
            return None
        segmentation, boxes = (self.segmentation(index), self.boxes(index)) if self.annotations else (None, None)
        return self._augment(Sample(image, self.labels(index), self.ids[index], segmentation, boxes), index)

    def _report_unreadable(self, index: int, error: Exception) -> None:
        if self.strict:
            raise InputError(f"cannot read image {self.ids[index]}: {error}") from error
        if not self._unreadable[index]:
            self._unreadable[index] = True
            warnings.warn(f"skipping unreadable image {self.ids[index]}: {error}", stacklevel=2)

    def _augment(self, sample: Sample, index: int) -> Sample:
        if not (self.flip or self.erase):
            return sample
        generator = torch.Generator().manual_seed(hash((self.seed, int(self.epoch), index)) % 2**63)
        draw = torch.rand(6, generator=generator).tolist()
        if draw[0] < self.flip:
            sample = flip_sample(sample)
        if draw[1] < self.erase:
            sample = sample._replace(image=erase_rectangle(sample.image, draw[2:]))
        return sample


def flip_sample(sample: Sample) -> Sample:
    """Mirror image, segmentation and boxes left to right.

    Example:
        >>> sample = Sample(torch.zeros(3, 4, 8), torch.ones(1), "a", boxes=torch.tensor([[0.0, 1, 0, 3, 4]]))
        >>> flip_sample(sample).boxes.tolist()
        [[0.0, 5.0, 0.0, 7.0, 4.0]]
    """
    boxes = sample.boxes
    if boxes is not None:
        width = sample.image.shape[-1]
        boxes = torch.stack([boxes[:, 0], width - boxes[:, 3], boxes[:, 2], width - boxes[:, 1], boxes[:, 4]], 1)
    segmentation = None if sample.segmentation is None else sample.segmentation.flip(-1)
    return sample._replace(image=sample.image.flip(-1), segmentation=segmentation, boxes=boxes)


def erase_rectangle(image: Tensor, draw: list[float]) -> Tensor:
    """Fill a rectangle with the image's mean colour.

    Args:
        image: (3, H, W).
        draw: Four numbers in [0, 1): height, width, top and left of the rectangle within their ranges.

    Returns:
        (3, H, W), a copy.
    """
    rows, columns = image.shape[1:]
    height, width = int(rows * (0.1 + 0.5 * draw[0])), int(columns * (0.1 + 0.5 * draw[1]))
    top, left = int((rows - height) * draw[2]), int((columns - width) * draw[3])
    erased = image.clone()
    erased[:, top : top + height, left : left + width] = image.mean((1, 2), keepdim=True)
    return erased


class ImageDataModule(pl.LightningDataModule, ABC):
    """Base of every DataModule.

    Args:
        root: Folder of the data set.
        image_size: Side of the square images; resized, not cropped.
        batch_size: Images a batch.
        num_workers: Loader processes; None takes one a core, at most 8.
        download: Download even when the root holds files; an empty or missing root is always downloaded to.
        strict: Make an unreadable image an error instead of skipping it.
        flip: Probability of a horizontal flip in training.
        erase: Probability of erasing a random rectangle in training.
        seed: Order of the training images and their augmentation.
    """

    multilabel: bool = True

    def __init__(
        self, root: str = "data", image_size: int = 224, batch_size: int = 16, num_workers: int | None = None,
        download: bool = False, strict: bool = False, flip: float = 0.0, erase: float = 0.0, seed: int = 42,
    ) -> None:  # fmt: skip
        super().__init__()
        if image_size < 1 or batch_size < 1:
            raise InputError(f"image_size and batch_size must be positive, got {image_size} and {batch_size}")
        self.root = Path(root)
        self.image_size, self.batch_size, self.seed = image_size, batch_size, seed
        self.num_workers = min(8, os.cpu_count() or 1) if num_workers is None else num_workers
        self.download, self.strict, self.flip, self.erase = download, strict, flip, erase
        self._splits: dict[str, ImageDataset] = {}

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Names of the K classes in index order; may read annotation files."""

    @abstractmethod
    def build(self, split: Split) -> ImageDataset:
        """The data set of one split, constructed with `**self.options(split)`."""

    def fetch(self) -> None:
        """Download the data set into `root`; without a downloader, one line that says what to put where."""
        raise InputError(f"no data in {self.root}: put the data set there (see the README), or set data.init_args.root")

    def options(self, split: Split) -> dict:
        """Keyword arguments of `ImageDataset` for a split: augmentation in training, annotations elsewhere."""
        train = split == "train"
        return {
            "image_size": self.image_size, "annotations": not train, "strict": self.strict, "seed": self.seed,
            "flip": self.flip if train else 0.0, "erase": self.erase if train else 0.0,
        }  # fmt: skip

    def prepare_data(self) -> None:
        """Download when asked, or when the root is empty or missing."""
        if self.download or not self.root.is_dir() or not any(self.root.iterdir()):
            self.fetch()

    def split(self, name: Split) -> ImageDataset:
        """The data set of a split, built once; an empty one is an error."""
        if name not in self._splits:
            dataset = self.build(name)
            if not len(dataset):
                raise InputError(f"the {name} split of {type(self).__name__} in {self.root} has no images")
            self._splits[name] = dataset
        return self._splits[name]

    def loader(self, name: Split) -> DataLoader:
        """Batches of a split; in order, but for training, which is shuffled and can be entered anywhere."""
        dataset = self.split(name)
        sampler = EpochSampler(dataset, self.batch_size, self.seed, shuffle=name == "train")
        loader = DataLoader(
            dataset, self.batch_size, sampler=sampler, collate_fn=collate, num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(), drop_last=name == "train" and len(dataset) >= self.batch_size,
            generator=torch.Generator().manual_seed(self.seed),
        )  # fmt: skip
        if name == "train" and self.trainer is not None:
            sampler.set_epoch(self.trainer.current_epoch)  # loader workers start before Lightning says which epoch it is
            done = self.trainer.fit_loop.epoch_loop.batch_progress.current.processed
            sampler.skip_batches(done % len(loader))  # a checkpoint of a finished epoch counts all its batches
        return loader

    def train_dataloader(self) -> DataLoader:
        """Shuffled training batches."""
        return self.loader("train")

    def val_dataloader(self) -> DataLoader:
        """Validation batches in order."""
        return self.loader("val")

    def test_dataloader(self) -> DataLoader:
        """Test batches in order."""
        return self.loader("test")
