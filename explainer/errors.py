"""The exceptions that a person is meant to read, and the one place where an error becomes a line."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager

LARGEST_SEED = 2**32 - 1
"""Largest seed that all generators of the project take: NumPy's takes 32 bits."""


_UNWRITTEN = ("PytorchStreamWriter failed", "unexpected pos")
"""Words of PyTorch where the disk did not take a checkpoint."""


class InputError(ValueError):
    """Something that the user gave (file, key, shape, checkpoint) cannot be used.

    The message is one line: it names the file, key or shape and says what to do. The command line prints it
    without a traceback and exits with status 2.
    """


class WorkError(RuntimeError):
    """Something outside stopped the work after it had begun: a full disk, too little memory, a folder that is gone.

    The message is one line, which also says what is kept. The command line exits with status 1.
    """


@contextmanager
def working(remains: str) -> Iterator[None]:
    """Turn what the machine refuses while the block runs into a `WorkError`.

    Args:
        remains: Words for the error: the part of the work that is kept, and how to go on.

    Raises:
        WorkError: The disk or the memory failed.

    Example:
        >>> with working("what is done is in results/x"): raise OSError(28, "No space left on device", "results/x/a")
        Traceback (most recent call last):
        ...
        explainer.errors.WorkError: No space left on device: results/x/a; what is done is in results/x
    """
    try:
        yield
    except Exception as error:
        if not is_refusal(error):
            raise
        raise WorkError(f"{plain_words(error)}; {remains}") from error


def is_refusal(error: BaseException) -> bool:
    """Tell whether the machine, not the program, is at fault: disk, permissions, or memory.

    Args:
        error: Any exception; PyTorch's are known by their names and words, since this file imports nothing.

    Example:
        >>> is_refusal(PermissionError()), is_refusal(KeyError("a"))
        (True, False)
    """
    if isinstance(error, OSError | MemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    # by words: PyTorch has no classes of its own for these
    words = str(error)
    return (
        type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in words
        or any(sign in words for sign in _UNWRITTEN)
    )


def plain_words(error: BaseException) -> str:
    """Return what an error says in one line: of an OSError, what the system says and of which file.

    Args:
        error: Any exception.

    Example:
        >>> plain_words(FileNotFoundError(2, "No such file or directory", "a/b"))
        'No such file or directory: a/b'
    """
    if isinstance(error, OSError) and error.strerror:
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        if not names:
            return error.strerror
        return f"{error.strerror}: {' -> '.join(names)}"
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        return "there is not enough memory"
    if any(sign in str(error) for sign in _UNWRITTEN):
        return "a checkpoint could not be written: is the disk full?"
    return one_line(error)


def input_error(error: BaseException | None) -> InputError | None:
    """Return the input error that another error came from, if any.

    Args:
        error: Any exception, or None.

    Example:
        >>> input_error(ValueError("a number")) is None
        True
    """
    # a library that wraps an error does not always name it as the cause
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__ or error.__context__
    return error


def one_line(error: BaseException) -> str:
    """Return an error as a record holds it: its class, and the first line of what it says.

    Args:
        error: Any exception.

    Returns:
        At most some 200 characters.

    Example:
        >>> one_line(KeyError("b"))
        "KeyError: 'b'"
    """
    words = str(error).strip() or "no message"
    return f"{type(error).__name__}: {words.splitlines()[0][:200]}"


def missing_extra(words: str, extra: str) -> InputError:
    """Return the error of an optional library that is not installed.

    Args:
        words: Words for what needs it.
        extra: Extra of the distribution that brings it.

    Example:
        >>> str(missing_extra("a search needs Optuna", "search"))
        "a search needs Optuna: pip install 'saliency-explainer[search]'"
    """
    return InputError(f"{words}: pip install 'saliency-explainer[{extra}]'")


def check_range(key: str, value: float, low: float = -math.inf, high: float = math.inf, *, above: bool = False) -> None:
    """Refuse a number outside of its range, one that is no number, and an infinite one.

    Args:
        key: Name of the number for the error, such as "evaluation.images.limit" or "infill Blur: sigma".
        value: Number to check.
        low: Lower end of the range, which is part of it.
        high: Upper end of the range, which is part of it.
        above: Whether the lower end is not part of the range.

    Raises:
        InputError: Names the key, the range and the value.

    Example:
        >>> check_range("data.flip", 0.5, 0, 1)
        >>> check_range("infill Blur: sigma", 0.0, 0, above=True)
        Traceback (most recent call last):
        ...
        explainer.errors.InputError: infill Blur: sigma must be above 0, got 0.0
    """
    high_enough = value > low if above else value >= low
    # NaN fails every comparison; infinity is in a range without an end, and is refused all the same
    if high_enough and value <= high and math.isfinite(value):
        return
    if math.isfinite(high):
        bracket = "(" if above else "["
        bounds = f"lie in {bracket}{low:g}, {high:g}]"
    else:
        comparison = "above" if above else "at least"
        bounds = f"be {comparison} {low:g}"
    raise InputError(f"{key} must {bounds}, got {value}")


def check_seed(key: str, seed: int) -> None:
    """Refuse a seed that a generator would refuse, or take for another one.

    Args:
        key: Name of the seed for the error.
        seed: Seed to check; the range is [0, 2³² − 1].

    Raises:
        InputError: Names the key.

    Example:
        >>> check_seed("attribution RISE: seed", 3)
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"{key} must lie in [0, {LARGEST_SEED}], got {seed}")


def check_processes_wanted(key: str, count: int | None) -> None:
    """Refuse a number of processes under which a machine would only be busy with them.

    Args:
        key: Key of the config.
        count: Number of processes; None leaves it to the project.

    Raises:
        InputError: The number is not positive, or more than four a core (and more than 16).

    Example:
        >>> check_processes_wanted("evaluation.processes", 2)
    """
    if count is None:
        return
    # a small machine may still try what a large one does, in a test for example
    most = max(16, 4 * (os.cpu_count() or 1))
    if not 1 <= count <= most:
        raise InputError(f"{key} must be positive and at most {most}, four for each core here, got {count}")
