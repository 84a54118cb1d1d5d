"""Calls as jobs of SLURM, by submitit.

submitit hands calls and endings over as pickled files in its folder, which nobody else must be able to write to. It is
an extra, and is imported where it is used.
"""

import contextlib
import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from explainer.errors import InputError, check_range, missing_extra, one_line
from explainer.files import read_lines, write_text
from explainer.launching.base import PATIENCE, Engine, Launcher
from explainer.launching.call import Call, Ending, answer_elsewhere, variables

JOBS = "jobs.txt"
"""File of the numbers of the jobs that were submitted, and that nobody has waited for yet."""
_PAUSE = 0.5
"""Seconds between two looks at the jobs' files."""
_ASKING = 30
"""Seconds between two questions to SLURM."""
_LATE = 30
"""Seconds that a result may take to be seen on another machine's disk, after the job has ended."""
_LARGEST_ARRAY = 1000
"""Most jobs in an array: SLURM's own limit, unless it was set to another one."""


class Submitit(Launcher):
    """Jobs of SLURM, an array of them; SLURM decides where and when they run.

    Args:
        partition: Partition of the jobs; None takes the cluster's default.
        timeout_min: Minutes that a job may take. A training whose time is over saves its state 90 seconds before, and
            goes on in another job.
        cpus: Number of cores of each job, which is also its number of threads.
        gpus: Number of GPUs of each job.
        mem_gb: Memory of each job in GB; None takes the cluster's default.
        at_once: Largest number of jobs that run at once; None leaves it to SLURM, and takes the cores of this machine
            where `cluster` is "local".
        retries: Number of times that a job is submitted again after it was killed, preempted or out of time.
        parameters: Further parameters of sbatch under submitit's names, such as account, qos, constraint and setup, a
            list of lines that come before the job.
        cluster: Whether jobs are those of "slurm", or processes of this machine ("local"), to try out the same.
        show: Whether the script for sbatch is printed, and nothing is submitted.

    Raises:
        InputError: A number is out of range, or submitit is not installed.
    """

    def __init__(
        self,
        partition: str | None = None,
        timeout_min: int = 240,
        cpus: int = 1,
        gpus: int = 0,
        mem_gb: float | None = None,
        at_once: int | None = None,
        retries: int = 2,
        parameters: dict[str, Any] | None = None,
        cluster: Literal["slurm", "local"] = "slurm",
        show: bool = False,
    ) -> None:
        super().__init__(retries)
        check_range("launcher.init_args.timeout_min", timeout_min, 1)
        check_range("launcher.init_args.cpus", cpus, 1)
        check_range("launcher.init_args.gpus", gpus, 0)
        if mem_gb is not None:
            check_range("launcher.init_args.mem_gb", mem_gb, 0, above=True)
        if at_once is not None:
            check_range("launcher.init_args.at_once", at_once, 1)
        if importlib.util.find_spec("submitit") is None:
            raise missing_extra("the launcher Submitit needs an extra", "slurm")
        self.partition = partition
        self.timeout_min = timeout_min
        self.cpus = cpus
        self.gpus = gpus
        self.mem_gb = mem_gb
        self.at_once = at_once
        self.parameters = parameters or {}
        self.cluster: Literal["slurm", "local"] = cluster
        self.show = show

    def check(self, folder: Path, count: int | None) -> None:
        """Print the script, or find out whether this machine can submit one.

        Args:
            folder: Folder for what submitit writes.
            count: Number of calls; None where it is not known yet: then nothing is printed.

        Raises:
            InputError: A parameter is unknown, or this machine has no SLURM.
            SystemExit: The script was printed.
        """
        if self.show and count is not None:
            print(self.script(folder, count))
            sys.exit(0)
        if self.cluster == "local" or self.show:
            return
        self.script(folder, 1)  # parameters are tried
        missing = [program for program in ("sbatch", "srun", "sacct", "scancel") if shutil.which(program) is None]
        if missing:
            raise InputError(
                f"launcher.init_args.cluster is slurm, and there is no {missing[0]} here: start from a machine of the "
                "cluster, or show the script with launcher.init_args.show"
            )

    def script(self, folder: Path, count: int) -> str:
        """Return the script that sbatch would get.

        Args:
            folder: Folder for what submitit writes.
            count: Number of calls.

        Raises:
            InputError: sbatch has no such parameter, as far as submitit knows.
        """
        # submitit's executor writes a script only where there is SLURM; this one is to be seen anywhere
        from submitit.slurm.slurm import _make_sbatch_string

        command = shlex.join([sys.executable, "-u", "-m", "submitit.core._submit", str(folder.absolute())])
        settings = self.settings()
        if count > 1:
            settings["map_count"] = min(count, _LARGEST_ARRAY)
        try:
            return _make_sbatch_string(command, folder.absolute(), **settings)
        except TypeError as error:
            raise InputError(f"launcher.init_args.parameters: {one_line(error)}") from error

    def settings(self) -> dict[str, Any]:
        """Return the parameters of a job: those of sbatch, with "_" for "-", and submitit's own."""
        # srun does not take the number of cores from sbatch's line
        values = variables(self.cpus) | {"SRUN_CPUS_PER_TASK": str(self.cpus)}
        lines = [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
        settings: dict[str, Any] = {
            "job_name": "explainer",
            "partition": self.partition,
            "time": self.timeout_min,
            "cpus_per_task": self.cpus,
            "gpus_per_node": self.gpus or None,
            "mem": None if self.mem_gb is None else f"{round(1024 * self.mem_gb)}MB",
            "nodes": 1,
            "ntasks_per_node": 1,
            "array_parallelism": self.at_once or _LARGEST_ARRAY,
        }
        settings |= self.parameters
        settings["setup"] = [*lines, *self.parameters.get("setup", [])]
        return {name: value for name, value in settings.items() if value is not None}

    def start(self, folder: Path) -> Engine:
        """Make ready to submit jobs; those that an earlier process left behind are cancelled.

        Args:
            folder: Folder for what submitit writes, which all machines have to share.
        """
        return _Local(self, folder) if self.cluster == "local" else _Slurm(self, folder)


class _Jobs(Engine):
    """Jobs of submitit, of any kind.

    Args:
        executor: Object that submits.
        cpus: Number of threads of each job.
        late: Seconds that a result may take to be seen after its job has ended.
    """

    def __init__(self, executor: Any, cpus: int, late: float) -> None:
        self.executor = executor
        self.cpus = cpus
        self.late = late
        self.folder = str(Path.cwd())
        self.waiting: deque[Call] = deque()
        self.running: dict[Any, Call] = {}
        # when a job was first seen to have ended without a result
        self.ended_at: dict[Any, float] = {}
        # what jobs were told that were lost: SLURM itself may begin such a job once more
        self.left: list[Path] = []

    def submit(self, calls: Sequence[Call]) -> None:
        """Take calls."""
        self.waiting.extend(calls)
        self.hand_over()

    @abstractmethod
    def hand_over(self) -> None:
        """Submit calls that wait, as many as are allowed."""

    def submitted(self, calls: Sequence[Call]) -> list[Any]:
        """Submit calls, several as an array.

        Args:
            calls: Calls.

        Returns:
            Their jobs.
        """
        with self.executor.batch():
            jobs = [self.executor.submit(answer_elsewhere, call, self.folder, self.cpus) for call in calls]
        self.running |= dict(zip(jobs, calls, strict=True))
        return jobs

    def ended(self) -> list[tuple[Call, Ending]]:
        """Wait for a job to end."""
        while True:
            endings = []
            for job in list(self.running):
                ending = self._ending(job)
                if ending is not None:
                    endings.append((self.running.pop(job), ending))
            if endings:
                self.hand_over()
                return endings
            time.sleep(_PAUSE)
            self.ask()

    def ask(self) -> None:
        """Ask how the jobs are."""

    def _ending(self, job: Any) -> Ending | None:
        """Return what came of a job; None while it runs."""
        if not job.done():
            return None
        if not job.paths.result_pickle.exists():
            # killed, or not seen yet on a disk that machines share
            since = self.ended_at.setdefault(job, time.monotonic())
            if time.monotonic() - since < self.late:
                return None
            self.left.append(job.paths.submitted_pickle)
            return Ending({}, f"its job {job.job_id} ended without a result ({job.state.lower()})", lost=True)
        error = job.exception()
        ending = job.result() if error is None else _ending_of_error(str(error), job.job_id)
        # what it was told and what came of it are of no use any more; what it printed stays
        for path in (job.paths.result_pickle, job.paths.submitted_pickle):
            path.unlink(missing_ok=True)
        return ending

    @abstractmethod
    def cancel(self, jobs: Sequence[Any]) -> None:
        """Ask jobs to end; they have some time to save."""

    def close(self, stopped: bool) -> None:
        """Cancel the jobs that wait or run, and wait until they have saved."""
        if stopped:
            self.cancel(list(self.running))
            _wait_for(self.running)
        for path in self.left:
            path.unlink(missing_ok=True)


class _Slurm(_Jobs):
    """Jobs of SLURM. It lets them wait by itself, so that all are submitted at once."""

    def __init__(self, launcher: Submitit, folder: Path) -> None:
        from submitit import SlurmExecutor, SlurmJob

        executor = SlurmExecutor(_private(folder))
        executor.update_parameters(**launcher.settings())
        super().__init__(executor, launcher.cpus, _LATE)
        self.book = folder / JOBS
        self.asked_at = time.monotonic()
        # a process that was killed could cancel nothing, and nobody would read what its jobs find out
        names = read_lines(self.book) if self.book.is_file() else []
        orphans: list[Any] = [SlurmJob(folder, name) for name in names]
        self.cancel(orphans)
        _wait_for(orphans)
        self.book.unlink(missing_ok=True)

    def hand_over(self) -> None:
        """Submit all calls, as arrays."""
        while self.waiting:
            calls = [self.waiting.popleft() for _ in range(min(len(self.waiting), _LARGEST_ARRAY))]
            self.submitted(calls)
            # whole, and not line by line: a part of a job's number would be another job's
            write_text(self.book, "".join(f"{job.job_id}\n" for job in self.running), sync=True)

    def ask(self) -> None:
        """Ask SLURM for all jobs at once, from time to time: submitit itself asks ever more seldom."""
        if time.monotonic() - self.asked_at > _ASKING:
            next(iter(self.running)).watcher.update()
            self.asked_at = time.monotonic()

    def cancel(self, jobs: Sequence[Any]) -> None:
        """Cancel jobs: SLURM sends SIGTERM, and SIGKILL some time later."""
        if jobs:
            # those that have ended are no reason to fail
            subprocess.run(["scancel", *(job.job_id for job in jobs)], check=False, stderr=subprocess.DEVNULL)

    def close(self, stopped: bool) -> None:
        """Cancel the jobs that wait or run, and wait until they have saved."""
        super().close(stopped)
        self.book.unlink(missing_ok=True)


class _Local(_Jobs):
    """Processes of this machine in the form of jobs. submitit starts all at once, so that they have to wait here."""

    def __init__(self, launcher: Submitit, folder: Path) -> None:
        from submitit import LocalExecutor

        executor = LocalExecutor(_private(folder))
        executor.update_parameters(timeout_min=launcher.timeout_min, gpus_per_node=launcher.gpus)
        super().__init__(executor, launcher.cpus, late=0)
        cores = os.cpu_count() or 1
        self.most = launcher.at_once or max(1, cores // launcher.cpus)

    def hand_over(self) -> None:
        """Submit as many calls as may run at once."""
        with _environment(variables(self.cpus)):
            while self.waiting and len(self.running) < self.most:
                self.submitted([self.waiting.popleft()])

    def cancel(self, jobs: Sequence[Any]) -> None:
        """Send SIGTERM, as SLURM does; submitit's own way would leave a second to save."""
        for job in jobs:
            if not job.done():
                os.kill(int(job.job_id), signal.SIGTERM)


def _private(folder: Path) -> Path:
    """Make a folder whose pickled files nobody else can write."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def _wait_for(jobs: Iterable[Any]) -> None:
    """Wait until jobs have ended, but not for ever."""
    deadline = time.monotonic() + PATIENCE
    rest = list(jobs)
    while rest and time.monotonic() < deadline:
        time.sleep(_PAUSE)
        rest = [job for job in rest if not job.done(force_check=True)]


def _ending_of_error(words: str, name: str) -> Ending:
    """Read from submitit's words what became of a job whose function did not return.

    Args:
        words: Error of the job, which holds a traceback between two lines of hyphens.
        name: Number of the job.
    """
    trace = words.partition("\n---")[2].partition("\n---")[0].strip().splitlines()
    last = trace[-1] if trace else words.partition("\n")[0]
    # its time was over before the function began
    lost = "UncompletedJobError" in last
    return Ending({}, f"job {name}: {last[:200]}", lost)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Have these environment variables while the block runs."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
