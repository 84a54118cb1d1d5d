"""Run the cells of a grid by a launcher; a cell that fails does not stop the others.

This process alone writes the results, one line a cell: what a cell returns comes back to it in plain values.
"""

import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from explainer.files import append_lines
from explainer.launching.base import Launcher
from explainer.launching.call import Call
from explainer.stopping import Stopped


class Cell(NamedTuple):
    """One training, or another long work.

    Attributes:
        name: Name of the cell, of its log and of its run.
        facts: Columns of the cell in the table, such as method and seed.
    """

    name: str
    facts: dict[str, object]


class Folders(NamedTuple):
    """Where a grid writes.

    Attributes:
        results: File of the results, a JSON line for each finished cell.
        logs: Folder for what each cell prints.
        jobs: Folder for what an engine writes.
    """

    results: Path
    logs: Path
    jobs: Path

    @classmethod
    def below(cls, out: Path) -> "Folders":
        """Return those of a folder of results.

        Args:
            out: Folder of the results.
        """
        return cls(out / "cells.jsonl", out / "logs", out / "jobs")


def run_cells(
    cells: Sequence[Cell],
    work: Callable[..., dict[str, Any]],
    arguments: Callable[[Cell], tuple],
    folders: Folders,
    launcher: Launcher,
    tidy: Callable[[Cell], object] = lambda cell: None,
    what: str = "retraining",
) -> dict[str, str]:
    """Run cells, and record each result as it comes.

    Args:
        cells: Cells to run.
        work: Function that is called with `arguments(cell)` and returns plain values.
        arguments: Function from a cell to arguments of `work`, which can be pickled.
        folders: Files and folders of the grid; the results are there, as `read_cells` left them.
        launcher: Way to run the cells.
        tidy: Function that removes what a cell has left, once its result is safely on the disk.
        what: Word for the progress bar.

    Returns:
        Name → error in one line, of the cells that failed, in the order of the cells; the others went on.

    Raises:
        Stopped: Ctrl-C or SIGTERM; says how many cells are done.
    """
    errors: dict[str, str] = {}
    folders.logs.mkdir(parents=True, exist_ok=True)
    by_name = {cell.name: cell for cell in cells}
    calls = []
    for cell in cells:
        calls.append(Call(cell.name, work, arguments(cell), str(folders.logs / f"{cell.name}.log")))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # this stream, whatever sys.stdout is while the output of a cell in this process goes to its log
    console = Console(file=sys.stdout)
    done = 0
    retried = 0
    try:
        with Progress(*columns, console=console) as progress, closing(launcher.run(calls, folders.jobs)) as endings:
            task = progress.add_task(what, total=len(cells))
            for call, ending in endings:
                cell = by_name[call.name]
                if ending.lost:
                    retried += 1
                elif ending.error:
                    errors[cell.name] = ending.error
                else:
                    # the order matters: what a cell has left goes only when its score cannot be lost any more
                    row = {"cell": cell.name} | cell.facts | ending.result
                    append_lines(folders.results, [row], sync=True)
                    done += 1
                    tidy(cell)
                description = f"{what} ({len(errors)} failed, {retried} retried)"
                progress.update(task, completed=done + len(errors), description=description)
    except KeyboardInterrupt as error:
        number: int = signal.SIGINT
        if isinstance(error, Stopped):
            number = error.number
        message = f"stopped; {done} of {len(cells)} cells were done here, and the same command goes on from there"
        raise Stopped(message, number) from None
    return {cell.name: errors[cell.name] for cell in cells if cell.name in errors}
