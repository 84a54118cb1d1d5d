"""What grids share: which cells are done, where lines that a crash tore are taken out, and which failed."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from explainer.errors import InputError
from explainer.evaluation.storage.fingerprint import Fingerprint
from explainer.files import write_text
from explainer.training.runs import by_class

Train = Callable[[Sequence[str]], Any]
"""The function of train.py: it trains what its arguments name, and returns the command line with Trainer and module."""


def read_cells(path: Path, fingerprint: Fingerprint) -> dict[str, dict[str, Any]]:
    """Read the finished cells of an earlier call, or begin the file of a new grid.

    Args:
        path: File with a JSON line for each cell; the first line is the fingerprint. Lines that a crash tore are taken
            out, so that their cells are trained again.
        fingerprint: Facts on which all cells depend.

    Returns:
        Name of a cell → its row.

    Raises:
        InputError: The file holds cells of another grid, or does not tell of which.
    """
    # as the file would give it back: tuples as lists, keys as strings
    now = json.loads(json.dumps(fingerprint, default=str))
    lines = []
    if path.is_file():
        lines = path.read_bytes().splitlines()
    values = [parsed(line) for line in lines]
    rows = [row for row in values if row is not None and {"cell", "score"} <= set(row)]
    first = values[0] if values else None
    if first is None or not isinstance(first.get("fingerprint"), dict):
        if rows:
            raise InputError(f"{path}: its first line is damaged, so that nothing tells what its cells are: delete it")
        write_text(path, json.dumps({"fingerprint": now}) + "\n", sync=True)
        return {}
    then = first["fingerprint"]
    keys = {**now, **then}
    # by the classes' names: a grid goes on after a file of the package was moved
    changed = [key for key in keys if by_class(now.get(key)) != by_class(then.get(key))]
    if changed:
        raise InputError(f"{path} holds cells with another {', '.join(changed)}: delete the folder, or name another")
    # a torn last line without an end would be joined to the next row that is appended
    if len(rows) + 1 < len(lines) or not path.read_bytes().endswith(b"\n"):
        whole = [json.dumps(row) + "\n" for row in (first, *rows)]
        write_text(path, "".join(whole), sync=True)
    return {row["cell"]: row for row in rows}


def parsed(line: bytes) -> dict[str, Any] | None:
    """Return the object in a line, or None where a crash has torn it.

    Args:
        line: Line of a file of results.

    Example:
        >>> parsed(b'{"cell": "a"}'), parsed(b'{"cel')
        ({'cell': 'a'}, None)
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def end_with_failures(failed: Mapping[str, str], logs: Path) -> None:
    """Name the cells that failed, and end the process with status 1 if there are any.

    Args:
        failed: Name → error.
        logs: Folder of what the cells printed.

    Raises:
        SystemExit: A cell failed.
    """
    for name, error in failed.items():
        print(f"failed: {name}: {error} (see {logs / name}.log)")
    if failed:
        sys.exit(1)
