"""Names that a config gives, checked against those that there are."""

from collections.abc import Collection, Sequence

from explainer.errors import InputError


def check_methods(key: str, names: Sequence[str], methods: Collection[str]) -> None:
    """Refuse names of methods that there are not.

    Args:
        key: Key of the config, for the error.
        names: To check.
        methods: Those that there are.

    Raises:
        InputError: Names the key, the first unknown name, and those that there are.

    Example:
        >>> check_methods("evaluation.sanity_checks.methods", ["RISE"], ["RISE", "LIME"])
    """
    for name in names:
        if name not in methods:
            raise InputError(f"{key}: there is no method {name!r}, only {listed(list(methods))}")


def check_classes(key: str, names: Sequence[str], known: Sequence[str]) -> None:
    """Refuse names of classes that there are not, or that stand twice.

    Args:
        key: Key of the config, for the error.
        names: To check.
        known: Those that there are.

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
    """Names for an error, not too many.

    Example:
        >>> listed(["a", "b", "c"], 2)
        'a, b … (3)'
    """
    return ", ".join(names) if len(names) <= most else f"{', '.join(names[:most])} … ({len(names)})"
