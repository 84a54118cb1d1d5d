"""An audit's masks on the disk: parts that are written whole, and at last one file of rows and one of arrays."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NotRequired

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from explainer.errors import InputError
from explainer.files import read_state, replacing, sweep, write_json, write_text

ROWS = "rows.jsonl"
ARRAYS = "masks.npz"
FACTS = "audit.json"
_PARTS = "parts"

Row = TypedDict(
    "Row",
    {
        "id": str,
        "index": int,
        "class": str,
        "labels": list[str],
        "predicted": bool,
        "probability": float,
        "area": float,
        "centre": list[float],
        "border": float,
        "object": float | None,
        "context": float | None,
        "kept": NotRequired[float],
        "removed": NotRequired[float],
    },
)
"""An image and a class that is explained: its name, its number in the data set, the class, the labels, whether the
classifier decides for the class, its probability, the mask's area and middle (from the left, from the top), the shares
of the mask's mass, and perhaps the class's probability for what the mask keeps and for what it leaves."""

Arrays = dict[str, NDArray]
"""`masks` (R, g, g) uint8, `places` (R, P, 2) uint8 and `strengths` (R, P) uint8 of the rows' peaks; and of the patches
`patches` (Q, C, p, p) uint8, `patch_row` (Q,), `patch_peak` (Q,) and `patch_object` (Q,), the percentage of the mask's
mass there that lies on the object, 255 where that is not known; and of the small pictures `thumbs` (T, C, 32, 32) uint8
and `thumb_row` (T,)."""


class Scan(NamedTuple):
    """What was scanned of a data set.

    Attributes:
        rows: Row of each image and class that is explained.
        arrays: Arrays that go with the rows.
        faults: Image that could not be read → reason.
    """

    rows: list[Row]
    arrays: Arrays
    faults: dict[str, str]


class _Content(TypedDict):
    """What the JSON file of a part holds."""

    rows: list[Row]
    faults: dict[str, str]
    indices: list[int]


class Part(NamedTuple):
    """A part that is done.

    Attributes:
        arrays: File of its arrays.
        rows: Rows of its images.
        faults: Image that could not be read → reason.
        indices: Numbers of all its images, with those that cannot be read.
    """

    arrays: Path
    rows: list[Row]
    faults: dict[str, str]
    indices: list[int]


class ScanStore:
    """The files of a scan in a folder: a scan that is killed goes on with the next part.

    Args:
        folder: Folder of the files; it is made when missing.
        facts: Checkpoint, images and settings that the masks depend on, in plain values.

    Raises:
        InputError: The folder holds the scan of something else.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        self._check(facts)
        self._parts = folder / _PARTS

    def _check(self, facts: Mapping[str, Any]) -> None:
        """Refuse to go on with the scan of something else."""
        path = self.folder / FACTS
        earlier = read_state(path, dict[str, Any])
        plain = json.loads(json.dumps(facts))
        if earlier is None:
            if (self.folder / ROWS).exists() or (self.folder / _PARTS).exists():
                raise InputError(f"{self.folder} holds masks, and nobody knows of what: choose another folder (--out)")
            write_json(path, plain)
            return
        for key in sorted({*earlier, *plain}):
            if earlier.get(key) != plain.get(key):
                words = f"{key} {_short(earlier.get(key))}, and this one {_short(plain.get(key))}"
                raise InputError(f"{self.folder} holds an audit of {words}: choose another folder (--out)")

    @property
    def finished(self) -> bool:
        """Whether all images were scanned."""
        return (self.folder / ROWS).is_file()

    def parts(self) -> list[Part]:
        """Return the parts that are done."""
        parts = []
        for path in sorted(self._parts.glob("*.json")):
            content = read_state(path, _Content)
            # written last: where it is, its arrays are
            if content is not None:
                parts.append(Part(path.with_suffix(".npz"), **content))
        return parts

    def add(self, number: int, indices: Sequence[int], rows: list[Row], arrays: Arrays, faults: dict[str, str]) -> None:
        """Write a part.

        Args:
            number: Number of the part.
            indices: Numbers of all its images, with those that cannot be read.
            rows: Rows of its images.
            arrays: Arrays of the rows; `patch_row` counts within the part.
            faults: Image that could not be read → reason.
        """
        stem = self._parts / f"{number:06d}"
        _save(stem.with_suffix(".npz"), arrays)
        write_json(stem.with_suffix(".json"), {"rows": rows, "faults": faults, "indices": list(indices)})

    def finish(self) -> None:
        """Put the parts together, in the order of the images; the rows are written last."""
        rows: list[Row] = []
        faults: dict[str, str] = {}
        arrays: list[Arrays] = []
        for part in self.parts():
            values = load_arrays(part.arrays)
            values["patch_row"] = values["patch_row"] + len(rows)
            values["thumb_row"] = values["thumb_row"] + len(rows)
            arrays.append(values)
            rows += part.rows
            faults |= part.faults
        _save(self.folder / ARRAYS, _sorted(rows, _joined(arrays)) if arrays else {})
        write_json(self.folder / "unreadable.json", faults)
        rows.sort(key=_order)
        write_text(self.folder / ROWS, "".join(json.dumps(row) + "\n" for row in rows))
        shutil.rmtree(self._parts, ignore_errors=True)

    def load(self) -> Scan:
        """Read a finished scan.

        Raises:
            InputError: A file of it is missing or torn.
        """
        lines = (self.folder / ROWS).read_text(encoding="utf-8").splitlines()
        try:
            rows = [json.loads(line) for line in lines]
        except ValueError as error:
            raise InputError(f"{self.folder / ROWS} is torn: delete the folder, and audit again") from error
        arrays = load_arrays(self.folder / ARRAYS)
        faults = read_state(self.folder / "unreadable.json", dict[str, str]) or {}
        if rows and len(arrays.get("masks", ())) != len(rows):
            raise InputError(f"{self.folder / ARRAYS} does not go with {ROWS}: delete the folder, and audit again")
        return Scan(rows, arrays, faults)


def _order(row: Row) -> tuple[int, bool, float, str]:
    """Return the place of a row: images in their order, in an image what was decided for first, then by probability."""
    return row["index"], not row["predicted"], -row["probability"], row["class"]


def _joined(parts: Sequence[Arrays]) -> Arrays:
    """Join the arrays of parts."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _sorted(rows: Sequence[Row], arrays: Arrays) -> Arrays:
    """Bring arrays into the order of the rows."""
    order = np.array(sorted(range(len(rows)), key=lambda number: _order(rows[number])), dtype=np.int64)
    new_place = np.empty_like(order)
    new_place[order] = np.arange(len(order))
    of_rows = {name: arrays[name][order] for name in ("masks", "places", "strengths")}
    patch_row = new_place[arrays["patch_row"]]
    patch_order = np.lexsort((arrays["patch_peak"], patch_row))
    of_patches = {name: arrays[name][patch_order] for name in ("patches", "patch_peak", "patch_object")}
    thumb_row = new_place[arrays["thumb_row"]]
    thumb_order = np.argsort(thumb_row)
    of_thumbs = {"thumbs": arrays["thumbs"][thumb_order], "thumb_row": thumb_row[thumb_order]}
    return of_rows | of_patches | {"patch_row": patch_row[patch_order]} | of_thumbs


def _save(path: Path, arrays: Arrays) -> None:
    """Write arrays into one file, which is whole or absent; none of them needs pickle to be read."""
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def load_arrays(path: Path) -> Arrays:
    """Read arrays, and unpickle nothing.

    Args:
        path: File of arrays.

    Raises:
        InputError: The file is missing, torn, or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # NumPy raises errors of many kinds on damaged files
        raise InputError(f"{path} cannot be read: delete its folder, and audit again") from error


def _short(value: Any) -> str:
    """Return a value in few words."""
    text = str(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
