"""Read images packed in tar files, in the layout of WebDataset: shards of `<key>.jpg` beside `<key>.cls`.

WebDataset streams its shards and shuffles what a buffer holds. Here a tar file is read at the place of each image,
which a list of its members tells: so every image is seen once an epoch, in an order that a seed decides. The list is
made once and kept beside the shard. The library itself is not needed.
"""

import contextlib
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from explainer.data.annotations import divide
from explainer.data.base import ImageDataModule, Split
from explainer.data.bounds import share
from explainer.data.imagenet import class_names
from explainer.data.packed import PackedDataset
from explainer.errors import InputError
from explainer.files import read_lines, read_state, write_json

_IMAGES = frozenset({"jpg", "jpeg", "png", "webp", "ppm", "tif", "tiff", "bmp"})
_LABELS = ("cls", "json")
"""Endings of the files that hold a label: the class's index, or JSON with the index under "label" or "cls"."""
_LONGEST_LABEL = 100_000
"""Bytes of a label's file: what is longer is something else."""
CLASSES = "classes.txt"
"""File in the root with the names of the classes, one a line, in index order."""


class Member(NamedTuple):
    """An image in a shard.

    Attributes:
        key: Name of the sample in the shard.
        offset: Place of the image's first byte in the shard.
        size: Number of its bytes.
        label: Index of its class.
    """

    key: str
    offset: int
    size: int
    label: int


def list_members(shard: Path) -> list[Member]:
    """List the images of a shard.

    Args:
        shard: Tar file in the layout of WebDataset.

    Returns:
        Images in the order of the file.

    Raises:
        InputError: The file is no plain tar file, or an image has no label; names the shard and the sample.
    """
    images: dict[str, tuple[int, int]] = {}
    labels: dict[str, int] = {}
    try:
        # "r:" and no other mode: in a compressed file nothing could be read from its place
        with tarfile.open(shard, "r:") as file:
            for entry in file:
                if not entry.isfile():
                    continue
                key, ending = split_name(entry.name)
                if ending in _IMAGES:
                    images.setdefault(key, (entry.offset_data, entry.size))
                elif ending in _LABELS and key not in labels:
                    labels[key] = _label_of(file, entry, f"{shard}: {entry.name}")
    except (tarfile.TarError, OSError) as error:
        raise InputError(f"{shard} is no plain tar file ({error}): shards must not be compressed") from error
    without = next((key for key in images if key not in labels), None)
    if without is not None:
        raise InputError(f"{shard}: sample {without} has an image and no label: {without}.cls or {without}.json")
    return [Member(key, *place, labels[key]) for key, place in images.items()]


def split_name(name: str) -> tuple[str, str]:
    """Split a member's name into the sample's key and the ending, as WebDataset does: at the first dot of the file.

    Args:
        name: Path within the tar file.

    Example:
        >>> split_name("train/a.b/0001.seg.png"), split_name("./0002.JPG")
        (('train/a.b/0001', 'seg.png'), ('0002', 'jpg'))
    """
    folder, slash, file = name.removeprefix("./").rpartition("/")
    stem, _, ending = file.partition(".")
    return f"{folder}{slash}{stem}", ending.lower()


def _label_of(file: tarfile.TarFile, entry: tarfile.TarInfo, name: str) -> int:
    """Read the label's file of a sample."""
    stream = file.extractfile(entry)
    if stream is None or entry.size > _LONGEST_LABEL:
        raise InputError(f"{name} is no label")
    try:
        value: Any = json.loads(stream.read())
    except ValueError:
        value = None
    if isinstance(value, dict):
        value = value.get("label", value.get("cls"))
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"{name} holds no index of a class: a whole number from 0, or JSON with it as `label`")
    return value


def members_of(shard: Path) -> list[Member]:
    """List the images of a shard, from the list beside it where it is of this very file.

    Args:
        shard: Tar file.

    Returns:
        Images in the order of the file.

    Raises:
        InputError: The shard cannot be read.
    """
    listed = shard.with_name(f"{shard.name}.members.json")
    status = shard.stat()
    facts = [status.st_size, status.st_mtime_ns]
    known = read_state(listed, dict[str, Any])
    if known is not None and known.get("file") == facts:
        return [Member(*row) for row in known["members"]]
    members = list_members(shard)
    # where the folder cannot be written to, the list is made again the next time
    with contextlib.suppress(OSError):
        write_json(listed, {"file": facts, "members": members})
    return members


class ShardDataset(PackedDataset):
    """Images in tar files.

    Args:
        places: Shard and member of each image.
        classes: Names of the K classes in index order.
        options: Further arguments of `ImageDataset`.

    Raises:
        InputError: A label is beyond the classes.
    """

    def __init__(self, places: list[tuple[Path, Member]], classes: tuple[str, ...], **options: object) -> None:
        ids = []
        for shard, member in places:
            ids.append(f"{shard.stem}/{member.key}")
            if member.label >= len(classes):
                raise InputError(
                    f"{shard}: sample {member.key} is of class {member.label}, and there are {len(classes)} classes: "
                    f"put their names into {CLASSES}, one a line"
                )
        super().__init__(ids, classes, [[member.label] for _, member in places], **options)
        self.places = places

    def content(self, index: int) -> bytes:
        """Return the content of an image's file."""
        shard, member = self.places[index]
        with shard.open("rb") as file:
            file.seek(member.offset)
            content = file.read(member.size)
        if len(content) < member.size:
            raise OSError(f"{shard} ends within {member.key}: it was cut off or changed")
        return content


class Shards(ImageDataModule):
    """Images with one label in tar files, in the layout of WebDataset: ImageNet, say.

    Args:
        train: Pattern of the training shards below the root.
        test: Pattern of the test shards.
        val: Pattern of the validation shards; None divides the training images.
        val_fraction: Share of the training images that is the validation split where `val` is None.
        kwargs: Further arguments of `ImageDataModule`.

    Raises:
        InputError: The share is not between 0 and 1.
    """

    multilabel = False

    def __init__(
        self,
        train: str = "*train*.tar",
        test: str = "*val*.tar",
        val: str | None = None,
        val_fraction: float = 0.02,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        share("val_fraction", val_fraction)
        self.patterns = {"train": train, "val": val, "test": test}
        self.val_fraction = val_fraction

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes: the lines of classes.txt in the root; without that file the 1,000 of ImageNet."""
        path = self.root / CLASSES
        if not path.is_file():
            return class_names()
        names = tuple(line.strip() for line in read_lines(path) if line.strip())
        if not names or len(set(names)) < len(names):
            raise InputError(f"{path} must hold the names of the classes, one a line, none of them twice")
        return names

    def fetch(self) -> None:
        """Say what to put where."""
        raise InputError(
            f"no shards in {self.root}: put tar files there, with <key>.jpg and <key>.cls for each image, and "
            f"{CLASSES} unless the classes are ImageNet's"
        )

    def build(self, split: Split) -> ShardDataset:
        """Make the images of a split, in the order of the shards."""
        pattern = self.patterns[split]
        if pattern is not None:
            places = list(self._places(pattern))
            if split == "train" and self.patterns["val"] is None:
                places, _ = divide(places, 1 - self.val_fraction, self.seed)
        else:
            _, places = divide(list(self._places(str(self.patterns["train"]))), 1 - self.val_fraction, self.seed)
        return ShardDataset(places, self.classes, **self.options(split))

    def _places(self, pattern: str) -> Iterator[tuple[Path, Member]]:
        shards = sorted(path for path in self.root.glob(pattern) if path.is_file())
        if not shards:
            raise InputError(f"no shard {self.root / pattern}")
        for shard in shards:
            for member in members_of(shard):
                yield shard, member
