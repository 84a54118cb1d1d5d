"""Settings of data sets that came later: where they are not used, results and runs of before stay valid."""

from typing import Any

UNUSED = {"crop": False, "blank": 0.0, "removal": None, "decoding": "exact"}
"""Name below data.init_args → the value with which a data set is what it was before there was the setting."""


def without_unused(value: Any) -> Any:
    """Return a nested value without the settings that came later and are not used, at any depth.

    Args:
        value: Plain values, such as a config's `data`.

    Example:
        >>> without_unused({"class_path": "VOC", "init_args": {"root": "data", "crop": False, "blank": 0.1}})
        {'class_path': 'VOC', 'init_args': {'root': 'data', 'blank': 0.1}}
    """
    if isinstance(value, dict):
        used = {key: part for key, part in value.items() if key not in UNUSED or part != UNUSED[key]}
        return {key: without_unused(part) for key, part in used.items()}
    if isinstance(value, list | tuple):
        return [without_unused(part) for part in value]
    return value
