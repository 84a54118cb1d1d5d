"""Calls in processes of this machine, or one after the other in this process."""

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

import torch

from explainer.errors import check_processes_wanted, one_line
from explainer.launching.base import PATIENCE, Engine, Launcher
from explainer.launching.call import Call, Ending, answer, prepare_process
from explainer.stopping import end_with_parent, exit_status, raise_stopped


class Local(Launcher):
    """Processes of this machine, which are used again. Each has its share of the cores, and a GPU where there are some.

    Args:
        workers: Number of processes; None takes one for each GPU, at least one. A single one is this process itself.
        retries: Number of times that a call is run again after its process was killed.

    Raises:
        InputError: A number is out of range.
    """

    def __init__(self, workers: int | None = None, retries: int = 2) -> None:
        super().__init__(retries)
        check_processes_wanted("launcher.init_args.workers", workers)
        self.workers = workers

    def start(self, folder: Path) -> Engine:
        """Start the processes when there are calls; they write nothing but the calls' logs.

        Args:
            folder: Folder for what an engine writes, which this one does not need.
        """
        workers = self.workers or max(1, torch.cuda.device_count())
        return _ThisProcess() if workers == 1 else _Processes(workers)


class _ThisProcess(Engine):
    """Calls in this process, one after the other."""

    def __init__(self) -> None:
        self.waiting: deque[Call] = deque()

    def submit(self, calls: Sequence[Call]) -> None:
        """Take calls."""
        self.waiting.extend(calls)

    def ended(self) -> list[tuple[Call, Ending]]:
        """Run the next call."""
        call = self.waiting.popleft()
        return [(call, answer(call))]

    def close(self, stopped: bool) -> None:
        """Do nothing: what stopped this process stopped the call."""


class _Worker(NamedTuple):
    """A process that takes one call after the other.

    Attributes:
        pool: Pool of this process alone. If it is killed, no other one loses its call.
        processes: The process, as the pool started it.
    """

    pool: ProcessPoolExecutor
    processes: list[Any]


class _Processes(Engine):
    """Calls in several processes, each started when it is first needed."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.workers: dict[int, _Worker] = {}
        self.free = list(range(count))
        self.waiting: deque[Call] = deque()
        self.running: dict[Future[Ending], tuple[Call, int]] = {}

    def submit(self, calls: Sequence[Call]) -> None:
        """Take calls."""
        self.waiting.extend(calls)
        self._hand_over()

    def _hand_over(self) -> None:
        """Give calls to workers that have none."""
        while self.waiting and self.free:
            # the lowest number, so that a few calls need few processes
            number = min(self.free)
            self.free.remove(number)
            call = self.waiting.popleft()
            self.running[self._begin(number, call)] = (call, number)

    def _begin(self, number: int, call: Call) -> Future[Ending]:
        """Begin a call in the process of a number, which is started where there is none."""
        worker = self.workers.get(number)
        if worker is not None:
            try:
                return worker.pool.submit(_answer_in_worker, call)
            except BrokenProcessPool:  # it was killed while it had nothing to do
                self.workers.pop(number)
        # CUDA does not work in a process that was forked after its first use
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(1, context, initializer=_prepare, initargs=(number, self.count))
        before = set(multiprocessing.active_children())
        future = pool.submit(_answer_in_worker, call)
        # a pool does not tell which process it has started
        started = set(multiprocessing.active_children()) - before
        self.workers[number] = _Worker(pool, list(started))
        return future

    def ended(self) -> list[tuple[Call, Ending]]:
        """Wait for a call to end; its worker begins with the next one."""
        finished, _ = wait(self.running, return_when=FIRST_COMPLETED)
        endings = []
        for future in finished:
            call, number = self.running.pop(future)
            endings.append((call, self._ending(future, number)))
            self.free.append(number)
        self._hand_over()
        return endings

    def _ending(self, future: Future[Ending], number: int) -> Ending:
        """Return what came of a call; errors of its function are results, so that others are of the process."""
        error = future.exception()
        if error is None:
            return future.result()
        if not isinstance(error, BrokenProcessPool):  # such as a result that cannot be pickled
            return Ending({}, one_line(error))
        worker = self.workers.pop(number)
        worker.pool.shutdown(wait=False)
        return Ending({}, _words_of_death(worker.processes), lost=True)

    def close(self, stopped: bool) -> None:
        """End the processes."""
        for worker in self.workers.values():
            worker.pool.shutdown(wait=not stopped, cancel_futures=True)
        if stopped:
            processes = []
            for worker in self.workers.values():
                processes += worker.processes
            _end(processes)


def _words_of_death(processes: Sequence[Any]) -> str:
    """Say how a process ended that ended before its call."""
    for process in processes:
        process.join(PATIENCE)
        if process.exitcode is not None and process.exitcode < 0:
            return f"its process was killed by {signal.Signals(-process.exitcode).name}"
    return "its process ended"


def _end(processes: Sequence[Any]) -> None:
    """End processes; they have some time to save what they are at."""
    try:
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + PATIENCE
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
    finally:  # also at a second Ctrl-C
        for process in processes:
            process.kill()


def _prepare(number: int, count: int) -> None:
    """Make a new process ready: how it is stopped, what it logs, its cores and its GPU."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes; the first one decides
    signal.signal(signal.SIGTERM, raise_stopped)
    cores = os.cpu_count() or 1
    prepare_process(max(1, cores // count))
    gpus = torch.cuda.device_count()
    if gpus > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(number % gpus)


def _answer_in_worker(call: Call) -> Ending:
    """Call the function; end this process when it is told to, while the pool would have it take the next call."""
    try:
        return answer(call)
    except KeyboardInterrupt as error:
        os._exit(exit_status(error))
