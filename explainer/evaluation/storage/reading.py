"""Read rows, some thousand at once: JSON lines, and the parts of a folder."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import from_json

from explainer.evaluation.storage.block import Block, block_of
from explainer.evaluation.storage.checking import Check, no_row
from explainer.evaluation.storage.columnar import Rows
from explainer.evaluation.storage.parts import part_paths, read_part
from explainer.evaluation.storage.rows import Evaluated, PlainRow, Row, nested, parsed

ROWS = "rows.jsonl"
"""Name of the file of the rows that are in no part."""
_PIECE = 2**20
"""Bytes of a file that are parsed at once: as Python's objects they take some ten times as much memory."""


def read_rows(path: Path, kind: Any = Row) -> Rows:
    """Read the rows of a file of JSON lines, and mend its end.

    A process that is killed while it writes leaves a last line without an end. If the row is whole, it is taken, and
    else it is cut off and will be computed again.

    Args:
        path: File of rows; it need not exist.
        kind: Kind of the rows that are no failures: one of the classes of `rows`, or a union of them.

    Returns:
        Rows of the file, failures among them; it ends with a whole line now.

    Raises:
        InputError: Another line is no row, or none of this kind.
    """
    rows = Rows()
    for block in read_blocks(path, kind):
        rows.add(block)
    return rows


def read_blocks(path: Path, kind: Any = Row) -> Iterator[Block]:
    """Yield what `read_rows` reads, block by block.

    Args:
        path: File of rows; it need not exist.
        kind: Kind of the rows that are no failures.

    Raises:
        InputError: A line is no row, or none of this kind.
    """
    if not path.is_file():
        return
    _mend_end(path)
    check = Check(kind)
    first = 1
    for lines in _pieces(path):
        with _no_collection():
            rows = _together(lines) or _one_by_one(lines, path, first)
            if kind is Evaluated:
                rows = [nested(row) for row in rows]
            block = block_of(rows)
            del rows
        check(block, path, first)
        first += len(lines)
        yield block


def read_folder(folder: Path, kind: Any = Row) -> Rows:
    """Read all rows of finished results, whether they stand in parts or in lines.

    Args:
        folder: Folder of the results.
        kind: Kind of the rows that are no failures.

    Returns:
        Rows, failures among them; of several of an image and method the last.

    Raises:
        InputError: A line is no row, or none of this kind; or a part is damaged.
    """
    blocks = list(read_blocks(folder / ROWS, kind))
    return _latest([*_of_parts(folder, kind), *blocks])


def salvage(folder: Path) -> Rows:
    """Read all rows of results, as `read_folder` does, and pass over lines that are no rows.

    Args:
        folder: Folder of the results.

    Raises:
        InputError: A part is damaged.
    """
    blocks = []
    path = folder / ROWS
    if path.is_file():
        for lines in _pieces(path):
            rows = _together(lines) or [row for row in map(parsed, lines) if row is not None]
            blocks.append(block_of([nested(row) for row in rows]))
    return _latest([*_of_parts(folder, Row), *blocks])


def _of_parts(folder: Path, kind: Any) -> list[Block]:
    """Read the parts of a folder.

    After its lines: what becomes a part in the meantime is read twice then, and not never.
    """
    check = Check(kind)
    blocks = []
    for path in part_paths(folder):
        block = read_part(path)
        check(block, path)
        blocks.append(block)
    return blocks


def _latest(blocks: list[Block]) -> Rows:
    """Select the last of several rows of an image and method, in the place of the first."""
    rows = Rows()
    for block in blocks:
        rows.add(block)
    images, names = rows.codes("id")
    methods, _ = rows.codes("method")
    keys = methods * len(names) + images
    _, first = np.unique(keys, return_index=True)
    _, from_end = np.unique(keys[::-1], return_index=True)
    last = len(keys) - 1 - from_end
    return rows.take(last[np.argsort(first)])


@contextmanager
def _no_collection() -> Iterator[None]:
    """Let Python not look for cycles of objects: JSON has none, and its many objects would make it look all the time.

    That takes as long as parsing does, and beside PyTorch's own objects three times as long.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _pieces(path: Path) -> Iterator[list[bytes]]:
    """Yield some thousand lines of a file at once."""
    with path.open("rb") as file:
        while content := file.read(_PIECE):
            content += file.readline()
            # bytes, not text: a line that is cut off within a character is no UTF-8
            yield content.splitlines()


def _together(lines: list[bytes]) -> list[PlainRow]:
    """Parse lines in one go, which takes a third of the time; nothing where one of them is no row."""
    try:
        rows = from_json(b"[" + b",".join(lines) + b"]")
    except ValueError:
        # also what only Python's own parser takes, such as half a character
        return []
    return rows if len(rows) == len(lines) and all(map(_is_row, rows)) else []


def _is_row(row: Any) -> bool:
    return type(row) is dict and type(row.get("id")) is str and type(row.get("method")) is str


def _one_by_one(lines: list[bytes], path: Path, first: int) -> list[PlainRow]:
    """Parse lines, and refuse the first that is no row."""
    rows = []
    for number, line in enumerate(lines, first):
        row = parsed(line)
        if row is None:
            raise no_row(path, number)
        rows.append(row)
    return rows


def _mend_end(path: Path) -> None:
    """Give the last line its end if it is a whole row, and else cut it off."""
    with path.open("rb") as file:
        end = _end_of_lines(file)
        file.seek(end)
        torn = file.read()
    if not torn:
        return
    with path.open("ab") as file:
        if parsed(torn) is not None:
            file.write(b"\n")
        else:
            file.truncate(end)


def _end_of_lines(file: Any) -> int:
    """Return the place behind the last end of a line."""
    place = file.seek(0, 2)
    while place:
        start = max(0, place - _PIECE)
        file.seek(start)
        end = file.read(place - start).rfind(b"\n")
        if end >= 0:
            return start + end + 1
        place = start
    return 0
