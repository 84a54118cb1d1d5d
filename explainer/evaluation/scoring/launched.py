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
from explainer.files import digest, repeating
from explainer.launching import Launcher
from explainer.launching.call import Call
from explainer.launching.cells import Folders
from explainer.networks.devices import choose_device

_WORK = "evaluation.pkl"
"""File of what all calls need, in the folder of the engine."""
_LOOK = 2.0
"""Seconds between two looks at how much the calls have done."""


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
        errors = _run(launcher, calls, task, folders.jobs)
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


def _run(launcher: Launcher, calls: Sequence[Call], task: Task, jobs: Path) -> dict[str, str]:
    """Run the calls under a bar of the images that are done.

    Returns:
        Name of a call → error in one line, of those that failed.
    """
    # a row for each method, and one for the image as it is
    rows = len(task.subject.methods) + 1
    shares = {}
    for rank, call in enumerate(calls):
        images = task.workload.share(rank, len(calls)).total
        shares[call.name] = _Share(task.store.path_of(rank), images, rows)
    errors = {}
    retried = 0
    with bars() as progress, closing(launcher.run(calls, jobs)) as endings:
        bar = progress.add_task("evaluating", total=task.workload.total)

        def show() -> None:
            progress.update(bar, completed=sum(share.done() for share in shares.values()))

        with repeating(_LOOK, show):
            for call, ending in endings:
                if ending.lost:
                    retried += 1
                else:
                    shares[call.name].ended = True
                if ending.error and not ending.lost:
                    errors[call.name] = ending.error
                description = f"evaluating ({len(errors)} shares failed, {retried} retried)"
                progress.update(bar, description=description)
        show()
    return errors


class _Share:
    """Share of a call, of which is known how much is done while it runs: its rows grow in a file.

    Args:
        path: File of the call's rows, which need not exist.
        images: Number of images of the share.
        rows: Number of rows of an image.
    """

    def __init__(self, path: Path, images: int, rows: int) -> None:
        self.path = path
        self.images = images
        self.rows = rows
        self.ended = False
        self._read = 0
        self._lines = 0

    def done(self) -> int:
        """Return the number of images that are done, as far as whole images can be told from rows."""
        if not self.ended and self.path.is_file():
            with self.path.open("rb") as file:
                file.seek(self._read)
                while piece := file.read(2**20):
                    self._read += len(piece)
                    self._lines += piece.count(b"\n")
        # an image may have further rows, of references and of failures that are tried again
        return self.images if self.ended else min(self.images, self._lines // self.rows)


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
