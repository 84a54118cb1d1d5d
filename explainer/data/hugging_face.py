"""Read a table of Hugging Face's `datasets`: a folder that `save_to_disk` wrote, or Parquet files.

Nothing of a downloaded table is run: Arrow and Parquet files hold values alone.
"""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

from explainer.data.annotations import divide
from explainer.data.base import ImageDataModule, Split
from explainer.data.bounds import share
from explainer.data.packed import PackedDataset
from explainer.errors import InputError, missing_extra, one_line

_SPLITS = {"train": ("train",), "val": ("validation", "val", "valid"), "test": ("test",)}
"""Split → names of splits in tables, the first that is there."""
_PARQUET = re.compile(r"([A-Za-z]+)(-\d+-of-\d+)?\.parquet")
"""Name of a Parquet file of a split, as the Hub writes it."""


def library() -> ModuleType:
    """Return Hugging Face's `datasets`.

    Raises:
        InputError: It is not installed.
    """
    try:
        import datasets
    except ImportError as error:
        raise missing_extra("tables of Hugging Face need datasets", "datasets") from error
    return datasets


def open_tables(root: Path) -> dict[str, Any]:
    """Open the tables below a folder; images are not decoded, and stay on the disk.

    Args:
        root: Folder that `save_to_disk` wrote, or that holds Parquet files, in it or in `data/`.

    Returns:
        Name of a split → table; a table without splits is "train".

    Raises:
        InputError: There is no table, or it cannot be opened.
    """
    datasets = library()
    try:
        if (root / "dataset_dict.json").is_file() or (root / "dataset_info.json").is_file():
            opened = datasets.load_from_disk(str(root))
        else:
            opened = datasets.load_dataset("parquet", data_files=parquet_files(root))
    except InputError:
        raise
    except Exception as error:  # whatever Arrow says of a damaged file
        raise InputError(f"{root}: the table cannot be opened: {one_line(error)}") from error
    return dict(opened) if isinstance(opened, dict) else {"train": opened}


def parquet_files(root: Path) -> dict[str, list[str]]:
    """Find the Parquet files of each split, as the Hub names them: train-00000-of-00002.parquet, or train.parquet.

    Args:
        root: Folder of the files, or of a folder `data` with them.

    Returns:
        Split → files.

    Raises:
        InputError: There are none.
    """
    files: dict[str, list[str]] = {}
    for path in sorted([*root.glob("*.parquet"), *root.glob("data/*.parquet")]):
        match = _PARQUET.fullmatch(path.name)
        if match:
            files.setdefault(match[1].lower(), []).append(str(path))
    if not files:
        raise InputError(
            f"no table in {root}: expected what save_to_disk wrote, or Parquet files such as "
            f"{root}/data/train-00000-of-00001.parquet"
        )
    return files


class TableDataset(PackedDataset):
    """Images in rows of a table.

    Args:
        table: Table whose images are not decoded.
        rows: Numbers of the rows of this split.
        name: Name of the table's split, of which the images' names are made.
        image: Column of the images.
        label: Column of the labels.
        classes: Names of the K classes in index order.
        root: Folder against which images are looked up that lie beside the table.
        options: Further arguments of `ImageDataset`.

    Raises:
        InputError: A label is none of the classes.
    """

    def __init__(
        self,
        table: Any,
        rows: list[int],
        name: str,
        *,
        image: str,
        label: str,
        classes: tuple[str, ...],
        root: Path,
        **options: object,
    ) -> None:
        values = table.select_columns([label])[:][label]
        labelled = []
        for row in rows:
            given = values[row] if isinstance(values[row], list) else [values[row]]
            # -1 stands for a label that is not public
            wrong = next((index for index in given if not 0 <= index < len(classes)), None)
            if wrong is not None:
                raise InputError(f"row {row} of {name}: label {wrong} is none of the {len(classes)} classes")
            labelled.append(given)
        super().__init__([f"{name}/{row}" for row in rows], classes, labelled, **options)
        self.table = table.select_columns([image])
        self.rows = rows
        self.column = image
        self.root = root

    def content(self, index: int) -> bytes:
        """Return the content of an image's file."""
        cell = self.table[self.rows[index]][self.column]
        if cell is None:
            raise OSError("the row has no image")
        if cell["bytes"] is not None:
            return cell["bytes"]
        return (self.root / cell["path"]).read_bytes()


class Table(ImageDataModule):
    """Images in a table of Hugging Face's `datasets`, with one label each, or with any number.

    Args:
        image: Column of the images.
        label: Column of the labels: a class, or a list of classes.
        val_fraction: Share of the training images that is the validation split where the table has none.
        kwargs: Further arguments of `ImageDataModule`.

    Raises:
        InputError: The share is not between 0 and 1.
    """

    def __init__(
        self,
        image: str = "image",
        label: str = "label",
        val_fraction: float = 0.02,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        share("val_fraction", val_fraction)
        self.image = image
        self.label = label
        self.val_fraction = val_fraction
        self._tables: dict[str, Any] = {}

    @property
    def tables(self) -> dict[str, Any]:
        """The tables of the root, opened once, with images as they are stored."""
        if not self._tables:
            datasets = library()
            for name, table in open_tables(self.root).items():
                for column in (self.image, self.label):
                    if column not in table.column_names:
                        raise InputError(
                            f"{self.root}: the table {name} has no column {column}; there are "
                            f"{', '.join(table.column_names)}"
                        )
                self._tables[name] = table.cast_column(self.image, datasets.Image(decode=False))
        return self._tables

    @property
    def multilabel(self) -> bool:  # type: ignore[override]
        """Whether a row has a list of classes."""
        first = next(iter(self.tables.values()))
        return not hasattr(first.features[self.label], "names")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, which the table knows."""
        feature = next(iter(self.tables.values())).features[self.label]
        names = getattr(getattr(feature, "feature", feature), "names", None)
        if not names:
            raise InputError(f"{self.root}: column {self.label} does not name its classes: make it a ClassLabel")
        return tuple(names)

    def fetch(self) -> None:
        """Say what to put where."""
        raise InputError(
            f"no table in {self.root}: download one there, such as `hf download <repository> --repo-type dataset "
            f"--local-dir {self.root}`, or write one by save_to_disk"
        )

    def build(self, split: Split) -> TableDataset:
        """Make the images of a split, in the order of the rows."""
        name = self._name(split)
        table = self.tables[name]
        rows = list(range(len(table)))
        if name == "train" and not self._has_val:
            train, val = divide(rows, 1 - self.val_fraction, self.seed)
            rows = val if split == "val" else train
        return TableDataset(
            table,
            rows,
            name,
            image=self.image,
            label=self.label,
            classes=self.classes,
            root=self.root,
            **self.options(split),
        )

    @property
    def _has_val(self) -> bool:
        """Whether there is a validation split beside a test split."""
        return self._found("val") is not None and self._found("test") is not None

    def _found(self, split: Split) -> str | None:
        """Return the table's name of a split, if there is one."""
        return next((name for name in _SPLITS[split] if name in self.tables), None)

    def _name(self, split: Split) -> str:
        """Return the name of the table that a split is read from.

        A table with train and validation alone, as ImageNet's, is tested on its validation images.
        """
        if split == "test":
            name = self._found("test") or self._found("val")
        elif split == "val" and self._has_val:
            name = self._found("val")
        else:
            name = self._found("train")
        if name is None:
            raise InputError(f"{self.root}: the table has no split for {split}; there are {', '.join(self.tables)}")
        return name
