"""Start a training in several processes: what each of them may do before they are joined, and how they end together."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.environments import SLURMEnvironment
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher, _SubprocessScriptLauncher
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch.distributed import DistError

from explainer.errors import InputError, WorkError
from explainer.files import held
from explainer.stopping import Stopped, end_with

LAUNCHER = "EXPLAINER_LAUNCHER"
"""Environment variable: number of the process that has started this one for its training."""
_SHARDED = ("FSDPStrategy", "ModelParallelStrategy", "DeepSpeedStrategy")
"""Strategies of Lightning in which no process has the whole network."""
_OF_A_LAUNCHER = re.compile(
    r"(RANK|LOCAL_RANK|GROUP_RANK|NODE_RANK|ROLE_RANK|WORLD_SIZE|LOCAL_WORLD_SIZE|GROUP_WORLD_SIZE|ROLE_WORLD_SIZE|"
    r"ROLE_NAME|MASTER_ADDR|MASTER_PORT|TORCHELASTIC_.*|TORCH_NCCL_ASYNC_ERROR_HANDLING|PL_GLOBAL_SEED|SLURM_.*|"
    rf"{LAUNCHER})"
)
"""Environment variables by which a process knows that it is one of several."""
_PATIENCE = 300.0
"""Seconds in which the first process has to begin with what the others wait for."""
_PAUSE = 0.2
"""Seconds between two looks at what is waited for."""


def first_process() -> bool:
    """Tell whether this process is the first of its training, which alone writes; the only one is the first."""
    if os.environ.get("NODE_RANK", os.environ.get("GROUP_RANK", "0")) != "0":
        return False
    return (getattr(rank_zero_only, "rank", 0) or 0) == 0


def started_with_others() -> bool:
    """Tell whether torchrun, or another program, has started this process as one of several."""
    if SLURMEnvironment.detect():
        return int(os.environ.get("SLURM_NTASKS", "1")) > 1
    world = os.environ.get("WORLD_SIZE", "1")
    return "LOCAL_RANK" in os.environ and world.isdecimal() and int(world) > 1


def has_others() -> bool:
    """Tell whether other processes of the same training may be waiting for this one, here or on another machine."""
    return started_with_others() or "NODE_RANK" in os.environ


def end_with_launcher() -> None:
    """End this process with the one that has started it for its training: alone it would wait for the others."""
    parent = os.environ.get(LAUNCHER, "")
    if parent.isdecimal() and int(parent) == os.getppid():
        end_with(int(parent))


@contextlib.contextmanager
def launching() -> Iterator[None]:
    """Let processes that are started in the block know which one has started them."""
    before = os.environ.get(LAUNCHER)
    os.environ[LAUNCHER] = str(os.getpid())
    try:
        yield
    finally:
        os.environ.pop(LAUNCHER)
        if before is not None:
            os.environ[LAUNCHER] = before


def check_processes(trainer: pl.Trainer, settings: Any, arguments: Sequence[str]) -> None:
    """Refuse what several processes cannot do together.

    Args:
        trainer: Trainer, before the training.
        settings: Settings of the Trainer in the config.
        arguments: Command-line arguments of the run, which other processes are started with.

    Raises:
        InputError: Names the setting.
    """
    world = os.environ.get("WORLD_SIZE", "1")
    if "TORCHELASTIC_RUN_ID" in os.environ and world != str(trainer.world_size):
        raise InputError(
            f"torchrun has started {world} processes, and the Trainer expects {trainer.world_size}: set trainer.devices"
            " to the number on each machine, and trainer.num_nodes to that of the machines"
        )
    if trainer.world_size == 1:
        return
    strategy: Any = trainer.strategy
    if type(strategy).__name__ in _SHARDED:
        raise InputError("trainer.strategy: no process would have the whole network; take ddp")
    if isinstance(strategy.launcher, _MultiProcessingLauncher):
        raise InputError("trainer.strategy: processes that are forked or spawned cannot be stopped safely; take ddp")
    if settings.use_distributed_sampler:
        raise InputError(
            "trainer.use_distributed_sampler must be false: the data set shares its images out by itself, and "
            "Lightning's sampler would show some twice and others never"
        )
    if settings.sync_batchnorm and strategy.root_device.type == "cpu":
        raise InputError("trainer.sync_batchnorm needs GPUs; leave it out: each process then has its own statistics")
    environment = strategy.cluster_environment
    starts = isinstance(strategy.launcher, _SubprocessScriptLauncher) and not environment.creates_processes_externally
    if starts and list(arguments) != sys.argv[len(sys.argv) - len(arguments) :]:
        raise InputError(
            f"trainer.devices {trainer.num_devices}: the other processes are started with this program's own command; "
            "give it the arguments of the training, as in python train.py --config x.yaml --trainer.devices 2"
        )


@contextlib.contextmanager
def noticing_loss(trainer: pl.Trainer, remains: str) -> Iterator[None]:
    """Say in one line that another process of the training has ended.

    Args:
        trainer: Trainer of the run.
        remains: Words for the error: what is kept, and how to go on.

    Raises:
        InputError: Some weights had no part in the loss, which DDP takes for an error unless it is told to look.
        WorkError: This process could not reach another one.
    """
    try:
        yield
    except RuntimeError as error:
        if "parameters that were not used" in str(error):
            raise InputError(
                "some weights of this network have no part in the loss, such as those of an auxiliary head: give "
                "--trainer.strategy ddp_find_unused_parameters_true"
            ) from error
        # the library under PyTorch's processes on CPUs has no class of errors: it names its own source file
        lost = isinstance(error, DistError) or "gloo" in str(error)
        if trainer.world_size == 1 or not lost:
            raise
        raise WorkError(f"another process of this training has ended, see above; {remains}") from error


def wait_for(path: Path, lock: Path, patience: float = _PATIENCE) -> None:
    """Wait until the first process has trained what all need.

    Args:
        path: Checkpoint that it writes.
        lock: Lock file that it holds meanwhile.
        patience: Seconds in which the first process has to take the lock.

    Raises:
        InputError: The first process does not train it, or has ended without it.
    """
    deadline = time.monotonic() + patience
    seen = False
    while not path.is_file():
        working = held(lock)
        # looked for once more: it may have been written just before the lock was given back
        if not working and (seen or time.monotonic() > deadline) and not path.is_file():
            raise InputError(f"no {path}: the first process has not trained it; look at its output, or train it first")
        seen = seen or working
        time.sleep(_PAUSE)


def train_apart(arguments: Sequence[str]) -> None:
    """Train in a command of its own, which may start several processes, and wait for it.

    A process that is one of several, or that starts others, can train one thing: the other processes repeat its
    command.

    Args:
        arguments: Arguments of train.py.

    Raises:
        InputError: Something given cannot be used; the command has said what.
        WorkError: The training failed; the command has said why.
        Stopped: Ctrl-C, or SIGTERM; the command has saved its state.
    """
    environment = {key: value for key, value in os.environ.items() if not _OF_A_LAUNCHER.fullmatch(key)}
    environment[LAUNCHER] = str(os.getpid())
    package = str(Path(__file__).resolve().parents[2])
    # last, as for an installed package: no file beside it takes the place of another package
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [environment.get("PYTHONPATH"), package]))
    command = [sys.executable, "-m", "explainer", "train", *arguments]
    # a session of its own: Ctrl-C at a terminal would reach it beside the signal that is passed on
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    with passing_on(process.send_signal):
        status = process.wait()
    if status in (128 + signal.SIGINT, 128 + signal.SIGTERM):
        raise Stopped("stopped in the training of what is missing; the same command goes on from there", status - 128)
    name = Path(arguments[1]).name
    if status == 2:
        raise InputError(f"{name}, which trains what is missing, cannot be run: see the error above")
    if status:
        raise WorkError(f"the training by {name} of what is missing failed, see above; the same command goes on")


@contextlib.contextmanager
def passing_on(send: Callable[[int], None]) -> Iterator[None]:
    """Pass Ctrl-C and SIGTERM on while the block runs.

    Args:
        send: Function that takes the signal's number.
    """
    # Python lets only the main thread set handlers
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        send(number)

    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            # None: the handler before was none of Python's, and cannot be set again
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
