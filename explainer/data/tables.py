"""Read a CSV of images and labels: one line an image, or, in the long format, one line a label."""

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path

from pytorch_lightning.utilities.rank_zero import rank_zero_info, rank_zero_warn

from explainer.data.base import Split
from explainer.data.listing import Item
from explainer.errors import InputError
from explainer.files import read_text

SPLITS: tuple[Split, ...] = ("train", "val", "test")


def read_csv(root: Path, name: str) -> list[Item]:
    """Read the images that a CSV names.

    Lines of the same path and split are joined: the image has all their labels.

    Args:
        root: Folder to which the paths, and that of the CSV, are relative.
        name: Path of the CSV.

    Returns:
        Images in the file's order.

    Raises:
        InputError: The file, a column or an image is missing, a line has too few or too many columns, or a split has
            an unknown name or is given for some lines only; names the line.
    """
    path = root / name
    base = root.absolute()  # two spellings of one path are one image
    if not path.is_file():
        raise InputError(f"no CSV {path}")
    labels: dict[tuple[str, str | None], set[str]] = {}
    paths: dict[tuple[str, str | None], str] = {}
    undecided: tuple[int, bool] | None = None
    lines = 0
    for line, row in _rows(path):
        item = _read_row(root, path, line, row)
        if undecided is None:
            undecided = (line, item.split is None)
        elif undecided[1] != (item.split is None):
            raise InputError(f"{path}, line {line}: some lines have a split and others have none; give it to all")
        whole = os.path.join(base, item.path)  # noqa: PTH118, which keeps "a/../b"
        key = (os.path.normpath(whole), item.split)
        # the first spelling names the image everywhere
        paths.setdefault(key, item.path)
        labels.setdefault(key, set()).update(item.labels)
        lines += 1
    if lines > len(labels):
        rank_zero_info(f"{path}: {lines} lines name {len(labels)} images; the labels of each are joined")
    _name_shared(path, list(labels))
    items = []
    for key, names in labels.items():
        # sorted: a set has an order of its own in every run
        _, split = key
        items.append(Item(paths[key], tuple(sorted(names)), split))
    return items


def _rows(path: Path) -> Iterator[tuple[int, dict]]:
    """Yield each line's number and columns, after a check of the first line."""
    text = read_text(path)
    limit = csv.field_size_limit(max(131_072, len(text)))  # a field may hold thousands of labels
    try:
        # newline="" leaves line ends as they are: inside of quotes they belong to the field
        file = io.StringIO(text, newline="")
        reader = csv.DictReader(file)
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InputError(f"{path} is not a CSV: {error}") from error
    finally:
        csv.field_size_limit(limit)
    for column in ("path", "labels"):
        if not rows or column not in (reader.fieldnames or ()):
            raise InputError(f"{path} needs the columns path and labels; {column!r} is missing")
    yield from rows


def _read_row(root: Path, path: Path, line: int, row: dict) -> Item:
    # DictReader puts None where columns are missing, and those that are too many under the key None
    too_many = any(row.get(None) or ())
    if row["labels"] is None or too_many:
        raise InputError(f"{path}, line {line}: not as many columns as the first line (labels are separated by ';')")
    split = (row.get("split") or "").strip() or None
    if split not in (None, *SPLITS):
        raise InputError(f"{path}, line {line}: split {split!r} is none of train, val, test")
    if not row["path"] or not os.path.isfile(root / row["path"]):  # noqa: PTH113, which fails on overlong names
        raise InputError(f"{path}, line {line}: no image {root / row['path']}")
    labels = {label.strip() for label in row["labels"].split(";")}
    names = labels - {""}  # of an image without labels, or behind a last semicolon
    return Item(row["path"], tuple(sorted(names)), split)


def _name_shared(path: Path, keys: list[tuple[str, str | None]]) -> None:
    """Say which images are in several splits: what is tested has then been trained on."""
    first: dict[str, str | None] = {}
    shared = [name for name, split in keys if first.setdefault(name, split) != split]
    # a warning, not an error: in a trial, a few images may stand in every split on purpose
    if shared:
        example = os.path.relpath(shared[0], path.parent)
        count = len(set(shared))
        rank_zero_warn(f"{path}: {count} images are in several splits, such as {example}")
