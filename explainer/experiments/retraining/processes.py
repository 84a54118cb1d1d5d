"""Run the cells of a grid, in this process or several at once; a cell that fails does not stop the others.

It imports little, because every process of a grid begins with this file.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from explainer.errors import one_line
from explainer.files import append_lines
from explainer.stopping import Stopped, end_with_parent, exit_status, raise_stopped

_PATIENCE = 60
"""Seconds that a stopped cell has to save."""


class Cell(NamedTuple):
    """One training.

    Attributes:
        name: Name of the cell, of its log and of its run.
        facts: Columns of the cell in the table, such as method and seed.
    """

    name: str
    facts: dict[str, object]


def run_cells(
    cells: Sequence[Cell],
    work: Callable[..., dict[str, Any]],
    arguments: Callable[[Cell], tuple],
    path: Path,
    *,
    workers: int,
    logs: Path,
    tidy: Callable[[Cell], object] = lambda cell: None,
) -> dict[str, str]:
    """Run cells, several at once in processes that are used again; record each result as it comes.

    Args:
        cells: Cells to run.
        work: Function that is called with `arguments(cell)` and returns plain values.
        arguments: Function from a cell to arguments of `work`, which can be pickled.
        path: File of the results, as `read_cells` left it.
        workers: Number of processes; each gets its share of the cores, and its own GPU where there are several.
        logs: Folder for what each cell prints.
        tidy: Function that removes what a cell has left, once its result is safely on the disk.

    Returns:
        Name → error in one line, of the cells that failed; the others went on.

    Raises:
        Stopped: Ctrl-C or SIGTERM; says how many cells are done.
    """
    failed: dict[str, str] = {}
    logs.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # this stream, whatever sys.stdout is while the output of a cell in this process goes to its log
    console = Console(file=sys.stdout)
    calls = []
    for cell in cells:
        log = logs / f"{cell.name}.log"
        calls.append((cell, (work, arguments(cell), str(log))))
    done = 0
    try:
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("retraining", total=len(cells))
            for cell, result, error in _results(calls, workers):
                if error:
                    failed[cell.name] = error
                else:
                    # the order matters: what a cell has left goes only when its score cannot be lost any more
                    row = {"cell": cell.name} | cell.facts | result
                    append_lines(path, [row], sync=True)
                    done += 1
                    tidy(cell)
                progress.update(task, advance=1, description=f"retraining ({len(failed)} failed)")
    except KeyboardInterrupt as error:
        number: int = signal.SIGINT
        if isinstance(error, Stopped):
            number = error.number
        message = f"stopped; {done} of {len(cells)} cells were done here, and the same command goes on from there"
        raise Stopped(message, number) from None
    return failed


def _results(calls: Sequence[tuple[Cell, tuple]], workers: int) -> Iterator[tuple[Cell, dict[str, Any], str]]:
    """Yield cell, result and error as they come: from this process, or from several."""
    if workers == 1:
        for cell, call in calls:
            yield cell, *_guarded(*call)
        return
    # CUDA does not work in a process that was forked after its first use
    context = multiprocessing.get_context("spawn")
    counter = context.Value("i", 0)
    with ProcessPoolExecutor(workers, context, _prepare, (counter, workers)) as pool:
        futures = {pool.submit(_in_worker, *call): cell for cell, call in calls}
        # the pool has started all of them by now, and does not tell which they are
        children = multiprocessing.active_children()
        try:
            for future in as_completed(futures):
                broken = future.exception()  # of the process itself: errors of the work are results
                if broken is None:
                    result, error = future.result()
                    yield futures[future], result, error
                else:
                    yield futures[future], {}, one_line(broken)
        except (KeyboardInterrupt, GeneratorExit):
            pool.shutdown(wait=False, cancel_futures=True)
            _end(children)
            raise


def _end(processes: Sequence[Any]) -> None:
    """End processes; they have some time to save what they are at."""
    try:
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + _PATIENCE
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
    finally:  # also at a second Ctrl-C
        for process in processes:
            process.kill()


def _prepare(counter: Any, workers: int) -> None:
    """Make a new process ready: how it is stopped, what it logs, its cores and its GPU."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes; the first one decides
    signal.signal(signal.SIGTERM, raise_stopped)
    with counter.get_lock():
        number = counter.value
        counter.value += 1
    logging.disable(logging.INFO)  # what Lightning says of each of a hundred cells
    cores = os.cpu_count() or 1
    torch.set_num_threads(max(1, cores // workers))
    count = torch.cuda.device_count()
    if count > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(number % count)


def _in_worker(*call: Any) -> tuple[dict[str, Any], str]:
    """Call `_guarded`; end this process when it is told to, while the pool would have it take the next cell."""
    try:
        return _guarded(*call)
    except KeyboardInterrupt as error:
        os._exit(exit_status(error))


def _guarded(work: Callable[..., dict[str, Any]], arguments: tuple, log: str) -> tuple[dict[str, Any], str]:
    """Return the result, and the error in one line or ""; what is printed goes to the log."""
    with (
        Path(log).open("w", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        try:
            return work(*arguments), ""
        except (Exception, SystemExit) as error:  # a command line ends with SystemExit where a config is wrong
            traceback.print_exc()
            return {}, one_line(error)
