"""Results of single images, appended as they come: a run that was killed goes on where it was.

Rows are handed to the operating system before `append` returns, so that they outlive the process, however it is killed.
They are not forced to the disk (no fsync): a power failure can cost the last seconds. A line that was torn is cut off.
"""

import copy
import json
from pathlib import Path
from typing import Any

from explainer.errors import InputError

ROWS, FINGERPRINT = "rows.jsonl", "fingerprint.json"


class Store:
    """One JSON line for each image and method, or for what failed there.

    Args:
        folder: Made when missing.
        fingerprint: What the results depend on (checkpoint, data, settings), in plain values. Under "methods", name →
            settings: a name that was used must keep its settings, further names may join.

    Raises:
        InputError: The folder holds results of something else, or a line that is no row.
    """

    def __init__(self, folder: Path, fingerprint: dict[str, Any]) -> None:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file: choose a folder with --evaluation.out")
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / ROWS
        self._check(folder / FINGERPRINT, fingerprint)
        self.rows: list[dict[str, Any]] = []
        self._done: set[tuple[str, str]] = set()
        self._failed: dict[tuple[str, str], str] = {}
        self.gather()

    def _check(self, path: Path, fingerprint: dict[str, Any]) -> None:
        now = json.loads(json.dumps(fingerprint, default=str))  # as it reads back: lists for tuples
        methods: dict[str, Any] = {}
        if self.path.is_file() or self._parts():
            earlier = json.loads(path.read_text()) if path.is_file() else {}
            methods = earlier.get("methods", {})
            keys = sorted({*earlier, *now} - {"methods"})
            changed = [key for key in keys if differ(earlier.get(key), now.get(key))]
            for name, settings in now.get("methods", {}).items():
                changed += [f"method {name!r}"] if differ(methods.get(name, settings), settings) else []
            self._refuse(path.parent, changed)
        now["methods"] = methods | now.get("methods", {})  # further methods may join
        replace(path, json.dumps(now, indent=2, sort_keys=True) + "\n")

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
            for row in read_rows(path):
                self._take(row)
        if parts:
            lines = [*self.rows, *(failure(m, i, error) for (m, i), error in self._failed.items())]
            replace(self.path, "".join(json.dumps(line) + "\n" for line in lines))
            for path in parts:
                path.unlink()

    def of_process(self, rank: int) -> "Store":
        """The same rows; what is appended goes to a file of this process, until all are gathered."""
        other = copy.copy(self)
        other.rows, other._done, other._failed = [*self.rows], {*self._done}, {**self._failed}
        other.path = self.path.with_suffix(f".{rank}{self.path.suffix}")
        return other

    def _take(self, row: dict[str, Any]) -> None:
        key = row["method"], row["id"]
        if "error" in row:
            if key not in self._done:
                self._failed[key] = row["error"]
        elif key not in self._done:
            self.rows.append(row)
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

    def append(self, rows: list[dict[str, Any]]) -> None:
        """Add rows, out of the process's hands before this returns; those of images done before are left out."""
        fresh = [row for row in rows if (row["method"], row["id"]) not in self._done]
        self._write(fresh)

    def fail(self, method: str, name: str, error: str) -> None:
        """Note that an image could not be done: of a later run, which tries again, the same error is noted once."""
        if self._failed.get((method, name)) != error:
            self._write([failure(method, name, error)])

    def _write(self, rows: list[dict[str, Any]]) -> None:
        with self.path.open("a") as file:
            file.write("".join(json.dumps(row) + "\n" for row in rows))
        for row in rows:
            self._take(row)


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


def replace(path: Path, text: str) -> None:
    """Write a file, which is never seen half written."""
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(path)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file; of a last line without an end the row is taken, if it is whole, else it is cut off.

    Args:
        path: Need not be there.

    Returns:
        Rows; the file ends with a whole line.

    Raises:
        InputError: Another line is no row.
    """
    if not path.is_file():
        return []
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        whole = parsed(content[end:]) is not None
        with path.open("ab") as file:
            file.write(b"\n") if whole else file.truncate(end)
        content = content if whole else content[:end]
    rows = []
    for number, line in enumerate(content.splitlines(), 1):
        row = parsed(line)
        if row is None:
            raise InputError(f"{path}, line {number}, is no row: delete that line, and it is computed again")
        rows.append(row)
    return rows


def parsed(line: bytes) -> dict[str, Any] | None:
    r"""A row, or None of what is not a whole one.

    Example:
        >>> parsed(b'{"id": "a", "method": "b"}'), parsed(b'{"id": "\xc3')
        ({'id': 'a', 'method': 'b'}, None)
    """
    try:
        row = json.loads(line)
    except ValueError:  # of UnicodeDecodeError and JSONDecodeError
        return None
    return row if isinstance(row, dict) and {"id", "method"} <= set(row) else None
