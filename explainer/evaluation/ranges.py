"""Checks of the values in a config; each error names the key."""

from collections.abc import Iterable, Sequence

from explainer.errors import InputError, check_range
from explainer.evaluation.storage.fingerprint import slug
from explainer.files import printable
from explainer.metrics.localisation import ALPHAS

LONGEST = 200
"""Characters of a name."""


def check_levels(level: float | None, alpha: float | None, held_out: int) -> None:
    """Refuse levels under which everything or nothing would be salient.

    Args:
        level: Level of masks, in [0, 1), or None.
        alpha: Multiple of a map's mean, in [0, 5], or None.
        held_out: Number of held-out images, at least 1.

    Raises:
        InputError: Names the key.

    Example:
        >>> check_levels(0.5, None, 50)
    """
    # nothing lies above a level of 1, which is a mask's largest value
    if level is not None and not 0 <= level < 1:
        raise InputError(f"evaluation.salient.level must lie in [0, 1), got {level}")
    if alpha is not None:
        check_range("evaluation.salient.alpha", alpha, 0, ALPHAS[-1])
    if held_out < 1:
        raise InputError(f"evaluation.salient.held_out must be positive, got {held_out}")


def check_names(key: str, names: Iterable[str]) -> None:
    """Refuse names that no table, file or picture could show.

    Args:
        key: Key of the config.
        names: Names of methods, in-fills, columns.

    Raises:
        InputError: A name is empty, too long, or has line ends or control characters.

    Example:
        >>> check_names("evaluation.methods", ["Gradient, SmoothGrad²"])
    """
    for name in names:
        if not name.strip():
            raise InputError(f"{key}: a name is empty")
        if len(name) > LONGEST:
            start = f"{name[:30]} …"
            raise InputError(f"{key}: a name has {len(name)} characters, at most {LONGEST} can be shown: {start}")
        if printable(name) != name:
            raise InputError(f"{key}: the name {name!r} has a line end or another character that cannot be shown")


def check_different_files(key: str, names: Iterable[str]) -> None:
    """Refuse names that would be one file's, whose results would overwrite each other's.

    Args:
        key: Key of the config.
        names: Names that each have files or folders of their own.

    Raises:
        InputError: Names the two.

    Example:
        >>> check_different_files("retraining.methods", ["Grad-CAM", "RISE"])
    """
    seen: dict[str, str] = {}
    for name in names:
        # some file systems do not tell capital letters apart
        other = seen.setdefault(slug(name).casefold(), name)
        if other != name:
            raise InputError(f"{key}: {other!r} and {name!r} would have the same files: give one another name")


def check_different(key: str, values: Sequence[object] | None) -> None:
    """Refuse a list that is empty, or that has an entry twice.

    Args:
        key: Key of the config.
        values: Entries of the list; numbers that files' names show alike count as the same. None means no list.

    Raises:
        InputError: Names the entry that is there twice.

    Example:
        >>> check_different("retraining.seeds", [0, 1])
    """
    if values is None:
        return
    if not values:
        raise InputError(f"{key} is empty: name at least one, or leave it out")
    # as files' names show them: two fractions that differ in the tenth digit would share a file
    shown = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
    for n, word in enumerate(shown):
        if word in shown[:n]:
            raise InputError(f"{key} has {word} twice")
