"""What the numbers of a data set may be, checked where the user said them."""

from explainer.errors import InputError

LARGEST_SEED = 2**32 - 1


def within(name: str, value: float, low: float, high: float | None = None) -> None:
    """Refuse a number outside its bounds.

    Args:
        name: Key below data.init_args.
        value: What the user said.
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
    if high is None and not value >= low:
        raise InputError(f"data.init_args.{name} must be at least {low}, got {value}")
    if high is not None and not low <= value <= high:
        raise InputError(f"data.init_args.{name} must lie between {low} and {high}, got {value}")
