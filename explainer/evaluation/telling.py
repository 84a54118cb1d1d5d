"""What a person sees of a run while it works and when it is done: bars, tables, lines.

Results are on the disk before anything of them is printed, so that an output which nobody takes loses nothing. Bars go
to the standard error, for the same reason.
"""

import sys
from collections.abc import Iterable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from explainer.files import printable


def bars(*, quiet: bool = False, counted: bool = True) -> Progress:
    """Return progress bars on the standard error.

    Args:
        quiet: Show none.
        counted: Show how many of how many are done.

    Returns:
        A context manager.
    """
    counts = (MofNCompleteColumn(),) if counted else ()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), *counts, TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=quiet)


def tell(lines: Iterable[str]) -> None:
    r"""Print lines, whatever the names in them hold.

    Args:
        lines: A line each.

    Example:
        >>> tell(["failed: a\nb"])
        failed: a b
    """
    for line in lines:
        print(printable(line))


def show_tables(tables: Iterable[Table], width: int) -> None:
    """Print tables, whose cells were escaped when they were made.

    Args:
        tables: One below the other.
        width: In characters, where the output is no terminal.
    """
    if sys.stdout is None:  # closed before Python began; `print` keeps silent then
        return
    console = Console(width=None if sys.stdout.isatty() else width)
    for table in tables:
        console.print(table)
