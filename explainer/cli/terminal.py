"""Lines for a person at a terminal: no name, encoding or closed stream is a reason to fail after the work."""

import contextlib
import os
import sys
from pathlib import Path
from typing import TextIO

from explainer.files import printable

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
