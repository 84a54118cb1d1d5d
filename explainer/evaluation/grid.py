"""A grid of trainings: which cells there are, which are done, running the others, whatever becomes of each."""

import contextlib
import json
import logging
import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from explainer.errors import InputError, one_line


class Cell(NamedTuple):
    """One training: its name, and what it is in the table."""

    name: str
    facts: dict[str, Any]


def read_cells(path: Path, fingerprint: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Finished cells of an earlier call.

    Args:
        path: A JSON line a cell; the first line is the fingerprint. A torn last line is cut off.
        fingerprint: What all cells depend on.

    Returns:
        Name → result.

    Raises:
        InputError: The file holds cells of another grid.
    """
    now = json.loads(json.dumps(fingerprint, default=str))
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"fingerprint": now}) + "\n")
        return {}
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        path.write_bytes(whole)
    first, *rows = (json.loads(line) for line in whole.splitlines())
    then = first.get("fingerprint", {})
    changed = [key for key in {**now, **then} if now.get(key) != then.get(key)]
    if changed:
        raise InputError(f"{path} holds cells with another {', '.join(changed)}: delete the folder, or name another")
    return {row["cell"]: row for row in rows}


def run_cells(
    cells: Sequence[Cell], work: Callable[..., dict[str, Any]], arguments: Callable[[Cell], tuple], path: Path, *,
    workers: int, logs: Path,
) -> dict[str, str]:  # fmt: skip
    """Run cells, several at once in processes that are used again; append each result as it comes.

    Args:
        cells: Those to run.
        work: Called with `arguments(cell)`; returns plain values.
        arguments: Of a cell; can be pickled.
        path: Of the JSON lines.
        workers: Processes; each gets its share of the cores, and its own GPU where there are several.
        logs: Folder for what each cell prints.

    Returns:
        Name → error in one line, of the cells that failed; the others went on.
    """
    failed: dict[str, str] = {}
    logs.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    calls = [(cell, (work, arguments(cell), str(logs / f"{cell.name}.log"))) for cell in cells]
    with Progress(*columns, console=Console(file=sys.stdout)) as progress:  # also while a cell's output is redirected
        task = progress.add_task("retraining", total=len(cells))
        for cell, result, error in _results(calls, workers):
            if error:
                failed[cell.name] = error
            else:
                with path.open("a") as file:
                    file.write(json.dumps({"cell": cell.name} | cell.facts | result) + "\n")
            progress.update(task, advance=1, description=f"retraining ({len(failed)} failed)")
    return failed


def _results(calls: Sequence[tuple[Cell, tuple]], workers: int) -> Iterator[tuple[Cell, dict[str, Any], str]]:
    """Cell, result and error, as they come: in this process, or in several."""
    if workers == 1:
        for cell, call in calls:
            yield cell, *_guarded(*call)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _prepare, (context.Value("i", 0), workers)) as pool:
        futures = {pool.submit(_guarded, *call): cell for cell, call in calls}
        try:
            for future in as_completed(futures):
                broken = future.exception()  # of the process itself
                yield futures[future], *(future.result() if broken is None else ({}, str(broken)))
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _prepare(counter: Any, workers: int) -> None:
    with counter.get_lock():
        number = counter.value
        counter.value += 1
    logging.disable(logging.INFO)  # what Lightning says of each of a hundred cells
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
    count = torch.cuda.device_count()
    if count > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(number % count)


def _guarded(work: Callable[..., dict[str, Any]], arguments: tuple, log: str) -> tuple[dict[str, Any], str]:
    """The result, or the error in one line; what is printed goes to the log."""
    with Path(log).open("w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        try:
            return work(*arguments), ""
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            return {}, one_line(error)
