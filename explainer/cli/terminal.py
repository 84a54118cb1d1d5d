"""What a person at a terminal sees of a command: its lines, and the one place where an error becomes one.

No name, encoding or closed stream is a reason to fail after the work.
"""

import contextlib
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from explainer.errors import WorkError, input_error, is_refusal, one_line, plain_words
from explainer.files import printable
from explainer.stopping import exit_status, heeding_sigterm, last_words

SHOW_TRACEBACK = "EXPLAINER_TRACEBACK"
"""Environment variable: when it is set, errors come with Python's traceback, for those who look into the project."""

_LONGEST = 600
"""Characters of a line; a longer one loses its middle."""


def open_streams() -> bool:
    """Make standard output and error usable: closed ones go nowhere, and characters that they lack become codes.

    Returns:
        Whether there is a standard output.
    """
    has_output = sys.stdout is not None
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # Python's way of saying that the stream was closed when it started
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        with contextlib.suppress(AttributeError, OSError, ValueError):
            getattr(sys, name).reconfigure(errors="backslashreplace")
    return has_output


def say(line: str) -> None:
    """Print a line for a person to the standard error; where nobody takes it, nothing happens.

    Args:
        line: Line to print. Line ends and control characters in it, which may come from a file's name, are replaced.
    """
    if len(line) > _LONGEST:  # such as a path of two hundred thousand letters
        half = _LONGEST // 2
        line = f"{line[:half]} … {line[-half:]}"
    try:
        print(printable(line), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        mute(sys.stderr)


def mute(stream: TextIO) -> None:
    """Let a stream that cannot be written go nowhere: Python would flush it once more at its end, and fail.

    Args:
        stream: Standard output or error.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def run(command: Callable[[], object], *, unforeseen: int = 1, stopped: str = "") -> int:
    """Run a command for a person: every error is one line.

    Args:
        command: Does the work, its imports included. What it returns may name failures under "failed".
        unforeseen: Exit status of an error that nobody foresaw: 1 where work may have been done by then, 2 for a
            command that does all or nothing.
        stopped: Words for Ctrl-C; "" says that the command goes on from what is done.

    Returns:
        The exit status: 0, 1 when the work failed or a part of it did, 2 when something given cannot be used, 130 at
        Ctrl-C, 143 at SIGTERM.

    Example:
        >>> run(lambda: {"failed": {}}), run(lambda: {"failed": {"Box": "no box"}})
        (0, 1)
    """
    streams_are_open = open_streams()
    try:
        with heeding_sigterm():
            results = command()
        # images that failed are in the results, and the command went on past them: a script has to see it all the same
        status = int(isinstance(results, dict) and bool(results.get("failed")))
    except SystemExit as error:
        status = status_of(error)
    except KeyboardInterrupt as error:
        say(str(error) or stopped or last_words(error))
        status = exit_status(error)
    except Exception as error:
        status = report_error(error, unforeseen)
    if streams_are_open:
        status = flushed(status)
    return status


def status_of(error: SystemExit) -> int:
    """Return the exit status that Python itself would give: 0 for none, 1 for a text, which it prints.

    Args:
        error: Exit that the command asked for, such as argparse after `--help`.

    Example:
        >>> status_of(SystemExit()), status_of(SystemExit(2)), status_of(SystemExit("no"))
        (0, 2, 1)
    """
    if error.code is None:
        return 0
    return error.code if isinstance(error.code, int) else 1


def report_error(error: Exception, unforeseen: int = 1) -> int:
    """Print what went wrong in one line.

    Args:
        error: What the command raised.
        unforeseen: Exit status of an error that nobody foresaw.

    Returns:
        Exit status: 2 when something given cannot be used, 1 when the work failed.
    """
    if os.environ.get(SHOW_TRACEBACK):
        traceback.print_exception(error)
    # it may lie below what a library made of it: the parser, the loader's workers
    refusal = input_error(error)
    if refusal is not None:
        say(f"error: {refusal}")
        return 2
    if isinstance(error, WorkError):
        say(f"error: {error}")
        return 1
    # by its name: to import Lightning takes seconds
    if type(error).__name__ == "MisconfigurationException":
        say(f"error: the Trainer refuses its settings: {one_line(error).partition(': ')[2]}")
        return 2
    if is_refusal(error):
        say(f"error: {plain_words(error)}")
        return 2
    say(f"error: {one_line(error)} (not foreseen; {SHOW_TRACEBACK}=1 shows where)")
    return unforeseen


def flushed(status: int) -> int:
    """Send what is left of the output; where nobody takes it, the results are on the disk all the same.

    Args:
        status: Exit status of the command so far.

    Returns:
        The exit status.
    """
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        mute(sys.stdout)
        say("error: the output could not be written; the results are on the disk")
        return status or 1
    return status
