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
        fingerprint: What the results depend on (checkpoint, data, settings), in plain values.

    Raises:
        InputError: The folder holds results of something else.
    """

    def __init__(self, folder: Path, fingerprint: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / ROWS
        self._check(folder / FINGERPRINT, fingerprint)
        self.rows: list[dict[str, Any]] = self._read()
        self._done = {(row["method"], row["id"]) for row in self.rows}

    def _check(self, path: Path, fingerprint: dict[str, Any]) -> None:
        if not path.is_file() or not self.path.is_file():
            path.write_text(json.dumps(fingerprint, indent=2, sort_keys=True) + "\n")
            return
        earlier = json.loads(path.read_text())
        changed = [key for key in sorted({*earlier, *fingerprint}) if earlier.get(key) != fingerprint.get(key)]
        if changed:
            raise InputError(
                f"{path.parent} holds results with another {', '.join(changed)}: "
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
