"""Which images an audit looks at: those of a folder, or those of a data module."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from explainer.data import ImageDataModule, ImageDataset, Sample, collate
from explainer.data.base import Split
from explainer.data.bounds import worker_count
from explainer.data.folder import FolderDataset
from explainer.data.listing import Item, list_images
from explainer.errors import InputError
from explainer.functional.resizing import resize
from explainer.stopping import end_with_parent

_SPLIT_NAMES = {"train", "training", "val", "valid", "validation", "test", "testing"}


class Source(NamedTuple):
    """Images of an audit.

    Attributes:
        images: Images with their labels, and segmentations or boxes where there are some.
        name: Name of the folder or of the data set, for the page.
        workers: Number of processes that read images.
        labelled: Whether the labels mean something.
        remark: Sentence on what was decided, which a person might not expect; empty for none.
    """

    images: ImageDataset
    name: str
    workers: int
    labelled: bool
    remark: str = ""


class Fault(NamedTuple):
    """An image that cannot be read.

    Attributes:
        number: Number of the image in its data set.
        id: Name of the image.
        words: Reason in one line.
    """

    number: int
    id: str
    words: str


class Reading(NamedTuple):
    """A batch of an audit.

    Attributes:
        indices: Numbers (B,) of the images in their data set.
        ids: Names of the images.
        images: Images (B, C, S, S) in [0, 1].
        labels: Labels (B, K), multi-hot.
        objects: Segmentation (B, K, S, S) uint8 of 0, 1 and 255 (void); None where no image has one.
        faults: Images that could not be read, which are left out.
    """

    indices: list[int]
    ids: list[str]
    images: Tensor
    labels: Tensor
    objects: Tensor | None
    faults: list[Fault]


def folder_source(
    root: Path,
    classes: Sequence[str],
    image_size: int,
    channels: int = 3,
    workers: int | None = None,
) -> Source:
    """List the images below a folder; folders that bear a class's name are labels.

    Args:
        root: Folder of the images, at any depth.
        classes: Names of the classifier's K classes.
        image_size: Side in pixels at which the classifier sees the images.
        channels: Number C of channels that the classifier takes.
        workers: Number of processes that read images; None takes one a core, at most 8.

    Raises:
        InputError: There is no such folder, or no image in it.
    """
    if not root.is_dir():
        raise InputError(f"no folder {root}: name a folder of images, or a config with a data set")
    items = [_labelled(item, classes) for item in list_images(root)]
    named = sum(bool(item.labels) for item in items)
    folders = {item.path.split("/")[0] for item in items if "/" in item.path}
    remark = ""
    if folders and not named:
        remark = f"no folder in {root} has the name of a class, such as {classes[0]!r}: the images have no labels"
    elif named and named < len(items):
        remark = f"{len(items) - named} of {len(items)} images lie in no folder with the name of a class: no label"
    images = FolderDataset(
        root,
        items,
        tuple(classes),
        None,
        channels,
        image_size=image_size,
        # here an unreadable image is an error that `Images` takes as a fault
        strict=True,
    )
    return Source(images, root.name or str(root), worker_count(workers), named > 0, remark)


def _labelled(item: Item, classes: Sequence[str]) -> Item:
    """Give an image the label of the folder that bears a class's name: the first, or the second below a split."""
    parts = item.path.split("/")[:-1]
    if len(parts) > 1 and parts[0].casefold() in _SPLIT_NAMES and parts[0] not in classes:
        parts = parts[1:]
    if parts and parts[0] in classes:
        return item._replace(labels=(parts[0],))
    return item


def module_source(module: ImageDataModule, split: Split, classes: Sequence[str], workers: int | None = None) -> Source:
    """Take a split of a data module, with its annotations.

    Args:
        module: Data module.
        split: Split that is audited.
        classes: Names of the classifier's K classes.
        workers: Number of processes that read images; None takes those of the module.

    Raises:
        InputError: Its classes are not the classifier's, or the split cannot be read.
    """
    module.prepare_data()
    if tuple(module.classes) != tuple(classes):
        raise InputError(
            f"the data set has {len(module.classes)} classes ({', '.join(module.classes[:3])} …), the classifier "
            f"{len(classes)} ({', '.join(classes[:3])} …): audit a classifier of this data set"
        )
    # a data set of one's own, which the module does not hand out again: its settings become other ones
    images = module.build(split)
    if not len(images):
        raise InputError(f"the {split} split of {type(module).__name__} in {module.root} has no images")
    # what augments a training set is no part of the data; annotations are
    images.flip = 0.0
    images.erase = 0.0
    images.blank = 0.0
    images.removal = None
    images.random_crop = False
    images.annotations = True
    images.reads_parts = False
    images.strict = True
    count = module.num_workers if workers is None else workers
    return Source(images, f"{type(module).__name__}, {split} split", count, True)


class Images(Dataset):
    """Some images of a data set, in an order; one that cannot be read is a `Fault`.

    Args:
        images: Data set, which is strict: an unreadable image is an InputError.
        indices: Numbers of the images, in the order in which they come.
    """

    def __init__(self, images: ImageDataset, indices: Sequence[int]) -> None:
        self.images = images
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: int) -> tuple[int, Sample | Fault]:
        index = self.indices[place]
        try:
            sample = self.images[index]
        except InputError as error:
            return index, Fault(index, self.images.ids[index], str(error))
        assert sample is not None  # a strict data set raises
        return index, sample


def read(source: Source, indices: Sequence[int], batch_size: int, side: int) -> Iterator[Reading]:
    """Read images in batches.

    Args:
        source: Images.
        indices: Numbers of the images, in the order in which they come.
        batch_size: Largest number of images at once.
        side: Side in pixels of the images that are returned.

    Yields:
        A batch; it is empty where none of its images can be read.
    """
    loader = DataLoader(
        Images(source.images, indices),
        batch_size=batch_size,
        num_workers=min(source.workers, max(0, len(indices) // batch_size)),
        collate_fn=_together,
        # without one, the loader would draw its workers' seed from the global state, and so move it
        generator=torch.Generator(),
        worker_init_fn=end_with_parent,
    )
    for reading in loader:
        yield _resized(reading, side)


def _together(entries: list[tuple[int, Sample | Fault]]) -> Reading:
    """Stack what could be read, and list what could not."""
    faults = [entry for _, entry in entries if isinstance(entry, Fault)]
    readable = [(index, entry) for index, entry in entries if not isinstance(entry, Fault)]
    batch = collate([cast(Sample, entry) for _, entry in readable])
    objects = batch.segmentation
    if objects is None and batch.boxes is not None:
        objects = boxed(batch.boxes, batch.labels.shape[1], batch.image.shape[-1])
    return Reading([index for index, _ in readable], batch.id, batch.image, batch.labels, objects, faults)


def boxed(boxes: Sequence[Tensor], classes: int, side: int) -> Tensor:
    """Draw boxes as segmentations.

    Args:
        boxes: Boxes (N, 5) of each image: class index, x0, y0, x1, y1 in pixels.
        classes: Number K of classes.
        side: Side S of the images in pixels.

    Returns:
        (B, K, S, S) uint8, 1 within a box of the class.

    Example:
        >>> boxed([torch.tensor([[1.0, 0, 0, 2, 1]])], 2, 2)[0, 1].tolist()
        [[1, 1], [0, 0]]
    """
    drawn = torch.zeros(len(boxes), classes, side, side, dtype=torch.uint8)
    for image, rows in zip(drawn, boxes, strict=True):
        for row in rows.round().long().tolist():
            index, x0, y0, x1, y1 = row
            image[index, max(0, y0) : y1, max(0, x0) : x1] = 1
    return drawn


def _resized(reading: Reading, side: int) -> Reading:
    """Bring a batch to the size at which the networks see it."""
    if reading.images.shape[-1] == side or not reading.ids:
        return reading
    objects = reading.objects
    if objects is not None:
        objects = torch.nn.functional.interpolate(objects, (side, side), mode="nearest")
    return reading._replace(images=resize(reading.images, (side, side)), objects=objects)
