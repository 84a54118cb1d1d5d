"""What a person sees of a run while it works and when it is done: bars, tables, lines.

Results are on the disk before anything of them is printed, so that an output which nobody takes loses nothing. Bars go
to the standard error, for the same reason.
"""

import sys
from collections.abc import Iterable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from explainer.files import printable


def bars(*, quiet: bool = False, counted: bool = True) -> Progress:
    """Return progress bars on the standard error.

    Args:
        quiet: Whether none is shown.
        counted: Whether a bar says how many of how many are done.

    Returns:
        A context manager.
    """
    # names of methods and images may hold what looks like markup
    columns: list[ProgressColumn] = [TextColumn("{task.description}", markup=False), BarColumn()]
    if counted:
        columns.append(MofNCompleteColumn())
    columns.append(TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=quiet)


def tell(lines: Iterable[str]) -> None:
    r"""Print lines; characters that a terminal could not show are replaced.

    Args:
        lines: Lines, which may hold names of files and methods.

    Example:
        >>> tell(["failed: a\nb"])
        failed: a b
    """
    for line in lines:
        print(printable(line))


def show_tables(tables: Iterable[Table], width: int) -> None:
    """Print tables, whose cells were escaped when they were made.

    Args:
        tables: Tables, printed one below the other.
        width: Width in characters where the output is no terminal.
    """
    if sys.stdout is None:  # closed before Python began; `print` keeps silent then
        return
    console = Console(width=None if sys.stdout.isatty() else width)
    for table in tables:
        console.print(table)
