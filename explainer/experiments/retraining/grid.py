"""A grid of trainings: which cells there are, which are done, running the others, whatever becomes of each."""

import contextlib
import json
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

from explainer.errors import InputError, one_line
from explainer.files import append_lines, write_text
from explainer.stopping import Stopped, end_with_parent, exit_status, raise_stopped
from explainer.training.runs import by_class

_PATIENCE = 60
"""Seconds that a stopped cell has to save."""


class Cell(NamedTuple):
    """One training: its name, and what it is in the table."""

    name: str
    facts: dict[str, Any]


def read_cells(path: Path, fingerprint: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Read the finished cells of an earlier call, or begin the file of a new grid.

    Args:
        path: A JSON line a cell; the first line is the fingerprint. Lines that a crash tore are taken out, so that
            their cells are trained again.
        fingerprint: What all cells depend on.

    Returns:
        Name → result.

    Raises:
        InputError: The file holds cells of another grid, or does not tell of which.
    """
    now = json.loads(json.dumps(fingerprint, default=str))
    lines = path.read_bytes().splitlines() if path.is_file() else []
    values = [parsed(line) for line in lines]
    rows = [row for row in values if row is not None and {"cell", "score"} <= set(row)]
    first = values[0] if values else None
    if first is None or not isinstance(first.get("fingerprint"), dict):
        if rows:
            raise InputError(f"{path}: its first line is damaged, so that nothing tells what its cells are: delete it")
        write_text(path, json.dumps({"fingerprint": now}) + "\n", sync=True)
        return {}
    then = first["fingerprint"]
    changed = [key for key in {**now, **then} if by_class(now.get(key)) != by_class(then.get(key))]
    if changed:
        raise InputError(f"{path} holds cells with another {', '.join(changed)}: delete the folder, or name another")
    if len(rows) + 1 < len(lines) or not path.read_bytes().endswith(b"\n"):
        write_text(path, "".join(json.dumps(row) + "\n" for row in (first, *rows)), sync=True)
    return {row["cell"]: row for row in rows}


def parsed(line: bytes) -> dict[str, Any] | None:
    """The object in a line, or None where a crash has torn it.

    Example:
        >>> parsed(b'{"cell": "a"}'), parsed(b'{"cel')
        ({'cell': 'a'}, None)
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


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
        cells: Those to run.
        work: Called with `arguments(cell)`; returns plain values.
        arguments: Of a cell; can be pickled.
        path: File of the results, as `read_cells` left it.
        workers: Processes; each gets its share of the cores, and its own GPU where there are several.
        logs: Folder for what each cell prints.
        tidy: Removes what a cell has left, once its result is safely on the disk.

    Returns:
        Name → error in one line, of the cells that failed; the others went on.

    Raises:
        Stopped: Ctrl-C or SIGTERM; says how many cells are done.
    """
    failed: dict[str, str] = {}
    logs.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    calls = [(cell, (work, arguments(cell), str(logs / f"{cell.name}.log"))) for cell in cells]
    done = 0
    try:
        with Progress(*columns, console=Console(file=sys.stdout)) as progress:  # also while a cell's output goes away
            task = progress.add_task("retraining", total=len(cells))
            for cell, result, error in _results(calls, workers):
                if error:
                    failed[cell.name] = error
                else:
                    append_lines(path, [{"cell": cell.name} | cell.facts | result], sync=True)
                    done += 1
                    tidy(cell)
                progress.update(task, advance=1, description=f"retraining ({len(failed)} failed)")
    except KeyboardInterrupt as error:
        number = error.number if isinstance(error, Stopped) else signal.SIGINT
        message = f"stopped; {done} of {len(cells)} cells were done here, and the same command goes on from there"
        raise Stopped(message, number) from None
    return failed


def _results(calls: Sequence[tuple[Cell, tuple]], workers: int) -> Iterator[tuple[Cell, dict[str, Any], str]]:
    """Cell, result and error, as they come: in this process, or in several."""
    if workers == 1:
        for cell, call in calls:
            yield cell, *_guarded(*call)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _prepare, (context.Value("i", 0), workers)) as pool:
        futures = {pool.submit(_in_worker, *call): cell for cell, call in calls}
        children = multiprocessing.active_children()
        try:
            for future in as_completed(futures):
                broken = future.exception()  # of the process itself
                yield futures[future], *(future.result() if broken is None else ({}, one_line(broken)))
        except (KeyboardInterrupt, GeneratorExit):
            pool.shutdown(wait=False, cancel_futures=True)
            _end(children)
            raise


def _end(processes: Sequence[Any]) -> None:
    """Let processes save what they are at, but not for ever."""
    try:
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + _PATIENCE
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
    finally:  # a second Ctrl-C as well
        for process in processes:
            process.kill()


def _prepare(counter: Any, workers: int) -> None:
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes; the first one decides
    signal.signal(signal.SIGTERM, raise_stopped)
    with counter.get_lock():
        number = counter.value
        counter.value += 1
    logging.disable(logging.INFO)  # what Lightning says of each of a hundred cells
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
    count = torch.cuda.device_count()
    if count > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(number % count)


def _in_worker(*call: Any) -> tuple[dict[str, Any], str]:
    """`_guarded`; when this process is told to end it does, while the pool would have it take the next cell."""
    try:
        return _guarded(*call)
    except KeyboardInterrupt as error:
        os._exit(exit_status(error))


def _guarded(work: Callable[..., dict[str, Any]], arguments: tuple, log: str) -> tuple[dict[str, Any], str]:
    """The result, or the error in one line; what is printed goes to the log."""
    with (
        Path(log).open("w", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        try:
            return work(*arguments), ""
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            return {}, one_line(error)
