"""Check the numbers that a user gives a data set."""

import os

from pytorch_lightning.utilities.rank_zero import rank_zero_warn

from explainer.errors import InputError

LARGEST_SEED = 2**32 - 1
_WORKERS_A_CORE = 4
"""Most loader processes a core: more than one may help where they wait for a disk, hundreds only take memory."""


def within(name: str, value: float, low: float, high: float | None = None) -> None:
    """Refuse a number outside its bounds.

    Args:
        name: Key below data.init_args.
        value: Number that the user gave.
        low: Smallest value allowed.
        high: Largest value allowed; None for no bound.

    Raises:
        InputError: The value lies outside, or is NaN; names the key.

    Example:
        >>> within("flip", 0.5, 0, 1)
        >>> within("flip", float("nan"), 0, 1)
        Traceback (most recent call last):
        ...
        explainer.errors.InputError: data.init_args.flip must lie between 0 and 1, got nan
    """
    # "not >=" and not "<", so that NaN is refused too
    if high is None and not value >= low:
        raise InputError(f"data.init_args.{name} must be at least {low}, got {value}")
    if high is not None and not low <= value <= high:
        raise InputError(f"data.init_args.{name} must lie between {low} and {high}, got {value}")


def share(name: str, value: float) -> None:
    """Refuse a share that leaves nothing on one of its two sides.

    Args:
        name: Key below data.init_args.
        value: Share that the user gave.

    Raises:
        InputError: The value is not between 0 and 1, or is one of them; names the key.

    Example:
        >>> share("val_fraction", 0.1)
    """
    if not 0 < value < 1:
        raise InputError(f"data.init_args.{name} must lie between 0 and 1, got {value}")


def worker_count(asked: int | None) -> int:
    """Count the loader processes: as asked, within what the machine can serve.

    Args:
        asked: Number of processes, 0 for none beside the main one; None takes one a core, at most 8.

    Raises:
        InputError: The number is negative.

    Example:
        >>> worker_count(0)
        0
    """
    cores = os.cpu_count() or 1
    if asked is None:
        # eight, as every process takes memory, on a machine of a hundred cores too; who needs more says so
        return min(8, cores)
    within("num_workers", asked, 0)
    most = _WORKERS_A_CORE * cores
    if asked > most:
        rank_zero_warn(f"data.init_args.num_workers {asked} is too many for {cores} cores: {most}")
    return min(asked, most)
