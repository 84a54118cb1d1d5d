"""An evaluation by several processes, each with whole batches of its own; the results are those of one process.

Lightning's Fabric starts the processes and gives each its device. They have nothing to say to one another: each appends
to a file of its own, and when all have ended the rows are gathered, whatever number of processes goes on later. Batches
are those of a single process, so that every image is computed beside the same others.
"""

import os
import re
import signal
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from lightning_fabric import Fabric
from torch.multiprocessing import ProcessRaisedException
from torch.utils.data import DataLoader

from explainer.data import Batch, ImageDataset, collate
from explainer.errors import InputError
from explainer.evaluation.references import ORIGINAL
from explainer.evaluation.scoring.loop import Scoring, Subject, evaluate
from explainer.evaluation.storage.store import Store
from explainer.stopping import children_stop_too, end_with_parent


def check_processes(count: int, device: str) -> None:
    """Refuse more processes than there are GPUs, before the long work.

    Args:
        count: Number of processes.
        device: Device of the computation.

    Raises:
        InputError: Says how many GPUs there are.

    Example:
        >>> check_processes(4, "cpu")
    """
    if count <= 1 or not device.startswith("cuda"):
        return
    gpus = torch.cuda.device_count()
    if count > gpus:
        raise InputError(f"evaluation.processes is {count}, and there are {gpus} GPUs: lower it")


def unfinished(
    dataset: ImageDataset,
    places: Sequence[int],
    batch_size: int,
    methods: Sequence[str],
    store: Store,
) -> list[list[int]]:
    """Cut the images into batches, and select those of which a row is missing.

    Args:
        dataset: Images of a split.
        places: Places of the images in the data set.
        batch_size: Number of images in all batches but the last.
        methods: Names of the methods. The references come before all of them, so they need not be looked for, unless
            one failed.
        store: Store of the rows so far.

    Returns:
        Whole batches, in order, as places of the data set.
    """
    # Whole batches, though a part may be done: how many images are computed together moves their last digits.
    starts = range(0, len(places), batch_size)
    batches = [list(places[start : start + batch_size]) for start in starts]
    failed = {image for images in store.failed.values() for image in images}

    def lacks_rows(batch: list[int]) -> bool:
        ids = [dataset.ids[place] for place in batch]
        if failed & set(ids):
            return True
        return not all(store.has(name, ids) for name in (ORIGINAL, *methods))

    # without methods only references can be missing, and which images have them is known when they are loaded
    return [batch for batch in batches if not methods or lacks_rows(batch)]


class Workload(NamedTuple):
    """Images that are to be scored, in batches.

    Attributes:
        dataset: Images of a split.
        batches: Places of the images of each batch.
        workers: Number of processes that load images, for each process that computes.
    """

    dataset: ImageDataset
    batches: Sequence[list[int]]
    workers: int = 0

    @property
    def total(self) -> int:
        """Return the number of images."""
        return sum(len(batch) for batch in self.batches)

    def loader(self) -> DataLoader[Batch]:
        """Load the batches, in order."""
        return DataLoader(
            self.dataset,
            batch_sampler=_Listed(self.batches),
            collate_fn=collate,
            num_workers=self.workers,
            worker_init_fn=end_with_parent,
        )

    def share(self, rank: int, count: int) -> "Workload":
        """Take the share of a process.

        Args:
            rank: Rank of the process.
            count: Number of processes.
        """
        # every so many batches, and not a block of them: then all processes end at about the same time
        return self._replace(batches=self.batches[rank::count])


class _Listed:
    """Batches that are known beforehand, as a DataLoader wants them."""

    def __init__(self, batches: Sequence[list[int]]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def evaluate_together(count: int, subject: Subject, workload: Workload, store: Store, scoring: Scoring) -> None:
    """Score every method on every image, by one process or several.

    On a CPU the processes share the threads of one. How a sum is split among threads moves its last digit: results are
    the same to the last digit where each process has the threads that the single one had (OMP_NUM_THREADS).

    Args:
        count: Number of processes; several take the device of one GPU's name as "cuda".
        subject: Classifier and methods.
        workload: Images.
        store: Store of the rows so far; it has all of them afterwards.
        scoring: Questions to every mask.

    Raises:
        InputError: A method refuses every image of its first batch.
    """
    count = min(count, len(workload.batches))
    if count <= 1:
        return evaluate(subject, workload.loader(), store, scoring, total=workload.total)
    accelerator, _, _ = subject.device.partition(":")
    # spawned and not forked: CUDA does not work in a process that was forked after its first use
    fabric = Fabric(accelerator=accelerator, devices=count, strategy="ddp_spawn")
    launch: Any = fabric.launch  # its annotation knows no arguments beside the Fabric
    # what is handed to a process must not lie on the device of another one
    subject.explanandum.cpu()
    environment = dict(os.environ)
    if "OMP_NUM_THREADS" not in environment:
        # all processes with all threads would wait for one another
        os.environ["OMP_NUM_THREADS"] = str(max(1, torch.get_num_threads() // count))
    try:
        with children_stop_too():
            launch(_evaluate_share, subject, workload, store, scoring)
    except ProcessRaisedException as error:
        raise refusal(error) or error from error
    finally:
        # all of it: Fabric's launcher sets variables as well
        os.environ.clear()
        os.environ.update(environment)
        # after an error too: the rows that are done stand in the one file then
        store.gather()
        subject.explanandum.to(subject.device)
    return None


def _evaluate_share(fabric: Fabric, subject: Subject, workload: Workload, store: Store, scoring: Scoring) -> None:
    """Score the share of this process."""
    end_with_parent()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # rows are on the disk as they come: there is nothing to save
    rank = fabric.global_rank
    share = workload.share(rank, fabric.world_size)
    on_device = subject._replace(device=str(fabric.device))
    store_of_process = store.of_process(rank)
    # one process shows its progress for all, which are about as far as it is
    evaluate(on_device, share.loader(), store_of_process, scoring, total=share.total, quiet=rank > 0)


def refusal(error: Exception) -> InputError | None:
    r"""Read the input error that a process ended with from its traceback.

    Args:
        error: Error of the launcher, whose text holds the traceback.

    Returns:
        Input error; None where the process ended with another one.

    Example:
        >>> refusal(RuntimeError("Traceback …\nexplainer.errors.InputError: no such layer"))
        InputError('no such layer')
    """
    match = re.search(r"^explainer\.errors\.InputError: (.*)$", str(error), re.MULTILINE)
    return None if match is None else InputError(match[1])
