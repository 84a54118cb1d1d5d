"""Checks of names in a config against the names that are known."""

from collections.abc import Collection, Sequence

from explainer.errors import InputError


def check_methods(key: str, names: Sequence[str], methods: Collection[str]) -> None:
    """Refuse names of methods that do not exist.

    Args:
        key: Key of the config, for the error.
        names: Names to check.
        methods: Names of all methods.

    Raises:
        InputError: Names the key, the first unknown name, and the known ones.

    Example:
        >>> check_methods("evaluation.sanity_checks.methods", ["RISE"], ["RISE", "LIME"])
    """
    for name in names:
        if name not in methods:
            raise InputError(f"{key}: there is no method {name!r}, only {listed(list(methods))}")


def check_classes(key: str, names: Sequence[str], known: Sequence[str]) -> None:
    """Refuse names of classes that do not exist, or that are given twice.

    Args:
        key: Key of the config, for the error.
        names: Names to check.
        known: Names of all classes.

    Raises:
        InputError: Names the key, and the first unknown name or the names.

    Example:
        >>> check_classes("evaluation.class_matrix.classes", ["dog"], ["cat", "dog"])
    """
    for name in names:
        if name not in known:
            raise InputError(f"{key}: there is no class {name!r}, only {listed(known)}")
    if len({*names}) < len(names):
        raise InputError(f"{key} names a class twice: {', '.join(names)}")


def listed(names: Sequence[str], most: int = 30) -> str:
    """List names for an error, the first ones and their number where there are too many.

    Args:
        names: Names to list.
        most: Largest number of names that are listed.

    Example:
        >>> listed(["a", "b", "c"], 2)
        'a, b … (3)'
    """
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} … ({len(names)})"
