"""An evaluation by several processes, each with whole batches of its own; the results are those of one process.

Lightning's Fabric starts the processes and gives each its device. They have nothing to say to one another: each appends
to a file of its own, and when all have ended the rows are gathered, whatever number of processes goes on later. Batches
are those of a single process, so that every image is computed beside the same others.
"""

import os
import re
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from lightning_fabric import Fabric
from torch.multiprocessing import ProcessRaisedException
from torch.utils.data import DataLoader

from explainer.attribution import Attribution
from explainer.data import Batch, ImageDataset, collate
from explainer.errors import InputError
from explainer.evaluation.references import ORIGINAL
from explainer.evaluation.scoring.loop import Scoring, evaluate
from explainer.evaluation.storage.store import Store
from explainer.networks import Explanandum
from explainer.stopping import end_with_parent


def check_processes(count: int, device: str) -> None:
    """Refuse more processes than there are GPUs, before the long work.

    Args:
        count: Number of processes.
        device: Where they compute.

    Raises:
        InputError: Says how many there are.

    Example:
        >>> check_processes(4, "cpu")
    """
    if count > 1 and device.startswith("cuda") and count > torch.cuda.device_count():
        raise InputError(f"evaluation.processes is {count}, and there are {torch.cuda.device_count()} GPUs: lower it")


def unfinished(
    dataset: ImageDataset, places: Sequence[int], batch_size: int, methods: Sequence[str], store: Store
) -> list[list[int]]:
    """The batches, as places of a data set, of which a row is missing.

    Args:
        dataset: A split.
        places: Places of the images.
        batch_size: Images in all batches but the last.
        methods: Names; the references come before all of them, so they need not be looked for, unless one failed.
        store: Rows so far.

    Returns:
        Whole batches, in order.
    """
    batches = [list(places[start : start + batch_size]) for start in range(0, len(places), batch_size)]
    failed = {image for images in store.failed.values() for image in images}

    def open_still(batch: list[int]) -> bool:
        ids = [dataset.ids[place] for place in batch]
        return bool(failed & {*ids}) or not all(store.has(name, ids) for name in (ORIGINAL, *methods))

    return [batch for batch in batches if open_still(batch) or not methods]


def loader(dataset: ImageDataset, batches: Sequence[list[int]], workers: int) -> DataLoader:
    """These batches of a data set, in order.

    Args:
        dataset: A split.
        batches: Places of each.
        workers: Processes that load.
    """
    return DataLoader(
        dataset, batch_sampler=_Listed(batches), collate_fn=collate, num_workers=workers, worker_init_fn=end_with_parent
    )


class _Listed:
    def __init__(self, batches: Sequence[list[int]]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def evaluate_together(
    count: int,
    explanandum: Explanandum,
    methods: dict[str, Attribution],
    dataset: ImageDataset,
    batches: Sequence[list[int]],
    workers: int,
    store: Store,
    scoring: Scoring,
    *,
    device: str,
) -> None:
    """Score every method on every image, by one process or several.

    On a CPU the processes share the threads of one. How a sum is split among threads moves its last digit: results are
    the same to the last digit where each process has the threads that the single one had (OMP_NUM_THREADS).

    Args:
        count: Number of processes.
        explanandum: The frozen classifier.
        methods: Name → method.
        dataset: A split.
        batches: Places of each.
        workers: Processes that load images, for each that computes.
        store: Rows so far; it has all of them afterwards.
        scoring: What is asked of every mask.
        device: "cpu", "cuda", or one GPU's name, which several processes take as "cuda".

    Raises:
        InputError: A method refuses every image of its first batch.
    """
    count = min(count, len(batches))
    if count <= 1:
        total = sum(map(len, batches))
        images = loader(dataset, batches, workers)
        return evaluate(explanandum, methods, images, store, scoring, total=total, device=device)
    fabric = Fabric(accelerator=device.split(":")[0], devices=count, strategy="ddp_spawn")
    launch: Any = fabric.launch  # its annotation knows no arguments beside the Fabric
    explanandum.cpu()  # what a process is handed must not lie on another's device
    environment = dict(os.environ)
    if "OMP_NUM_THREADS" not in environment:
        os.environ["OMP_NUM_THREADS"] = str(max(1, torch.get_num_threads() // count))
    try:
        launch(_share, explanandum, methods, dataset, batches, workers, store, scoring)
    except ProcessRaisedException as error:
        raise refusal(error) or error from error
    finally:
        os.environ.clear()
        os.environ.update(environment)
        store.gather()
        explanandum.to(device)
    return None


def _share(
    fabric: Fabric,
    explanandum: Explanandum,
    methods: dict[str, Attribution],
    dataset: ImageDataset,
    batches: Sequence[list[int]],
    workers: int,
    store: Store,
    scoring: Scoring,
) -> None:
    end_with_parent()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # rows are on the disk as they come: there is nothing to save
    rank = fabric.global_rank
    mine: Sequence[list[int]] = batches[rank :: fabric.world_size]
    images: DataLoader[Batch] = loader(dataset, mine, workers)
    total, device = sum(map(len, mine)), str(fabric.device)
    own_store = store.of_process(rank)
    evaluate(explanandum, methods, images, own_store, scoring, total=total, device=device, quiet=rank > 0)


def refusal(error: Exception) -> InputError | None:
    r"""The input error that a process ended with, read from its traceback, if it was one.

    Example:
        >>> refusal(RuntimeError("Traceback …\nexplainer.errors.InputError: no such layer"))
        InputError('no such layer')
    """
    found = re.search(r"^explainer\.errors\.InputError: (.*)$", str(error), re.MULTILINE)
    return InputError(found[1]) if found else None
