"""How a command ends before its work is done: Ctrl-C, SIGTERM, and the death of the process that started it."""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

_PATIENCE = 10
"""Seconds that a process has to end by itself when it is stopped."""
_PDEATHSIG = 1
"""prctl's number for the signal that a process gets when its parent ends (Linux)."""


class Stopped(KeyboardInterrupt):
    """A command was stopped, and nothing that it had done is lost.

    It is no `Exception`: what goes on after an error, such as a grid's next cell, does not go on after this.

    Args:
        message: Line that tells what is kept and how to go on.
        number: Signal that stopped it.
    """

    def __init__(self, message: str, number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.number = number


def last_words(error: KeyboardInterrupt) -> str:
    """Return the one line that a person reads when a command was stopped.

    Args:
        error: Exception that ended the command.

    Example:
        >>> last_words(KeyboardInterrupt())
        'stopped; what is done is kept, and the command goes on from there'
    """
    return str(error) or "stopped; what is done is kept, and the command goes on from there"


def exit_status(error: KeyboardInterrupt) -> int:
    """Return the exit status of a command that was stopped: 128 and the signal's number, as shells have it.

    Args:
        error: Exception that ended the command.

    Example:
        >>> exit_status(KeyboardInterrupt()), exit_status(Stopped("", signal.SIGTERM))
        (130, 143)
    """
    if isinstance(error, Stopped):
        return 128 + error.number
    return 128 + signal.SIGINT


@contextlib.contextmanager
def heeding_sigterm() -> Iterator[None]:
    """Make SIGTERM raise `Stopped` while the block runs, so that it is cleaned up as after Ctrl-C."""
    with handling(signal.SIGTERM, raise_stopped):
        yield


@contextlib.contextmanager
def handling(number: int, handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle a signal while the block runs; elsewhere than in the main thread nothing changes.

    Args:
        number: Number of the signal.
        handler: Function that is called with the number and the place where the signal came.
    """
    # Python lets only the main thread set handlers
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        # None: the handler before was none of Python's, and cannot be set again
        signal.signal(number, signal.SIG_DFL if before is None else before)


def raise_stopped(number: int, frame: FrameType | None) -> None:
    """Raise `Stopped`, as a signal's handler.

    Args:
        number: Number of the signal.
        frame: Place where the signal came, which does not matter.
    """
    raise Stopped("", number)


@contextlib.contextmanager
def letting_stop() -> Iterator[None]:
    """Let a stop through that Lightning's Trainer turns into a SystemExit, which looks like a failure."""
    try:
        yield
    except SystemExit as error:
        cause = error.__context__
        if isinstance(cause, KeyboardInterrupt):
            raise cause from None
        raise


@contextlib.contextmanager
def children_stop_too() -> Iterator[None]:
    """End the processes that the block has started when it is stopped.

    Ctrl-C at a terminal reaches all processes; a signal that is sent to a process reaches that one alone. It would then
    wait for the others, which go on, before it ends.
    """
    import multiprocessing

    before = set(multiprocessing.active_children())
    try:
        yield
    except KeyboardInterrupt:
        started = set(multiprocessing.active_children()) - before
        for process in started:
            process.terminate()
        for process in started:
            process.join(_PATIENCE)
            # a process that has only just begun loses a signal, and one that hangs does not heed it
            process.kill()
            process.join()
        raise


def end_with_parent(*_: Any) -> None:
    """End this process, at once, when the process that started it has ended: an orphan must not go on writing.

    Call it first in a process that `multiprocessing` started. What it is given does not matter, so that a DataLoader
    can call it as `worker_init_fn`.
    """
    import multiprocessing

    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        end_with(parent.pid)


def end_with(parent: int) -> None:
    """End this process, at once, when the process that started it has ended.

    Args:
        parent: Number of the process that started this one.
    """
    if sys.platform == "linux":
        # SIGKILL, which nothing can hold up: the parent that would wait for a slower end is gone
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it ended before it could be asked
        os._exit(1)


def _watch(parent: int) -> None:
    """End this process once its parent has another id: it is then an orphan."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
