"""Results of single images, appended as they come: a run that was killed goes on where it was."""

import json
from pathlib import Path
from typing import Any

from explainer.errors import InputError

ROWS, FINGERPRINT = "rows.jsonl", "fingerprint.json"


class Store:
    """One JSON line for each image and method.

    Args:
        folder: Made when missing.
        fingerprint: What the results depend on (checkpoint, data, settings), in plain values. Under "methods", name →
            settings: a name that was used must keep its settings, further names may join.

    Raises:
        InputError: The folder holds results of something else.
    """

    def __init__(self, folder: Path, fingerprint: dict[str, Any]) -> None:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file: choose a folder with --evaluation.out")
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / ROWS
        self._check(folder / FINGERPRINT, fingerprint)
        self.rows: list[dict[str, Any]] = self._read()
        self._done = {(row["method"], row["id"]) for row in self.rows}

    def _check(self, path: Path, fingerprint: dict[str, Any]) -> None:
        now = json.loads(json.dumps(fingerprint, default=str))  # as it reads back: lists for tuples
        methods: dict[str, Any] = {}
        if self.path.is_file():
            earlier = json.loads(path.read_text()) if path.is_file() else {}
            methods = earlier.get("methods", {})
            keys = sorted({*earlier, *now} - {"methods"})
            changed = [key for key in keys if earlier.get(key) != now.get(key)]
            changed += [f"method {name!r}" for name, m in now.get("methods", {}).items() if methods.get(name, m) != m]
            self._refuse(path.parent, changed)
        now["methods"] = methods | now.get("methods", {})  # further methods may join
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(now, indent=2, sort_keys=True) + "\n")
        partial.replace(path)

    def _refuse(self, folder: Path, changed: list[str]) -> None:
        if changed:
            raise InputError(
                f"{folder} holds results with another {', '.join(changed)}: "
                "delete the folder, or choose another one with --evaluation.out"
            )

    def _read(self) -> list[dict[str, Any]]:
        """Rows of an earlier run; a torn last line is cut off."""
        if not self.path.is_file():
            return []
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            self.path.write_bytes(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def has(self, method: str, ids: list[str]) -> bool:
        """Whether all these images are done."""
        return all((method, name) in self._done for name in ids)

    def append(self, rows: list[dict[str, Any]]) -> None:
        """Add rows, on disk before this returns; those of images done before are left out."""
        fresh = [row for row in rows if (row["method"], row["id"]) not in self._done]
        with self.path.open("a") as file:
            file.write("".join(json.dumps(row) + "\n" for row in fresh))
        self.rows += fresh
        self._done |= {(row["method"], row["id"]) for row in fresh}
