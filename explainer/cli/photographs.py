"""Which photographs a command line names: files, folders of them, and CSV files that list them."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from explainer.errors import InputError, plain_words


class Photograph(NamedTuple):
    """A photograph to explain.

    Attributes:
        file: File of the photograph, or the CSV whose line cannot be used.
        target: Class to explain, by name or number; None takes that of the command line.
        fault: Reason why a line of a CSV cannot be used, in words; empty where it can.
    """

    file: Path
    target: str | None = None
    fault: str = ""


class Columns(NamedTuple):
    """Where a CSV holds what: numbers of columns, from 0.

    Attributes:
        path: Column of the file's path.
        target: Column of the class to explain; None where there is none.
    """

    path: int = 0
    target: int | None = None


def photographs(paths: Sequence[Path]) -> list[Photograph]:
    """List the files that are given, the pictures in the folders, and the lines of the CSV files.

    Args:
        paths: Files and folders; a folder without pictures stays in the list, and is refused when its turn comes.

    Raises:
        InputError: A CSV cannot be read, or is empty.
    """
    photos: list[Photograph] = []
    for path in paths:
        if path.suffix.lower() == ".csv" and path.is_file():
            photos += listed(path)
        else:
            photos += [Photograph(file) for file in pictures(path)]
    return photos


def pictures(path: Path) -> list[Path]:
    """List the pictures of a folder; anything else is a list of itself.

    Args:
        path: File or folder.
    """
    if not path.is_dir():
        return [path]
    endings = Image.registered_extensions()
    return sorted(file for file in path.iterdir() if file.suffix.lower() in endings) or [path]


def listed(path: Path) -> list[Photograph]:
    """List the photographs of a CSV; a line that cannot be used is one of them, with its fault.

    The first line names the columns if `path` or `target` is among its words. Without it, the first column is the
    path. Paths are relative to the CSV's folder.

    Args:
        path: File of the CSV.

    Raises:
        InputError: It cannot be read, or names no photograph.
    """
    try:
        # a path may have bytes that are no UTF-8; the mark at the beginning is a spreadsheet's
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            lines = [(number, line) for number, line in enumerate(file, 1) if line.strip()]
    except OSError as error:
        raise InputError(f"cannot read the CSV {path}: {error.strerror}") from error
    columns = Columns()
    if lines:
        header = columns_of(lines[0][1])
        if header is not None:
            columns = header
            lines = lines[1:]
    if not lines:
        raise InputError(f"the CSV {path} names no photograph: write the path of one on each line")
    photos: list[Photograph] = []
    for number, line in lines:
        try:
            photos += of_line(line, columns, path.parent)
        except InputError as error:
            photos.append(Photograph(path, fault=f"{path}, line {number}: {error}"))
        except OSError as error:
            photos.append(Photograph(path, fault=f"{path}, line {number}: {plain_words(error)}"))
    return photos


def columns_of(line: str) -> Columns | None:
    """Read the first line of a CSV as its header.

    Args:
        line: First line.

    Returns:
        The columns; None where the line names a photograph.

    Example:
        >>> columns_of("id,path,target"), columns_of("photo.jpg,dog")
        (Columns(path=1, target=2), None)
    """
    try:
        names = [cell.strip().casefold() for cell in cells(line)]
    except InputError:
        return None
    if "path" not in names and "target" not in names:
        return None
    path = names.index("path") if "path" in names else 0
    target = names.index("target") if "target" in names else None
    return Columns(path, target)


def cells(line: str) -> list[str]:
    """Split a line of a CSV.

    Args:
        line: Line, which is read alone: a quote that nobody closed costs this line, and not all that follow.

    Raises:
        InputError: A quote is not closed, or the line is no CSV.

    Example:
        >>> cells('"a, b.jpg",dog')
        ['a, b.jpg', 'dog']
    """
    try:
        return next(csv.reader([line.rstrip("\r\n")], strict=True))
    except csv.Error as error:
        raise InputError(f"it is no line of a CSV ({error})") from error


def of_line(line: str, columns: Columns, folder: Path) -> list[Photograph]:
    """Return the photograph that a line names, or those of the folder that it names.

    Args:
        line: Line of a CSV.
        columns: Columns of the CSV.
        folder: Folder to which the path is relative.

    Raises:
        InputError: The line cannot be read, or has no path.
        OSError: The path cannot be looked up, because it is too long for example.
    """
    row = cells(line)
    path = row[columns.path].strip() if columns.path < len(row) else ""
    if not path:
        raise InputError("there is no path")
    target = None
    if columns.target is not None and columns.target < len(row):
        target = row[columns.target].strip() or None
    return [Photograph(file, target) for file in pictures(folder / path)]
