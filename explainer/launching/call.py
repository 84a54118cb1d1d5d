"""A call of a function in another process, and how it ended.

It imports little, because every process of a launcher begins with this file.
"""

import contextlib
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from explainer.errors import one_line
from explainer.stopping import exit_status, handling, heeding_sigterm

ONE_PROCESS = {
    "RANK": "0",
    "LOCAL_RANK": "0",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_JOB_NAME": "bash",
}
"""Variables under which Lightning trains in one process.

A process that SLURM started, also as a part of a Ray cluster, has others, by which Lightning would take it for one of
several that train together: it would wait for them, or leave the checkpoints to them.
"""
THREADS = "OMP_NUM_THREADS"
"""Variable that tells PyTorch the number of its threads."""


class Call(NamedTuple):
    """Function with its arguments, which can be pickled.

    Attributes:
        name: Name for people, and of no other call.
        work: Function, at the top of a module, that returns plain values.
        arguments: Arguments of the function.
        log: File for what the function prints.
        attempt: Number of times that the call was lost before.
    """

    name: str
    work: Callable[..., dict[str, Any]]
    arguments: tuple[Any, ...]
    log: str
    attempt: int = 0


class Ending(NamedTuple):
    """What came of a call.

    Attributes:
        result: What the function returned; empty where it did not.
        error: Error in one line; "" where there was none.
        lost: Whether the call was lost with its process, so that the error is none of the function: the same call may
            succeed elsewhere.
    """

    result: dict[str, Any]
    error: str = ""
    lost: bool = False


def answer(call: Call) -> Ending:
    """Call the function in this process; what it prints goes to the log.

    Args:
        call: Call.

    Returns:
        The ending; an error of the function is a part of it.

    Raises:
        KeyboardInterrupt: The process is to stop.
    """
    # a call that was lost goes on in the same log: what it printed may tell why
    mode = "a" if call.attempt else "w"
    with (
        Path(call.log).open(mode, encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        try:
            return Ending(call.work(*call.arguments))
        except (Exception, SystemExit) as error:  # a command line ends with SystemExit where a config is wrong
            traceback.print_exc()
            return Ending({}, one_line(error))


def answer_elsewhere(call: Call, folder: str, threads: int) -> Ending:
    """Call the function in a process that an engine started, perhaps on another machine.

    Args:
        call: Call.
        folder: Folder in which the process that launched works; paths in the arguments are relative to it.
        threads: Number of threads of PyTorch.

    Returns:
        The ending. It is lost when SIGTERM or SIGUSR2 came, as before the end of a job's time, or where another job
        takes its place.
    """
    host = socket.gethostname()
    try:
        os.chdir(folder)
    except OSError as error:
        return Ending({}, f"{host} lacks {folder} ({error.strerror}): machines have to share this folder")
    os.environ.update(ONE_PROCESS)
    prepare_process(threads)
    try:
        with heeding_sigterm(), _heeding_the_end_of_a_job():
            return answer(call)
    except KeyboardInterrupt as error:
        name = signal.Signals(exit_status(error) - 128).name
        return Ending({}, f"it was stopped by {name} on {host}", lost=True)


def prepare_process(threads: int) -> None:
    """Make a process ready for calls: what it logs, and its threads.

    Args:
        threads: Number of threads of PyTorch.
    """
    # only here: an engine's driver need not wait for it
    import torch

    logging.disable(logging.INFO)  # what Lightning says of each of a hundred cells
    torch.set_num_threads(threads)


def variables(threads: int) -> dict[str, str]:
    """Return the environment variables of a process that an engine starts.

    Args:
        threads: Number of threads of PyTorch.

    Returns:
        Name → value. Where this package was not installed, but found by a path, a new process finds it by the same one.
    """
    return {THREADS: str(threads), "PYTHONPATH": python_path()}


def python_path() -> str:
    """Return the folders in which a new process has to look for modules before those of its own installation.

    Returns:
        Folders, divided as in PYTHONPATH: those of this process's variable, and that of this package.
    """
    folders = [str(Path(folder).absolute()) for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    package = str(Path(__file__).resolve().parents[2])
    # an installed package is found without help, and its neighbours must not come before those of another machine
    if Path(package).name not in ("site-packages", "dist-packages") and package not in folders:
        folders.insert(0, package)
    return os.pathsep.join(folders)


@contextlib.contextmanager
def _heeding_the_end_of_a_job() -> Iterator[None]:
    """Take SIGUSR2, which SLURM sends some time before it ends a job, for SIGTERM while the block runs."""
    if sys.platform == "win32":
        yield
        return
    with handling(signal.SIGUSR2, _terminate):
        yield


def _terminate(number: int, frame: FrameType | None) -> None:
    # by the signal, and not by raising: a training that has its own handler finishes its step and saves
    os.kill(os.getpid(), signal.SIGTERM)
