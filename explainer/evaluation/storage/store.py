"""Results of single images, appended as they come: a run that was killed goes on where it was.

Rows are handed to the operating system before `append` returns, so that they outlive the process, however it is killed.
They are not forced to the disk (no fsync): a power failure can cost the last seconds. A line that was torn is cut off.
A fingerprint that is torn, or lost, is a reason to begin anew where there are no rows, and else to ask.
"""

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from explainer.errors import InputError
from explainer.evaluation.storage.fingerprint import Fingerprint
from explainer.evaluation.storage.rows import Failed, PlainRow, Row, read_rows
from explainer.files import append_lines, read_state, sweep, write_json, write_text

ROWS = "rows.jsonl"
"""Name of the file of the rows."""
FINGERPRINT = "fingerprint.json"
"""Name of the file that says what the rows depend on."""


class Store:
    """Rows in a file, one JSON line for each image and method, or for the failure of the method on the image.

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
        self.rows: list[PlainRow] = []
        # (method, image) → done or failed
        self._done: set[tuple[str, str]] = set()
        self._failed: dict[tuple[str, str], str] = {}
        self.gather()

    def _check(self, path: Path, fingerprint: Fingerprint) -> None:
        """Refuse rows of something else, and write down what the rows will be of."""
        # as it reads back: lists for tuples
        now = json.loads(json.dumps(fingerprint, default=str))
        methods: Fingerprint = {}
        # without rows a fingerprint is of no results: it is written anew, whatever it says
        if any(_has_rows(rows) for rows in (self.path, *self._parts())):
            earlier = read_state(path, Fingerprint)
            methods = {} if earlier is None else earlier.get("methods", {})
            if earlier is None or not isinstance(methods, dict):
                raise InputError(
                    f"{path} is missing or torn: nothing says what the rows beside it are of; delete the folder "
                    f"(or only its {ROWS}: maps stay), or choose another one with --evaluation.out"
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
                f"delete the folder (or only its {ROWS}: maps stay), or choose another one with --evaluation.out"
            )

    def _parts(self) -> list[Path]:
        """Return the files of single processes, which were stopped before their rows were gathered."""
        pattern = f"{self.path.stem}.*{self.path.suffix}"
        return sorted(self.path.parent.glob(pattern))

    def gather(self) -> None:
        """Read the rows, those of several processes too, which then stand in the one file; tears are mended."""
        parts = self._parts()
        for path in (self.path, *parts):
            for row in read_rows(path, self.kind):
                self._take(row)
        if parts:
            failures = [failure(method, image, error) for (method, image), error in self._failed.items()]
            lines = [json.dumps(row) + "\n" for row in (*self.rows, *failures)]
            write_text(self.path, "".join(lines))
            # only now: a process that is killed before loses no row, and rows that are read twice count once
            for path in parts:
                path.unlink()

    def of_process(self, rank: int) -> "Store":
        """Make a store of the same rows, which appends to a file of this process, until all are gathered.

        Args:
            rank: Rank of the process.
        """
        # not by the constructor, which would sweep, check and read the folder again, in every process
        other = copy.copy(self)
        other.rows = list(self.rows)
        other._done = set(self._done)
        other._failed = dict(self._failed)
        # a file for each process: two that append to one file could tear each other's lines
        other.path = self.path.with_suffix(f".{rank}{self.path.suffix}")
        return other

    def _take(self, row: Mapping[str, Any]) -> None:
        """Take a row into account; of several rows of an image and method the first that is no failure counts."""
        key = (row["method"], row["id"])
        if key in self._done:
            return
        if "error" in row:
            self._failed[key] = row["error"]
            return
        self.rows.append(dict(row))
        self._done.add(key)
        self._failed.pop(key, None)

    def has(self, method: str, ids: list[str]) -> bool:
        """Say whether all these images are done; those that failed are not.

        Args:
            method: Name of the method.
            ids: Ids of the images.
        """
        return all((method, image) in self._done for image in ids)

    def any(self, method: str) -> bool:
        """Say whether a method is done with any image."""
        return any(name == method for name, _ in self._done)

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
            if key not in self._done:
                fresh.append(row)
        self._write(fresh)

    def fail(self, method: str, image: str, error: str) -> None:
        """Note that an image could not be done; a later run, which tries again, notes the same error only once.

        Args:
            method: Name of the method.
            image: Id of the image.
            error: Error in one line.
        """
        if self._failed.get((method, image)) != error:
            self._write([failure(method, image, error)])

    def _write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        # first to the disk: what this object says is done must outlive the process
        append_lines(self.path, rows)
        for row in rows:
            self._take(row)


def _has_rows(path: Path) -> bool:
    """Say whether a file of rows has more than what a power failure leaves: zeros, or nothing."""
    return path.is_file() and bool(path.read_bytes().strip(b"\0\n "))


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
