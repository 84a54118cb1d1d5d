"""What `explainer rows` does: the rows of results as JSON lines, wherever they are held."""

import argparse

from explainer.cli.terminal import say
from explainer.errors import InputError
from explainer.evaluation.storage.reading import ROWS, read_folder
from explainer.files import write_lines


def export_rows(options: argparse.Namespace) -> None:
    """Write all rows of a folder as JSON lines, failures among them.

    Args:
        options: Options of the command line.

    Raises:
        InputError: The folder holds no rows, or the file to write is the one that they are read from.
    """
    out = options.out or options.folder / "all_rows.jsonl"
    if out.resolve() == (options.folder / ROWS).resolve():
        raise InputError(f"{out} holds the rows themselves: choose another file with --out")
    rows = read_folder(options.folder)
    if not rows:
        raise InputError(f"{options.folder} holds no rows of results: name a folder below results/")
    write_lines(out, rows)
    say(f"{len(rows)} rows are written to {out}")
