"""Read results that are finished: for experiments that compute nothing but what such results say together."""

import contextlib
import json
from pathlib import Path
from typing import Any

from explainer.errors import InputError
from explainer.files import read_lines


def existing(folder: Path, name: str) -> Path:
    """Return the path of a file of a folder of results.

    Args:
        folder: Folder of the results.
        name: Name of the file.

    Raises:
        InputError: It is not there.
    """
    path = folder / name
    if not path.is_file():
        raise InputError(f"no {path}: run the evaluation or the grid of this name first")
    return path


def finished_cells(folder: Path) -> list[dict[str, Any]]:
    """Read the finished cells of a grid of retrainings.

    Args:
        folder: Folder of the results, with cells.jsonl.

    Returns:
        Facts and score of each cell; none where no cell is finished.

    Raises:
        InputError: There is no such file.
    """
    cells = []
    for line in read_lines(existing(folder, "cells.jsonl")):
        with contextlib.suppress(ValueError):  # a line that a crash tore: its cell is not finished
            cell = json.loads(line)
            # the first line says of which grid the cells are
            if isinstance(cell, dict) and "score" in cell:
                cells.append(cell)
    return cells
