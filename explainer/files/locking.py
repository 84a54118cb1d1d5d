"""One process at a time in a folder: a second one is refused, and never writes over the first one's work."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from explainer.errors import InputError

try:
    import fcntl
except ImportError:  # Windows: there is no such lock
    fcntl = None  # type: ignore[assignment]

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
"""What file systems say that have no locks, as some of clusters do: there one works unguarded, as before."""


@contextlib.contextmanager
def alone(path: str | Path, what: str) -> Iterator[None]:
    """Hold a lock while the block runs. It ends with the process, however that ends, and no child inherits it.

    Args:
        path: Lock file, which stays; it must not lie in a folder that the block moves.
        what: Name of what is locked for the error, such as "runs/shapes_small".

    Raises:
        InputError: Another process holds the lock; names it.
        OSError: The lock file cannot be made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if fcntl is not None:
            try:
                # a record lock, which fork does not pass on: a loader that outlives its parent holds nothing
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError) as error:  # POSIX lets a system say either
                content = os.read(handle, 200).decode(errors="replace").strip()
                holder = content or "another process"
                raise InputError(f"{holder} works in {what}: wait for it, stop it, or choose another name") from error
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
        # emptied here and not when it was opened: until the lock is held, it names the process that holds it
        os.ftruncate(handle, 0)
        this_process = f"process {os.getpid()} on {socket.gethostname()}"
        os.write(handle, this_process.encode())
        yield
    finally:
        os.close(handle)
