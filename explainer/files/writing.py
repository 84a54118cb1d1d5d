"""One writer for every file that goes out.

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
from pathlib import Path
from typing import Any

from explainer.errors import InputError
from explainer.files.escaping import for_csv

_DAY = 24 * 60 * 60
_HOST = "".join(c for c in socket.gethostname() if c.isalnum())[:16] or "host"
_MARK = ".partial"


def partial_path(path: Path) -> Path:
    """Return the path beside a target to which this process writes it; its suffix is the target's.

    Args:
        path: Target.

    Example:
        >>> partial_path(Path("a/last.ckpt")).suffix
        '.ckpt'
    """
    digest = hashlib.sha256(path.name.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return path.with_name(f".{digest}.{_HOST}-{os.getpid()}{_MARK}{path.suffix[:16]}")


@contextlib.contextmanager
def replacing(path: str | Path, *, sync: bool = False) -> Iterator[Path]:
    """Give a path to write to; what was written replaces the target when the block ends without an error.

    Args:
        path: Target; its folder is made when it is missing.
        sync: Whether to force the file and its name to the disk, so that a power failure cannot tear or lose it.

    Yields:
        The path to write to, in the target's folder and with the target's suffix.

    Raises:
        OSError: The file cannot be written; the earlier one stays.

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
    except BaseException:
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
        folder: To be written to later.
        hint: What to do where it cannot be written, such as "name another one with --out".

    Returns:
        The folder.

    Raises:
        InputError: It cannot be made or written: a file stands there, the disk is full or read-only, the name too long.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0")
            file.flush()
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror or error}): {hint}") from error
    return folder


def write_text(path: str | Path, text: str, *, sync: bool = False) -> Path:
    """Write a text file as UTF-8; it is never seen half written.

    Args:
        path: Target.
        text: Its content.
        sync: As in `replacing`.

    Returns:
        The target.
    """
    try:
        content = text.encode("utf-8", "surrogateescape")  # the bytes of a file's name that is no UTF-8
    except UnicodeEncodeError:
        content = text.encode("utf-8", "replace")  # half a character, as JSON can spell it
    with replacing(path, sync=sync) as partial:
        partial.write_bytes(content)
    return Path(path)


def write_csv(path: str | Path, rows: Iterable[Iterable[Any]], *, sync: bool = False) -> Path:
    """Write a table of comma-separated values as UTF-8, in which no spreadsheet finds a formula.

    Args:
        path: Target.
        rows: Of cells, the header first; None is an empty cell.
        sync: As in `replacing`.

    Returns:
        The target.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerows([for_csv(cell) for cell in row] for row in rows)
    return write_text(path, text.getvalue(), sync=sync)


def write_json(path: str | Path, content: Any, *, sync: bool = False, sort_keys: bool = False) -> Path:
    """Write plain values as indented JSON; what JSON does not know is written as its string.

    Args:
        path: Target.
        content: Plain values.
        sync: As in `replacing`.
        sort_keys: Whether keys are put in order.

    Returns:
        The target.
    """
    return write_text(path, json.dumps(content, indent=2, sort_keys=sort_keys, default=str) + "\n", sync=sync)


def append_lines(path: str | Path, rows: Iterable[Any], *, sync: bool = False) -> None:
    """Append a JSON line for each row, out of the process's hands before this returns.

    Args:
        path: The file, made with its folder when it is missing.
        rows: Plain values.
        sync: Whether to force them to the disk.
    """
    path = Path(path)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if not text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(text.encode())
        if sync:
            file.flush()
            os.fsync(file.fileno())


def copy_file(source: str | Path, target: str | Path, *, sync: bool = False) -> Path:
    """Copy a file; the target is the earlier file or the whole new one.

    Args:
        source: What to copy.
        target: Where to.
        sync: As in `replacing`.

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
        folder: Where to look; need not be there.
        deep: Whether to look in the folders below as well.

    Returns:
        What was removed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return []
    removed = []
    for path in folder.glob(f"{'**/' if deep else ''}.*{_MARK}*"):
        if _stale(path):
            with contextlib.suppress(OSError):
                path.unlink()
                removed.append(path)
    return removed


def _stale(path: Path) -> bool:
    host, _, process = path.name.partition(_MARK)[0].rpartition(".")[2].partition("-")
    if not process.isdigit():
        return False
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return False
    if age > _DAY:
        return True
    return host == _HOST and int(process) != os.getpid() and not _alive(int(process))


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def file_name(name: str, taken: Iterable[str] = (), *, longest: int = 100) -> str:
    """Return a name as a file's: without what file systems mind, short, and other than those that are taken.

    Args:
        name: Any text, such as a class's name.
        taken: File names given before; compared without case, as some file systems do.
        longest: Largest number of bytes.

    Returns:
        At least one character of letters, digits, "-", "_" and dots within. A name that had to be cut, or that another
        name shares, ends in a part of its digest.

    Example:
        >>> file_name("a/b"), file_name("a b", taken=["a_b"])
        ('a_b', 'a_b-c8687a08')
    """
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name).strip(".") or "_"
    used = {other.casefold() for other in taken}
    if len(safe.encode("utf-8", "replace")) <= longest and safe.casefold() not in used:
        return safe
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    short = safe.encode("utf-8", "replace")[: longest - 9].decode("utf-8", "ignore")
    unique, number = f"{short}-{digest}", 2
    while unique.casefold() in used:
        unique, number = f"{short}-{digest}-{number}", number + 1
    return unique
