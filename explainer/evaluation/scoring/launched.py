"""An evaluation by a launcher: shares of its batches are calls, which run in processes, on Ray or as jobs of SLURM.

What a call needs is written once, for all calls: a classifier may take half a gigabyte. Each call appends to a file of
its own in the folder of the results, which all machines share; when all have ended the rows are gathered.
"""

import functools
import pickle
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from explainer.errors import InputError, WorkError
from explainer.evaluation.scoring.loop import Scoring, Subject, evaluate
from explainer.evaluation.scoring.processes import Workload
from explainer.evaluation.storage.store import Store
from explainer.evaluation.telling import bars
from explainer.files import digest
from explainer.launching import Launcher
from explainer.launching.call import Call
from explainer.launching.cells import Folders
from explainer.networks.devices import choose_device

_WORK = "evaluation.pkl"
"""File of what all calls need, in the folder of the engine."""


class Task(NamedTuple):
    """What is scored, and where the rows go.

    Attributes:
        subject: Classifier and methods, on the CPU; "auto" as its device lets each call take the GPU that it has.
        workload: Images.
        store: Store of the rows so far.
        scoring: Questions to every mask.
    """

    subject: Subject
    workload: Workload
    store: Store
    scoring: Scoring


def evaluate_by(launcher: Launcher, count: int, task: Task, folders: Folders) -> None:
    """Score every method on every image by calls of a launcher. A call that is lost goes on elsewhere.

    Args:
        launcher: Way to run the calls.
        count: Number of calls into which the batches are dealt.
        task: Work; its store has all rows afterwards.
        folders: Folders for what the engine writes, which all machines have to share, and for what each call prints.

    Raises:
        InputError: A method refuses every image of its first batch.
        WorkError: A call failed; the rows of the others are kept.
    """
    count = min(count, len(task.workload.batches))
    if count == 0:
        return
    folders.logs.mkdir(parents=True, exist_ok=True)
    folders.jobs.mkdir(parents=True, exist_ok=True)
    # nobody else may write there: what lies in it is unpickled
    folders.jobs.chmod(0o700)
    path = folders.jobs / _WORK
    path.write_bytes(pickle.dumps(task))
    sha256 = digest(path)
    calls = []
    for rank in range(count):
        name = f"share_{rank}"
        calls.append(Call(name, score_share, (str(path), sha256, rank, count), str(folders.logs / f"{name}.log")))
    try:
        errors = _run(launcher, calls, task.workload, folders.jobs)
    finally:
        # a launcher of one process has read it here: a second classifier would stay in memory
        _task.cache_clear()
        path.unlink()
        # after an error too: the rows that are done stand in the one file then
        task.store.gather()
    for name, error in errors.items():
        kind, _, words = error.partition(": ")
        if kind == InputError.__name__:
            raise InputError(words)
        raise WorkError(
            f"{len(errors)} of {count} shares failed, such as {name}: {error}; see {folders.logs / name}.log"
        )


def _run(launcher: Launcher, calls: Sequence[Call], workload: Workload, jobs: Path) -> dict[str, str]:
    """Run the calls under a bar of the images that are done.

    Returns:
        Name of a call → error in one line, of those that failed.
    """
    images = {call.name: workload.share(rank, len(calls)).total for rank, call in enumerate(calls)}
    errors = {}
    retried = 0
    with bars() as progress, closing(launcher.run(calls, jobs)) as endings:
        task = progress.add_task("evaluating", total=workload.total)
        for call, ending in endings:
            if ending.lost:
                retried += 1
            else:
                progress.advance(task, images[call.name])
            if ending.error and not ending.lost:
                errors[call.name] = ending.error
            description = f"evaluating ({len(errors)} shares failed, {retried} retried)"
            progress.update(task, description=description)
    return errors


def score_share(path: str, sha256: str, rank: int, count: int) -> dict[str, Any]:
    """Score the share of a call, in the process of a launcher.

    Args:
        path: File of the task.
        sha256: Digest of the file.
        rank: Number of the call.
        count: Number of calls.

    Returns:
        Nothing: the rows are on the disk.
    """
    task = _task(path, sha256)
    share = task.workload.share(rank, count)
    subject = task.subject._replace(device=str(choose_device(task.subject.device)))
    store = task.store.of_process(rank)
    # what this call had done before it was lost is not done again
    store.read_own()
    evaluate(subject, share.loader(), store, task.scoring, total=share.total, quiet=True)
    return {}


@functools.lru_cache(maxsize=1)  # a process takes several calls, whose classifier is the same
def _task(path: str, sha256: str) -> Task:
    """Read the task, unless its file is not the one that was written for this call."""
    if digest(Path(path)) != sha256:
        raise InputError(f"{path} is not the file that was written for this evaluation: start it again")
    with Path(path).open("rb") as file:
        task: Task = pickle.load(file)
    return task
