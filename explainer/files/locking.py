"""One process at a time in a folder: a second one is refused, and never writes over the first one's work.

The file system's own lock tells processes of one machine apart, and those of several where it serves them together, as
NFS does. Not all do: some have no locks, some lock for each machine alone. So the holder also names itself in the file,
with its machine, and counts on while it works: a process of another machine sees whether it still does. A number of a
process alone would mean nothing there.
"""

import contextlib
import errno
import itertools
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from explainer.errors import InputError
from explainer.files.repeating import repeating

try:
    import fcntl
except ImportError:  # Windows: there is no such lock
    fcntl = None  # type: ignore[assignment]

BEAT = 10.0
"""Seconds after which a holder counts on."""
_BEATS = 3
"""Beats that a holder may miss before it counts as dead."""
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
"""What file systems say that have no locks, as some of clusters do."""
_PAUSE = 0.01
"""Seconds between two tries to take a lock."""


def held(path: str | Path) -> bool:
    """Tell whether another process holds a lock, by the file system's lock; where it has none, nobody does.

    Args:
        path: Lock file; one that is missing is made. A process that holds the lock itself would lose it here.

    Raises:
        OSError: The lock file cannot be made.
    """
    if fcntl is None:
        return False
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return True
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    finally:
        os.close(handle)  # which gives the lock back
    return False


@contextlib.contextmanager
def alone(path: str | Path, what: str, patience: float = 0.0) -> Iterator[None]:
    """Hold a lock while the block runs. It ends with the process, however that ends, and no child inherits it.

    Where a process of another machine held it last and did not give it back, this waits for half a minute, to see
    whether that one still counts.

    Args:
        path: Lock file, which stays; it must not lie in a folder that the block moves.
        what: Name of what is locked for the error, such as "runs/shapes_small".
        patience: Seconds to wait for another process of this machine that holds the lock.

    Raises:
        InputError: Another process holds the lock; names it.
        OSError: The lock file cannot be made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        locked = _lock(handle, what, patience)
        content = _read(handle)
        if _may_be_held(content, locked):
            _watch(path, content, what)
            # reading the file by its name gave the lock back: POSIX has it so
            _lock(handle, what)
            if _read(handle) not in (content, b""):
                raise _refusal(_read(handle), what)
        with _counting(handle):
            yield
    finally:
        os.close(handle)


def _lock(handle: int, what: str, patience: float = 0.0) -> bool:
    """Take the file system's lock.

    Args:
        handle: Lock file.
        what: Name of what is locked.
        patience: Seconds in which it is tried again.

    Returns:
        Whether there is such a lock here.

    Raises:
        InputError: Another process holds it.
    """
    if fcntl is None:
        return False
    try:
        # a record lock, which fork does not pass on: a loader that outlives its parent holds nothing
        _take(handle, patience)
    except (BlockingIOError, PermissionError) as error:  # POSIX lets a system say either
        raise _refusal(_read(handle), what) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True


def _take(handle: int, patience: float) -> None:
    """Take the file system's lock, if need be after some tries."""
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except (BlockingIOError, PermissionError):
            if time.monotonic() >= deadline:
                raise
        time.sleep(_PAUSE)


def _read(handle: int) -> bytes:
    """Return what a lock file holds. It must not be opened a second time: closing that would give the lock back."""
    os.lseek(handle, 0, os.SEEK_SET)
    return os.read(handle, 1000)


def _refusal(content: bytes, what: str) -> InputError:
    holder, _ = _parts(content)
    return InputError(f"{holder or 'another process'} works in {what}: wait for it, stop it, or choose another name")


def _parts(content: bytes) -> tuple[str, str]:
    """Return who a lock file names, and how far that one has counted; "" where it does not say."""
    holder, _, count = content.decode(errors="replace").partition("\n")
    return holder.strip(), count.strip()


def _may_be_held(content: bytes, locked: bool) -> bool:
    """Tell whether the process that a lock file names may still work, although the file system's lock let us pass.

    Args:
        content: Content of the lock file.
        locked: Whether this process has the file system's lock.
    """
    holder, count = _parts(content)
    # files of earlier versions have no count
    if not holder or not count:
        return False
    if not holder.endswith(f" on {socket.gethostname()}"):
        return True
    # this machine's own lock knows all of its processes
    return not locked and _may_live(holder)


def _watch(path: Path, before: bytes, what: str) -> None:
    """Wait to see whether the process that a lock file names still counts on.

    Args:
        path: Lock file.
        before: Content of the lock file.
        what: Name of what is locked.

    Raises:
        InputError: It does.
    """
    print(f"waiting to see whether {_parts(before)[0]} still works in {what}", file=sys.stderr)
    deadline = time.monotonic() + _BEATS * BEAT
    while time.monotonic() < deadline:
        time.sleep(BEAT / 10)
        # opened anew each time: an open file may show what this machine remembers of it
        now = path.read_bytes()
        if not now:
            return
        if now != before:
            raise _refusal(now, what)


def _may_live(holder: str) -> bool:
    """Tell whether a process of this machine may still be there."""
    words = holder.split()
    if fcntl is None or len(words) < 2 or not words[1].isdecimal():
        return True
    try:
        os.kill(int(words[1]), 0)  # no signal: only the check whether one could be sent
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # a process of another user
        return True
    return True


@contextlib.contextmanager
def _counting(handle: int) -> Iterator[None]:
    """Name this process in a lock file, and count on there while the block runs."""

    def write(count: int) -> None:
        content = f"process {os.getpid()} on {socket.gethostname()}\n{count:012d}\n"
        # in place and of one length: it is never seen half written
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, content.encode())
        # another machine sees it only then
        os.fsync(handle)

    # until the lock is held, the file names the process that holds it: it is emptied here and not when it is opened
    os.ftruncate(handle, 0)
    write(0)
    counts = itertools.count(1)
    try:
        # it ends before the file is closed: its number may be another file's then
        with repeating(BEAT, lambda: write(next(counts))):
            yield
    finally:
        # given back: whoever comes next has nobody to wait for
        with contextlib.suppress(OSError):
            os.ftruncate(handle, 0)
