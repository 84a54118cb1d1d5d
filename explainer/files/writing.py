"""One way to write every file that goes out.

A file is written beside its target and then renamed, so that whenever a process is killed the target is the earlier
file or the new one, never a part of it. The partial file lies in the target's own folder: renaming across file systems
would be copying. Its name holds the machine and the process, so that a later run can tell what is stale.
"""

import contextlib
import csv
import hashlib
import io
import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from explainer.errors import InputError
from explainer.files.escaping import for_csv

_DAY = 24 * 60 * 60
# without the dots and dashes of a host's name: `_stale` finds machine and process by them
_HOST = "".join(c for c in socket.gethostname() if c.isalnum())[:16] or "host"
_MARK = ".partial"
_AT_ONCE = 4096
"""Rows of a table that become text at once: a table of any length takes little memory."""


def partial_path(path: Path) -> Path:
    """Return the path beside a target to which this process writes it; its suffix is the target's.

    Args:
        path: File that is to be written.

    Example:
        >>> partial_path(Path("a/last.ckpt")).suffix
        '.ckpt'
    """
    # a digest: with the target's own name it could be longer than a file system takes
    target = path.name.encode("utf-8", "surrogateescape")
    digest = hashlib.sha256(target).hexdigest()[:12]
    writer = f"{_HOST}-{os.getpid()}"
    return path.with_name(f".{digest}.{writer}{_MARK}{path.suffix[:16]}")


@contextlib.contextmanager
def replacing(path: str | Path, *, sync: bool = False) -> Iterator[Path]:
    """Give a path to write to; the file there replaces the target when the block ends without an error.

    Args:
        path: File to replace; its folder is made when it is missing.
        sync: Whether to force the file and its name to the disk, so that a power failure cannot tear or lose it.

    Yields:
        The path to write to, in the target's folder and with the target's suffix.

    Raises:
        OSError: The file cannot be written; the earlier file stays.

    Example:
        >>> import tempfile; target = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with replacing(target) as partial: _ = partial.write_text("whole")
        >>> target.read_text(), len(list(target.parent.iterdir()))
        ('whole', 1)
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(path)
    try:
        yield partial
        if sync:
            _flush(partial)
        partial.replace(path)
        if sync:
            _flush(path.parent)
    except BaseException:  # at Ctrl-C too, which is no Exception
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def _flush(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk; where a system cannot do that for folders, nothing."""
    folder = path.is_dir()
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        if folder:
            return
        raise
    try:
        os.fsync(handle)
    except OSError:
        if not folder:
            raise
    finally:
        os.close(handle)


def make_writable(folder: str | Path, hint: str) -> Path:
    """Make a folder and write into it for a try, before any work is done for it.

    Args:
        folder: Folder for later results.
        hint: Advice for the error, such as "name another one with --out".

    Returns:
        The folder.

    Raises:
        InputError: The folder cannot be made or written: a file stands there, the disk is full or read-only, or the
            name is too long.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # a byte, and not the name alone: on a full disk a file can be made, but not filled
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0")
            file.flush()
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror or error}): {hint}") from error
    return folder


def write_text(path: str | Path, text: str, *, sync: bool = False) -> Path:
    """Write a text file as UTF-8; it is never seen half written.

    Args:
        path: File to write.
        text: Content of the file.
        sync: Whether to force the file to the disk.

    Returns:
        The target.
    """
    with replacing(path, sync=sync) as partial:
        partial.write_bytes(_encoded(text))
    return Path(path)


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")  # the bytes of a file's name that is no UTF-8
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")  # half a character, as JSON can spell it


def write_csv(path: str | Path, rows: Iterable[Iterable[Any]], *, sync: bool = False) -> Path:
    """Write a table of comma-separated values as UTF-8, in which no spreadsheet finds a formula.

    Args:
        path: File to write.
        rows: Rows of cells, the header first; None is an empty cell.
        sync: Whether to force the file to the disk.

    Returns:
        The target.
    """
    with replacing(path, sync=sync) as partial, partial.open("wb") as file:
        remaining = iter(rows)
        while lines := list(islice(remaining, _AT_ONCE)):
            # newline="" leaves line ends as the csv module writes them
            text = io.StringIO(newline="")
            csv.writer(text).writerows([for_csv(cell) for cell in row] for row in lines)
            file.write(_encoded(text.getvalue()))
    return Path(path)


def write_json(path: str | Path, content: Any, *, sync: bool = False, sort_keys: bool = False) -> Path:
    """Write plain values as indented JSON; what JSON does not know is written as its string.

    Args:
        path: File to write.
        content: Plain values.
        sync: Whether to force the file to the disk.
        sort_keys: Whether keys are put in order.

    Returns:
        The target.
    """
    text = json.dumps(content, indent=2, sort_keys=sort_keys, default=str)
    return write_text(path, text + "\n", sync=sync)


def append_lines(path: str | Path, rows: Iterable[Any], *, sync: bool = False) -> None:
    """Append a JSON line for each row, out of the process's hands before this returns.

    Args:
        path: File to append to; it is made with its folder when it is missing.
        rows: Plain values, one a line.
        sync: Whether to force the lines to the disk.
    """
    path = Path(path)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if not text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # all lines in one write: a process that is killed tears none but the last
    with path.open("ab") as file:
        file.write(text.encode())
        if sync:
            file.flush()
            os.fsync(file.fileno())


def write_lines(path: str | Path, rows: Iterable[Any]) -> Path:
    """Write a JSON line for each row in place of what a file holds, a row at a time.

    Args:
        path: File to write.
        rows: Plain values, one a line.

    Returns:
        The target.
    """
    with replacing(path) as partial, partial.open("wb") as file:
        for row in rows:
            file.write(json.dumps(row).encode() + b"\n")
    return Path(path)


def copy_file(source: str | Path, target: str | Path, *, sync: bool = False) -> Path:
    """Copy a file; the target is the earlier file or the whole new one.

    Args:
        source: File to copy.
        target: File to write.
        sync: Whether to force the copy to the disk.

    Returns:
        The target.
    """
    with replacing(target, sync=sync) as partial:
        shutil.copyfile(source, partial)
    return Path(target)


def sweep(folder: str | Path, *, deep: bool = False) -> list[Path]:
    """Remove partial files that killed processes left behind.

    A partial file is stale when it is of this machine and its process is gone, or when it is older than a day.

    Args:
        folder: Folder to search; it need not exist.
        deep: Whether to search the folders below as well.

    Returns:
        The files that were removed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return []
    removed = []
    pattern = f".*{_MARK}*"
    for path in folder.rglob(pattern) if deep else folder.glob(pattern):
        if _stale(path):
            with contextlib.suppress(OSError):
                path.unlink()
                removed.append(path)
    return removed


def _stale(path: Path) -> bool:
    """Tell whether nobody will finish a partial file."""
    stem, _, _ = path.name.partition(_MARK)
    host, _, process = stem.rpartition(".")[2].partition("-")
    # isdecimal, and not isdigit: "²" is a digit, of which int() makes no number
    if not process.isdecimal():
        return False
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return False
    # of another machine nobody can tell which processes live: no file takes a day to be written
    if age > _DAY:
        return True
    if host != _HOST:
        return False
    number = int(process)
    # this process is still at work on its own files
    return number != os.getpid() and not _alive(number)


def _alive(process: int) -> bool:
    """Tell whether there is a process of this number."""
    try:
        os.kill(process, 0)  # no signal: only the check whether one could be sent
    except ProcessLookupError:
        return False
    except OverflowError:  # a number that no system gives to a process
        return False
    except OSError:  # a process of another user
        return True
    return True


def file_name(name: str, taken: Iterable[str] = (), *, longest: int = 100) -> str:
    """Return a name as a file's: without what file systems mind, short, and other than those that are taken.

    Args:
        name: Any text, such as a class's name.
        taken: File names given before; they are compared without case, as some file systems do.
        longest: Largest number of bytes.

    Returns:
        At least one character: letters, digits, "-", "_" and dots within. A name that had to be cut, or that another
        name shares, ends in a part of its digest.

    Example:
        >>> file_name("a/b"), file_name("a b", taken=["a_b"])
        ('a_b', 'a_b-c8687a08')
    """
    characters = [c if c.isalnum() or c in "-_." else "_" for c in name]
    # dots at the ends: hidden files, and names that Windows cuts
    safe = "".join(characters).strip(".") or "_"
    content = safe.encode("utf-8", "replace")
    used = {other.casefold() for other in taken}
    if len(content) <= longest and safe.casefold() not in used:
        return safe
    # of the name as it was given: two names that differ in what is not allowed become different files
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    suffix = digest[:8]
    # cut by bytes, which file systems count; half a character at the end goes too
    short = content[: longest - 9].decode("utf-8", "ignore")
    unique = f"{short}-{suffix}"
    number = 2
    while unique.casefold() in used:
        unique = f"{short}-{suffix}-{number}"
        number += 1
    return unique
