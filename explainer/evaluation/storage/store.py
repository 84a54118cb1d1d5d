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
from explainer.evaluation.storage.rows import Row, read_rows
from explainer.files import append_lines, read_state, sweep, write_json, write_text

ROWS, FINGERPRINT = "rows.jsonl", "fingerprint.json"


class Store:
    """One JSON line for each image and method, or for what failed there.

    Args:
        folder: Made when missing.
        fingerprint: What the results depend on (checkpoint, data, settings), in plain values. Under "methods", name →
            settings: a name that was used must keep its settings, further names may join.
        kind: Kind of the rows, of `explainer.evaluation.storage.rows`.

    Raises:
        InputError: The folder holds results of something else, or of nobody knows what, or a line that is no row.
    """

    def __init__(self, folder: Path, fingerprint: dict[str, Any], kind: Any = Row) -> None:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file: choose a folder with --evaluation.out")
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        self.path, self.kind = folder / ROWS, kind
        for path in (self.path, folder / FINGERPRINT):
            if path.exists() and not path.is_file():
                raise InputError(f"{path} is no file: delete it, or choose another folder with --evaluation.out")
        self._check(folder / FINGERPRINT, fingerprint)
        self.rows: list[dict[str, Any]] = []
        self._done: set[tuple[str, str]] = set()
        self._failed: dict[tuple[str, str], str] = {}
        self.gather()

    def _check(self, path: Path, fingerprint: dict[str, Any]) -> None:
        now = json.loads(json.dumps(fingerprint, default=str))  # as it reads back: lists for tuples
        methods: dict[str, Any] = {}
        if any(_holds_something(rows) for rows in (self.path, *self._parts())):
            earlier = read_state(path, dict[str, Any])
            methods = {} if earlier is None else earlier.get("methods", {})
            if earlier is None or not isinstance(methods, dict):
                raise InputError(
                    f"{path} is missing or torn: nothing says what the rows beside it are of; delete the folder "
                    f"(or only its {ROWS}: maps stay), or choose another one with --evaluation.out"
                )
            keys = sorted({*earlier, *now} - {"methods"})
            changed = [key for key in keys if differ(earlier.get(key), now.get(key))]
            for name, settings in now.get("methods", {}).items():
                changed += [f"method {name!r}"] if differ(methods.get(name, settings), settings) else []
            self._refuse(path.parent, changed)
        now["methods"] = methods | now.get("methods", {})  # further methods may join
        write_json(path, now, sort_keys=True)

    def _refuse(self, folder: Path, changed: list[str]) -> None:
        if changed:
            raise InputError(
                f"{folder} holds results with another {', '.join(changed)}: "
                f"delete the folder (or only its {ROWS}: maps stay), or choose another one with --evaluation.out"
            )

    def _parts(self) -> list[Path]:
        """Files of single processes, which were stopped before their rows were gathered."""
        return sorted(self.path.parent.glob(f"{self.path.stem}.*{self.path.suffix}"))

    def gather(self) -> None:
        """Read the rows, those of several processes too, which then stand in the one file; tears are mended."""
        parts = self._parts()
        for path in (self.path, *parts):
            for row in read_rows(path, self.kind):
                self._take(row)
        if parts:
            lines = [*self.rows, *(failure(m, i, error) for (m, i), error in self._failed.items())]
            write_text(self.path, "".join(json.dumps(line) + "\n" for line in lines))
            for path in parts:
                path.unlink()

    def of_process(self, rank: int) -> "Store":
        """The same rows; what is appended goes to a file of this process, until all are gathered."""
        other = copy.copy(self)
        other.rows, other._done, other._failed = [*self.rows], {*self._done}, {**self._failed}
        other.path = self.path.with_suffix(f".{rank}{self.path.suffix}")
        return other

    def _take(self, row: Mapping[str, Any]) -> None:
        key = row["method"], row["id"]
        if "error" in row:
            if key not in self._done:
                self._failed[key] = row["error"]
        elif key not in self._done:
            self.rows.append(dict(row))
            self._done.add(key)
            self._failed.pop(key, None)

    def has(self, method: str, ids: list[str]) -> bool:
        """Whether all these images are done; those that failed are not."""
        return all((method, name) in self._done for name in ids)

    def any(self, method: str) -> bool:
        """Whether some image is done."""
        return any(name == method for name, _ in self._done)

    def failures(self, method: str, ids: list[str]) -> dict[str, str]:
        """Image → error, of those of these images that failed."""
        return {name: self._failed[method, name] for name in ids if (method, name) in self._failed}

    @property
    def failed(self) -> dict[str, dict[str, str]]:
        """Method → image → error, of all that failed and did not come through later."""
        found: dict[str, dict[str, str]] = {}
        for (method, name), error in self._failed.items():
            found.setdefault(method, {})[name] = error
        return found

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows, out of the process's hands before this returns; those of images done before are left out.

        Raises:
            InputError: Two of the rows are of one image and method: one's numbers would stand for the other.
        """
        seen: set[tuple[str, str]] = set()
        for key in ((row["method"], row["id"]) for row in rows):
            if key in seen:
                raise InputError(f"the image {key[1]!r} is in the data set twice: {key[0]} has two rows of it")
            seen.add(key)
        fresh = [row for row in rows if (row["method"], row["id"]) not in self._done]
        self._write(fresh)

    def fail(self, method: str, name: str, error: str) -> None:
        """Note that an image could not be done: of a later run, which tries again, the same error is noted once."""
        if self._failed.get((method, name)) != error:
            self._write([failure(method, name, error)])

    def _write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        append_lines(self.path, rows)
        for row in rows:
            self._take(row)


def _holds_something(path: Path) -> bool:
    """Whether a file of rows has more than what a power failure leaves."""
    return path.is_file() and bool(path.read_bytes().strip(b"\0\n "))


def failure(method: str, name: str, error: str) -> dict[str, str]:
    """The line of what failed.

    Example:
        >>> failure("RISE", "a.jpg", "OutOfMemoryError: 20 GiB")["error"]
        'OutOfMemoryError: 20 GiB'
    """
    return {"id": name, "method": method, "error": error}


def differ(earlier: Any, now: Any) -> bool:
    """Whether a setting has changed; results older than the digest of a method's checkpoint have none to compare.

    Example:
        >>> differ({"a": 1}, {"a": 1, "sha256": "f"}), differ({"sha256": "e"}, {"sha256": "f"}), differ(None, 1)
        (False, True, True)
    """
    if isinstance(earlier, dict) and isinstance(now, dict) and "sha256" not in earlier:
        now = {key: value for key, value in now.items() if key != "sha256"}
    return earlier != now
