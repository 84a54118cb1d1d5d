"""The base of every data set: a split that skips what it cannot read, and the DataModule.

A data set subclasses `ImageDataset` (what an index means) and `ImageDataModule` (which splits there are, where to
download them); everything else, from resizing to skipping unreadable files, is here.
"""

import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Literal, TypedDict

import pytorch_lightning as pl
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from explainer.data.bounds import LARGEST_SEED, within, worker_count
from explainer.data.cropping import CROP_SHARE, centre_crop, random_crop
from explainer.data.decoding import fast_pixels, file_content
from explainer.data.progress import EpochProgress
from explainer.data.removal import Removal
from explainer.data.sample import (
    VOID,
    Batch,
    Sample,
    blank_sample,
    collate,
    erase_rectangle,
    flip_sample,
    open_rgb,
    pixels,
)
from explainer.data.sampler import EpochBatches, EpochSampler, SharedBatches
from explainer.errors import InputError
from explainer.files.pictures import read_picture
from explainer.functional.parts import Parts
from explainer.functional.seeds import derived_seed
from explainer.stopping import end_with_parent

__all__ = [
    "VOID",
    "Batch",
    "ImageDataModule",
    "ImageDataset",
    "Sample",
    "Split",
    "collate",
    "open_rgb",
    "pixels",
]

Split = Literal["train", "val", "test"]

_LARGEST_SIDE = 16_384
"""Side of the square images in pixels: one such image takes 3 GiB."""
_REMOVAL = 1
"""Number that tells the seed of what is removed from that of the other augmentation."""
_UNREADABLE = (OSError, SyntaxError, ValueError, MemoryError, Image.DecompressionBombError)
"""Errors that reading a damaged image or segmentation raises."""


class DatasetOptions(TypedDict, total=False):
    """Keyword arguments of `ImageDataset` that depend on the split alone; what is left out keeps its default."""

    image_size: int
    annotations: bool
    strict: bool
    seed: int
    crop_to: int
    random_crop: bool
    flip: float
    erase: float
    blank: float
    removal: Removal | None
    fast: bool


class ImageDataset(Dataset, ABC):
    """One split of a data set.

    Args:
        ids: Names of the images; no two are equal.
        classes: Names of the K classes, in index order.
        image_size: Side S in pixels of the square that images, segmentations and boxes are resized to.
        annotations: Whether segmentations, boxes and parts are loaded (training does not need them).
        strict: Whether an unreadable image is an error; else it is named once, counted and skipped.
        flip: Probability of a horizontal flip (training).
        erase: Probability that a random rectangle (10 to 60 % of each side) takes the image's mean colour
            (training); it makes a classifier robust to the masked images that explanations show it.
        blank: Probability that an image becomes its mean colour all over and loses its labels (training); a classifier
            trained with blank images finds no class under an empty mask.
        removal: What is removed at random, last of all (training); None removes nothing.
        seed: Seed of the random augmentation, which is a function of (seed, epoch, index) alone.
        crop_to: Side in pixels of the square to which a part of every image is resized; None leaves images whole.
        random_crop: Whether that part is a random one (training), or the middle.
        fast: Whether JPEG files are decoded by a faster decoder, see `explainer.data.decoding`.
    """

    reads_parts: bool = True
    """Whether parts are among the annotations: to draw them takes many times as long as an image."""

    def __init__(
        self,
        ids: list[str],
        classes: tuple[str, ...],
        *,
        image_size: int,
        annotations: bool = False,
        strict: bool = False,
        flip: float = 0.0,
        erase: float = 0.0,
        blank: float = 0.0,
        removal: Removal | None = None,
        seed: int = 42,
        crop_to: int | None = None,
        random_crop: bool = False,
        fast: bool = False,
    ) -> None:
        counts = Counter(ids)
        twice = next((name for name, count in counts.items() if count > 1), None)
        # refused here, and not after an evaluation in which the second image's scores replaced the first one's
        if twice is not None:
            raise InputError(f"image {twice} is listed twice: an image's name stands for its scores, list it once")
        self.ids = ids
        self.classes = classes
        self.image_size = image_size
        self.annotations = annotations
        self.strict = strict
        self.flip = flip
        self.erase = erase
        self.blank = blank
        self.removal = removal
        self.seed = seed
        self.crop_to = crop_to
        self.random_crop = random_crop
        self.fast = fast
        self.epoch = torch.zeros(1, dtype=torch.long).share_memory_()  # seen by loader workers too
        # shared too: it is a worker that meets an unreadable image, and the main process that reports them
        self._unreadable = torch.zeros(len(ids), dtype=torch.bool).share_memory_()

    def check(self) -> None:
        """Refuse, before any work, annotations that cannot be, and a split of which no image can be read.

        Raises:
            InputError: An annotation is wrong, or no image can be read; names it, or the first image.
        """
        self.check_annotations()
        errors: dict[int, Exception] = {}
        # up to the first image that can be read: to read all of them would take as long as an epoch
        for index in range(len(self)):
            try:
                self._load(index)
                break
            except _UNREADABLE as error:
                errors[index] = error
                if self.strict:
                    break
        if errors and len(errors) == len(self) and not self.strict:
            first = next(iter(errors.values()))
            raise InputError(f"none of its {len(self)} images can be read; the first: {first}")
        for index in errors:
            self._report_unreadable(index, errors[index])

    def check_annotations(self) -> None:
        """Refuse annotations that cannot be; where they are read with the list of images, there is nothing to do."""

    @property
    def unreadable(self) -> list[str]:
        """Names of the images that could not be read so far."""
        return [self.ids[i] for i in self._unreadable.nonzero().flatten().tolist()]

    def note_unreadable(self, names: Iterable[str]) -> None:
        """Count images as unreadable that another process of the training could not read.

        Args:
            names: Names of images.
        """
        missing = set(names)
        if not missing:
            return
        for index, name in enumerate(self.ids):
            if name in missing:
                self._unreadable[index] = True

    @abstractmethod
    def image(self, index: int) -> Tensor:
        """Return an image (C, S, S) in [0, 1], RGB for most; raise OSError when its file cannot be read."""

    def read(self, path: Path) -> Tensor:
        """Read an image file as (3, S, S) in [0, 1].

        Args:
            path: Image file.

        Raises:
            UnreadableError: It cannot be read.
        """
        if self.fast:
            return fast_pixels(file_content(path), str(path), self.image_size)
        return pixels(read_picture(path), self.image_size)

    @abstractmethod
    def labels(self, index: int) -> Tensor:
        """Return the labels (K,) of an image, multi-hot float."""

    def segmentation(self, index: int) -> Tensor | None:
        """Return a segmentation (K, S, S) uint8 of 0, 1 and 255 (void); None for an image that has none."""
        return None

    def boxes(self, index: int) -> Tensor | None:
        """Return boxes (N, 5) float: class index, x0, y0, x1, y1 in pixels of the resized image; None without any."""
        return None

    def parts(self, index: int) -> Parts | None:
        """Return the parts of an image, each with the image without it; None where they are not known."""
        return None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample | None:
        try:
            image, segmentation, boxes, parts = self._load(index)
        except _UNREADABLE as error:
            self._report_unreadable(index, error)
            # `collate` leaves it out: a replacement would count one image twice
            return None
        sample = Sample(image, self.labels(index), self.ids[index], segmentation, boxes, parts)
        return self._augment(sample, index)

    def _load(self, index: int) -> tuple[Tensor, Tensor | None, Tensor | None, Parts | None]:
        """Read image, segmentation, boxes and parts: everything that lies in files, which may be damaged."""
        image = self.image(index)
        # training looks at none of them, and to read them takes time
        if not self.annotations:
            return image, None, None, None
        parts = self.parts(index) if self.reads_parts else None
        return image, self.segmentation(index), self.boxes(index), parts

    def _report_unreadable(self, index: int, error: Exception) -> None:
        if self.strict:
            raise InputError(f"cannot read image {self.ids[index]}: {error}") from error
        if not self._unreadable[index]:
            self._unreadable[index] = True
            warnings.warn(f"skipping unreadable image {self.ids[index]}: {error}", stacklevel=2)

    def _augment(self, sample: Sample, index: int) -> Sample:
        sample = self._varied(sample, index)
        if self.removal is None:
            return sample
        # a generator of its own, told apart by a fourth number: what else is drawn stays what it was
        seed = derived_seed(self.seed, int(self.epoch), index, _REMOVAL)
        generator = torch.Generator().manual_seed(seed)
        return sample._replace(image=self.removal(sample.image, generator))

    def _varied(self, sample: Sample, index: int) -> Sample:
        """Crop, flip, erase and blank a sample."""
        if self.crop_to is not None and not self.random_crop:
            sample = centre_crop(sample, self.crop_to)
        if not (self.flip or self.erase or self.blank or self.random_crop):
            return sample
        # of these three alone: whichever worker reads the image, and after a resume too, it is augmented alike
        seed = derived_seed(self.seed, int(self.epoch), index)
        generator = torch.Generator().manual_seed(seed)
        # all six numbers at once, whatever is switched on: one augmentation does not change the draws of another
        draw = torch.rand(6, generator=generator).tolist()
        if self.crop_to is not None and self.random_crop:
            sample = random_crop(sample, self.crop_to, generator)
        if draw[0] < self.flip:
            sample = flip_sample(sample)
        if draw[1] < self.erase:
            sample = sample._replace(image=erase_rectangle(sample.image, draw[2:]))
        # a draw of its own, the last one: `blank` came later, and the six numbers must stay what they were
        if self.blank and torch.rand((), generator=generator) < self.blank:
            sample = blank_sample(sample)
        return sample


class ImageDataModule(pl.LightningDataModule, ABC):
    """Base of every DataModule.

    Args:
        root: Folder of the data set.
        image_size: Side of the square images in pixels; images are resized, not cropped, unless `crop` is set.
        batch_size: Number of images a batch.
        num_workers: Number of loader processes; None takes one a core, at most 8.
        download: Whether to download even when the root holds files; into an empty or missing root the data set is
            downloaded anyway.
        strict: Whether an unreadable image is an error; else it is skipped.
        flip: Probability of a horizontal flip in training.
        erase: Probability of erasing a random rectangle in training.
        blank: Probability that a training image becomes its mean colour all over, without labels; only for data sets
            whose images may have any number of labels.
        removal: What is removed of training images at random, so that a classifier knows such images when a metric
            shows them; None removes nothing.
        seed: Seed of the order of the training images and of their augmentation.
        crop: Whether training sees random parts of the images and everything else their middle, as the ResNets of K. He
            et al. (Deep Residual Learning for Image Recognition, CVPR 2016) did: images are resized to squares of 256 /
            224 of `image_size`, of which a random window (8 to 100 % of the area, aspect ratio 3/4 to 4/3) is resized
            to `image_size` in training, and the middle is cut out in validation and test. Segmentations and boxes are
            cropped alike.
        decoding: Whether images are decoded in the "exact" way of all earlier results, or in a "fast" one, in which
            the pixels of JPEG files differ a little (see `explainer.data.decoding`): train and evaluate with the same.
    """

    multilabel: bool = True
    channels: int = 3
    """Number C of channels of the images; three are RGB."""

    def __init__(
        self,
        root: str = "data",
        image_size: int = 224,
        batch_size: int = 16,
        num_workers: int | None = None,
        download: bool = False,
        strict: bool = False,
        flip: float = 0.0,
        erase: float = 0.0,
        blank: float = 0.0,
        seed: int = 42,
        crop: bool = False,
        removal: Removal | None = None,
        decoding: Literal["exact", "fast"] = "exact",
    ) -> None:
        super().__init__()
        within("image_size", image_size, 1, _LARGEST_SIDE)
        within("batch_size", batch_size, 1)
        within("seed", seed, 0, LARGEST_SEED)
        within("flip", flip, 0, 1)
        within("erase", erase, 0, 1)
        within("blank", blank, 0, 1)
        self.root = Path(root)
        self.image_size = image_size
        self.batch_size = batch_size
        self.seed = seed
        self.num_workers = worker_count(num_workers)
        self.download = download
        self.strict = strict
        self.flip = flip
        self.erase = erase
        self.blank = blank
        self.crop = crop
        self.removal = removal
        self.decoding = decoding
        # built once: building lists and checks all files, and several callbacks ask for a split
        self._splits: dict[str, ImageDataset] = {}
        self.progress = EpochProgress()

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Names of the K classes in index order; may read annotation files."""

    @abstractmethod
    def build(self, split: Split) -> ImageDataset:
        """Make the data set of one split, constructed with `**self.options(split)`."""

    def fetch(self) -> None:
        """Download the data set into `root`; without a downloader, refuse with one line that says what to put where."""
        raise InputError(f"no data in {self.root}: put the data set there (see the README), or set data.init_args.root")

    def options(self, split: Split) -> DatasetOptions:
        """Return keyword arguments of `ImageDataset` for a split: augmentation in training, annotations elsewhere."""
        train = split == "train"
        if self.blank and not self.multilabel:
            raise InputError(
                f"data.init_args.blank: every image of {type(self).__name__} has one label, so none is blank"
            )
        options = DatasetOptions(
            image_size=self.image_size,
            annotations=not train,
            strict=self.strict,
            seed=self.seed,
        )
        if self.decoding == "fast":
            options["fast"] = True
        if self.crop:
            # a little larger than what is cut out of it, as He et al. have it
            options["image_size"] = round(self.image_size / CROP_SHARE)
            options["crop_to"] = self.image_size
            options["random_crop"] = train
        if train:
            options["flip"] = self.flip
            options["erase"] = self.erase
            options["blank"] = self.blank
            options["removal"] = self.removal
        return options

    def prepare_data(self) -> None:
        """Download when asked, or when the root is empty or missing."""
        # a root that holds anything is somebody's: nothing is downloaded into it unasked
        if self.download or not self.root.is_dir() or not any(self.root.iterdir()):
            self.fetch()

    def split(self, name: Split) -> ImageDataset:
        """Return the data set of a split, built and checked once; an empty or unreadable one is an error."""
        if name not in self._splits:
            dataset = self.build(name)
            if not len(dataset):
                raise InputError(f"{self._name_of(name)} has no images")
            try:
                dataset.check()
            except InputError as error:
                raise InputError(f"{self._name_of(name)}: {error}") from error
            self._splits[name] = dataset
        return self._splits[name]

    def _name_of(self, name: Split) -> str:
        return f"the {name} split of {type(self).__name__} in {self.root}"

    def loader(self, name: Split) -> DataLoader:
        """Return the batches of a split: in order, but for training, which is shuffled and can be entered anywhere.

        Several processes share the images: each sees its own.
        """
        dataset = self.split(name)
        sampler = EpochSampler(dataset, self.batch_size, self.seed, shuffle=name == "train")
        new_loader = partial(
            DataLoader,
            dataset,
            collate_fn=collate,
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
            # without one, each loader draws its workers' seed from the global state, and so moves it
            generator=torch.Generator().manual_seed(self.seed),
            worker_init_fn=end_with_parent,
        )
        if name != "train":
            return new_loader(batch_sampler=SharedBatches(sampler, self.batch_size))
        batches = EpochBatches(sampler, self.batch_size)
        # without a Trainer, in a script or a test, there is no epoch to go on with
        if self.trainer is not None:
            self.progress.enter(self.trainer.fit_loop, batches)
        return new_loader(batch_sampler=batches)

    def state_dict(self) -> dict[str, int]:
        """Return how many images of the epoch are done, in all processes together; a checkpoint holds it."""
        return {"images_done": self.progress.images_done(self.trainer.fit_loop)}  # type: ignore[union-attr]

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Take over how many images of the epoch are done."""
        self.progress.load(int(state_dict["images_done"]))

    def train_dataloader(self) -> DataLoader:
        """Return shuffled training batches."""
        return self.loader("train")

    def val_dataloader(self) -> DataLoader:
        """Return validation batches in order."""
        return self.loader("val")

    def test_dataloader(self) -> DataLoader:
        """Return test batches in order."""
        return self.loader("test")
