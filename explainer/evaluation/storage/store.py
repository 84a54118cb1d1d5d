"""Results of single images, appended as they come: a run that was killed goes on where it was.

Rows are handed to the operating system before `append` returns, so that they outlive the process, however it is killed.
They are not forced to the disk (no fsync): a power failure can cost the last seconds. A line that was torn is cut off.
A fingerprint that is torn, or lost, is a reason to begin anew where there are no rows, and else to ask.

Of many rows the lines become a part, a file of columns, which is read in a hundredth of the time. The part is whole and
on the disk before the lines are removed: whenever a process is killed, each row stands in a line, in a part, or in
both, and counts once.
"""

import copy
import json
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from explainer.errors import InputError
from explainer.evaluation.storage.block import Block, joined
from explainer.evaluation.storage.checking import Check
from explainer.evaluation.storage.columnar import Rows
from explainer.evaluation.storage.fingerprint import Fingerprint
from explainer.evaluation.storage.parts import PARTS, can_write, next_part, part_paths, read_part, write_part
from explainer.evaluation.storage.reading import ROWS, read_blocks
from explainer.evaluation.storage.rows import Failed, Row
from explainer.files import append_lines, read_state, sweep, write_json, write_lines

FINGERPRINT = "fingerprint.json"
"""Name of the file that says what the rows depend on."""
MANY = 50_000
"""Rows whose lines become a part: some 50 MB, which take seconds to read. Fewer are read in no time, and are easier to
look at as lines."""


class Store:
    """Rows in files, one JSON line for each image and method, or for the failure of the method on the image.

    Attributes:
        path: File to which rows are appended.
        kind: Kind of the rows.
        rows: Rows so far, without failures.

    Args:
        folder: Folder of the files; it is made when missing.
        fingerprint: Checkpoint, data and settings that the results depend on, in plain values. Under "methods", name →
            settings: a name that was used must keep its settings, further names may join.
        kind: Kind of the rows, of `explainer.evaluation.storage.rows`.

    Raises:
        InputError: The folder holds results of something else, or of nobody knows what, or a line that is no row.
    """

    def __init__(self, folder: Path, fingerprint: Fingerprint, kind: Any = Row) -> None:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file: choose a folder with --evaluation.out")
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        self.path = folder / ROWS
        self.kind = kind
        for path in (self.path, folder / FINGERPRINT):
            if path.exists() and not path.is_file():
                raise InputError(f"{path} is no file: delete it, or choose another folder with --evaluation.out")
        self._check(folder / FINGERPRINT, fingerprint)
        self.rows = Rows()
        # method → images that are done
        self._done: dict[str, set[str]] = {}
        # (method, image) → error
        self._failed: dict[tuple[str, str], str] = {}
        # parts that were read or written, and the number of their rows, which come before all others
        self._parts: set[Path] = set()
        self._in_parts = 0
        self._makes_parts = can_write()
        self.gather()

    def _check(self, path: Path, fingerprint: Fingerprint) -> None:
        """Refuse rows of something else, and write down what the rows will be of."""
        # as it reads back: lists for tuples
        now = json.loads(json.dumps(fingerprint, default=str))
        methods: Fingerprint = {}
        # without rows a fingerprint is of no results: it is written anew, whatever it says
        if part_paths(path.parent) or any(map(_has_rows, (self.path, *self._of_processes()))):
            earlier = read_state(path, Fingerprint)
            methods = {} if earlier is None else earlier.get("methods", {})
            if earlier is None or not isinstance(methods, dict):
                raise InputError(
                    f"{path} is missing or torn: nothing says what the rows beside it are of; delete the folder "
                    f"(or only {self._names()}: maps stay), or choose another one with --evaluation.out"
                )
            keys = sorted({*earlier, *now} - {"methods"})
            changed = [key for key in keys if differ(earlier.get(key), now.get(key))]
            for name, settings in now.get("methods", {}).items():
                # a method that is not known yet only joins
                if differ(methods.get(name, settings), settings):
                    changed.append(f"method {name!r}")
            self._refuse(path.parent, changed)
        # methods that this evaluation leaves out stay: their rows do, too
        now["methods"] = methods | now.get("methods", {})
        write_json(path, now, sort_keys=True)

    def _refuse(self, folder: Path, changed: list[str]) -> None:
        """Refuse a folder whose rows depend on other values of some keys."""
        if changed:
            raise InputError(
                f"{folder} holds results with another {', '.join(changed)}: "
                f"delete the folder (or only {self._names()}: maps stay), or choose another one with --evaluation.out"
            )

    def _names(self) -> str:
        """Name the files of the rows."""
        return f"its {ROWS} and {PARTS}" if part_paths(self.path.parent) else f"its {ROWS}"

    def _of_processes(self) -> list[Path]:
        """Return the files of single processes, which were stopped before their rows were gathered."""
        pattern = f"{self.path.stem}.*{self.path.suffix}"
        return sorted(self.path.parent.glob(pattern))

    def gather(self) -> None:
        """Read the rows, those of several processes too, which then stand together; tears are mended."""
        is_first = not self._done
        check = Check(self.kind)
        for path in part_paths(self.path.parent):
            if path not in self._parts:
                block = read_part(path)
                check(block, path)
                self._take(block)
                self._parts.add(path)
                self._in_parts = len(self.rows)
        processes = self._of_processes()
        # a run that was killed between a part and its lines has left both
        is_doubled = False
        for path in (self.path, *processes):
            for block in read_blocks(path, self.kind):
                is_whole = self._take(block)
                is_doubled |= is_first and self._in_parts > 0 and not is_whole
        if processes or is_doubled:
            self._compact()
            # only now: a process that is killed before loses no row, and rows that are read twice count once
            for path in processes:
                path.unlink()
        elif self._is_long():
            self._compact()

    def _is_long(self) -> bool:
        """Say whether the rows that are in no part are enough for one."""
        return self._makes_parts and len(self.rows) - self._in_parts >= MANY

    def _compact(self) -> None:
        """Make parts of the rows that are in none, as long as they are many, and write the lines of what is left."""
        while self._is_long():
            path = next_part(self.path.parent)
            rows = self.rows[self._in_parts : self._in_parts + MANY]
            write_part(path, joined(list(rows.blocks())))
            self._parts.add(path)
            self._in_parts += MANY
        failures = [failure(method, image, error) for (method, image), error in self._failed.items()]
        write_lines(self.path, chain(self.rows[self._in_parts :], failures))

    def of_process(self, rank: int) -> "Store":
        """Make a store of the same rows, which appends to a file of this process, until all are gathered.

        Args:
            rank: Rank of the process.
        """
        # not by the constructor, which would sweep, check and read the folder again, in every process
        other = copy.copy(self)
        other.rows = self.rows.copy()
        other._done = {method: set(images) for method, images in self._done.items()}
        other._failed = dict(self._failed)
        # a file for each process: two that append to one file could tear each other's lines
        other.path = self.path_of(rank)
        # the file of a process stays as it is until it is gathered
        other._makes_parts = False
        return other

    def path_of(self, rank: int) -> Path:
        """Return the file of a process, which need not exist.

        Args:
            rank: Rank of the process.
        """
        return self.path.with_suffix(f".{rank}{self.path.suffix}")

    def read_own(self) -> None:
        """Read the rows that are in the file of this process already: it was lost, and another one goes on with it."""
        for block in read_blocks(self.path, self.kind):
            self._take(block)

    def _take(self, block: Block) -> bool:
        """Take rows into account; of several of an image and method the first that is no failure counts.

        Returns:
            Whether all of them counted, or are failures that came before.
        """
        errors: list[str | None] = block.values(("error",))
        fresh = []
        is_whole = True
        for number, key in enumerate(zip(block.values(("method",)), block.values(("id",)), strict=True)):
            error = errors[number]
            is_done = self._is_done(*key)
            is_whole &= not is_done
            if is_done:
                continue
            if error is not None:
                self._failed[key] = error
                continue
            method, image = key
            fresh.append(number)
            self._done.setdefault(method, set()).add(image)
            self._failed.pop(key, None)
        if len(fresh) == block.size:
            self.rows.add(block)
        elif fresh:
            self.rows.add(block.take(np.array(fresh)))
        return is_whole

    def _is_done(self, method: str, image: str) -> bool:
        return image in self._done.get(method, ())

    def has(self, method: str, ids: list[str]) -> bool:
        """Say whether all these images are done; those that failed are not.

        Args:
            method: Name of the method.
            ids: Ids of the images.
        """
        done = self._done.get(method, set())
        return all(image in done for image in ids)

    def any(self, method: str) -> bool:
        """Say whether a method is done with any image."""
        return method in self._done

    def failures(self, method: str, ids: list[str]) -> dict[str, str]:
        """Return the errors of those of these images that failed.

        Args:
            method: Name of the method.
            ids: Ids of the images.

        Returns:
            Image → error.
        """
        return {image: self._failed[method, image] for image in ids if (method, image) in self._failed}

    @property
    def failed(self) -> dict[str, dict[str, str]]:
        """Return method → image → error, of all that failed and did not come through later."""
        errors: dict[str, dict[str, str]] = {}
        for (method, image), error in self._failed.items():
            errors.setdefault(method, {})[image] = error
        return errors

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows, out of the process's hands before this returns; those of images done before are left out.

        Args:
            rows: Rows of one kind.

        Raises:
            InputError: Two of the rows are of one image and method: one's numbers would stand for the other.
        """
        seen: set[tuple[str, str]] = set()
        fresh = []
        for row in rows:
            method, image = key = (row["method"], row["id"])
            if key in seen:
                raise InputError(f"the image {image!r} is in the data set twice: {method} has two rows of it")
            seen.add(key)
            if not self._is_done(method, image):
                fresh.append(dict(row))
        # first to the disk: what this object says is done must outlive the process
        append_lines(self.path, fresh)
        for row in fresh:
            self.rows.append(row)
            self._done.setdefault(row["method"], set()).add(row["id"])
            self._failed.pop((row["method"], row["id"]), None)
        if self._is_long():
            self._compact()

    def fail(self, method: str, image: str, error: str) -> None:
        """Note that an image could not be done; a later run, which tries again, notes the same error only once.

        Args:
            method: Name of the method.
            image: Id of the image.
            error: Error in one line.
        """
        if self._failed.get((method, image)) != error:
            # first to the disk: what this object says of an image must outlive the process
            append_lines(self.path, [failure(method, image, error)])
            if not self._is_done(method, image):
                self._failed[method, image] = error


def _has_rows(path: Path) -> bool:
    """Say whether a file of rows has more than what a power failure leaves: zeros, or nothing."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        # piece by piece: the first one decides, but for a file of zeros
        return any(piece.strip(b"\0\n ") for piece in iter(lambda: file.read(2**16), b""))


def failure(method: str, image: str, error: str) -> Failed:
    """Make the row of an image on which a method failed.

    Args:
        method: Name of the method.
        image: Id of the image.
        error: Error in one line.

    Example:
        >>> failure("RISE", "a.jpg", "OutOfMemoryError: 20 GiB")["error"]
        'OutOfMemoryError: 20 GiB'
    """
    return {"id": image, "method": method, "error": error}


def differ(earlier: Any, now: Any) -> bool:
    """Say whether a setting has changed; results older than the digest of a method's checkpoint have none to compare.

    Args:
        earlier: Setting of the rows that are there, in plain values.
        now: Setting of this evaluation, in plain values.

    Example:
        >>> differ({"a": 1}, {"a": 1, "sha256": "f"}), differ({"sha256": "e"}, {"sha256": "f"}), differ(None, 1)
        (False, True, True)
    """
    if isinstance(earlier, dict) and isinstance(now, dict) and "sha256" not in earlier:
        now = {key: value for key, value in now.items() if key != "sha256"}
    return earlier != now
