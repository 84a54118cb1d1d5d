"""Calls as tasks of Ray, on a cluster that is there, or on one of this machine alone.

Ray is an extra, and takes seconds to import: it is imported where it is used.
"""

import contextlib
import importlib.util
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from explainer.errors import InputError, WorkError, check_range, missing_extra, one_line
from explainer.launching.base import PATIENCE, Engine, Launcher
from explainer.launching.call import ONE_PROCESS, Call, Ending, answer_elsewhere, variables

LOCAL = "local"
"""Address of a cluster that is started here, and ended with the calls."""


class Ray(Launcher):
    """Tasks of Ray, each in a process of its own somewhere on a cluster; Ray decides where.

    Args:
        address: Address of a cluster: "auto" for the one that this machine belongs to, or "host:6379"; "local" starts
            one on this machine, and ends it afterwards.
        cpus: Number of cores of each call, which is also its number of threads.
        gpus: GPUs of each call, such as 1 or 0.5; None takes one where the cluster has GPUs.
        retries: Number of times that a call is run again after its process or its machine was lost.
        options: Further arguments of `ray.init`, such as `num_cpus` of a local cluster.

    Raises:
        InputError: A number is out of range, or Ray is not installed.
    """

    def __init__(
        self,
        address: str = LOCAL,
        cpus: int = 1,
        gpus: float | None = None,
        retries: int = 2,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(retries)
        check_range("launcher.init_args.cpus", cpus, 1)
        if gpus is not None:
            check_range("launcher.init_args.gpus", gpus, 0)
        if importlib.util.find_spec("ray") is None:
            raise missing_extra("the launcher Ray needs an extra", "ray")
        self.address = address
        self.cpus = cpus
        self.gpus = gpus
        self.options = options or {}

    def check(self, folder: Path, count: int | None) -> None:
        """Find out whether the cluster answers, and whether it could ever run a call.

        Args:
            folder: Folder for what an engine writes.
            count: Number of calls, which does not matter.

        Raises:
            InputError: It does not, or could not.
        """
        if self.address != LOCAL:
            self.start(folder).close(stopped=False)
            return
        # what can be told without the seconds that a cluster takes to start
        cores = self.options.get("num_cpus") or os.cpu_count() or 1
        if self.cpus > cores:
            raise InputError(f"launcher.init_args.cpus is {self.cpus}, and there are {cores} cores")
        gpus = self.options.get("num_gpus") or torch.cuda.device_count()
        if self.gpus is not None and self.gpus > gpus:
            raise InputError(f"launcher.init_args.gpus is {self.gpus:g}, and there are {gpus} GPUs")

    def start(self, folder: Path) -> Engine:
        """Connect to the cluster, or start one; Ray writes to its own folder.

        Args:
            folder: Folder for what an engine writes, which this one does not need.

        Raises:
            InputError: The cluster does not answer, or none of its machines is large enough for a call.
        """
        return _Tasks(self)


class _Tasks(Engine):
    """Tasks of Ray."""

    def __init__(self, launcher: Ray) -> None:
        self.running: dict[Any, Call] = {}
        self.folder = str(Path.cwd())
        self.threads = launcher.cpus
        self.exit = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            stack.enter_context(_connected(launcher))
            gpus = _gpus(launcher)
            # Ray must not run a call again by itself: which ones are, and how often, is decided in one place
            settings = {"num_cpus": launcher.cpus, "num_gpus": gpus, "max_retries": 0}
            environment = {"env_vars": ONE_PROCESS | variables(launcher.cpus)}
            import ray

            self.ray = ray
            self.task = ray.remote(answer_elsewhere).options(**settings, runtime_env=environment)
            self.exit = stack.pop_all()

    def submit(self, calls: Sequence[Call]) -> None:
        """Hand calls over to Ray, which lets them wait where there is no room."""
        for call in calls:
            self.running[self.task.remote(call, self.folder, self.threads)] = call

    def ended(self) -> list[tuple[Call, Ending]]:
        """Wait for a task to end."""
        try:
            self.ray.wait(list(self.running), num_returns=1)
            ready, _ = self.ray.wait(list(self.running), num_returns=len(self.running), timeout=0)
        except self.ray.exceptions.RayError as error:
            raise WorkError(f"Ray does not answer any more ({one_line(error)}); what is done is kept") from error
        return [(self.running.pop(task), self._ending(task)) for task in ready]

    def _ending(self, task: Any) -> Ending:
        """Return what came of a task."""
        lost = self.ray.exceptions
        try:
            return self.ray.get(task)
        except (lost.WorkerCrashedError, lost.NodeDiedError, lost.OutOfMemoryError, lost.LocalRayletDiedError):
            return Ending({}, "its process was killed, or its machine failed", lost=True)
        except (lost.ObjectLostError, lost.TaskCancelledError) as error:
            return Ending({}, one_line(error), lost=True)
        except lost.RayError as error:  # such as a machine on which this package is not found
            return Ending({}, one_line(error.cause if isinstance(error, lost.RayTaskError) else error))

    def close(self, stopped: bool) -> None:
        """Cancel what runs; end the cluster that was started here, and leave another one."""
        try:
            if stopped and self.running:
                tasks = list(self.running)
                for task in tasks:
                    self.ray.cancel(task, force=False)  # like Ctrl-C: a training saves
                _, rest = self.ray.wait(tasks, num_returns=len(tasks), timeout=PATIENCE)
                for task in rest:
                    self.ray.cancel(task, force=True)
        finally:  # also at a second Ctrl-C
            self.exit.close()


@contextlib.contextmanager
def _connected(launcher: Ray) -> Iterator[None]:
    """Be connected to the cluster while the block runs."""
    # Ray tells its makers how it is used unless it is told not to; it asks when it is imported
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    if ray.is_initialized():  # by the program that called this one: it is not ours to end
        yield
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if launcher.address == LOCAL:
        # nobody looks at it
        options["include_dashboard"] = False
    _check_reachable(launcher.address)
    with _own_handlers():
        try:
            ray.init(launcher.address, **(options | launcher.options))
        except (ConnectionError, ValueError, RuntimeError, TypeError) as error:
            raise InputError(f"launcher.init_args.address {launcher.address!r}: {one_line(error)}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Refuse an address at which nothing answers: Ray itself would try for minutes.

    Args:
        address: Address of a cluster.

    Raises:
        InputError: Names it.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():  # a word, such as "auto"
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"launcher.init_args.address {address}: no Ray cluster answers there ({error})") from error


@contextlib.contextmanager
def _own_handlers() -> Iterator[None]:
    """Put the handlers of signals back when the block ends: Ray takes SIGTERM over, and would end at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _gpus(launcher: Ray) -> float:
    """Return the GPUs of each call, once it is clear that some machine has room for one.

    Raises:
        InputError: None has.
    """
    import ray

    machines = [machine["Resources"] for machine in ray.nodes() if machine["Alive"]]
    gpus = launcher.gpus
    if gpus is None:
        gpus = min(1.0, max((machine.get("GPU", 0) for machine in machines), default=0))

    def has_room(machine: dict[str, float]) -> bool:
        return machine.get("CPU", 0) >= launcher.cpus and machine.get("GPU", 0) >= gpus

    if not any(map(has_room, machines)):
        raise InputError(
            f"no machine of the Ray cluster has {launcher.cpus} cores and {gpus:g} GPUs for a cell: "
            "lower launcher.init_args.cpus or gpus"
        )
    return gpus
