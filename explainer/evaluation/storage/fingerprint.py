"""Methods and in-fills as plain values, by which a store of results knows what its rows are of."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from explainer.attribution import Attribution
from explainer.infill import Infill
from explainer.metrics.base import described

NO_MATTER = ("batch_size", "fused")
"""Arguments of methods that change how fast a map comes, and not the map."""
LATER = {"choose": "mean", "epsilon": 1e-6}
"""Arguments that came later, and what they were before there were any: left out, so that earlier results stay valid."""
PLAIN = (str, int, float, bool, tuple, list, dict, type(None))
"""What a fingerprint can hold."""


def settings_of(methods: Mapping[str, object]) -> dict[str, Any]:
    """Describe methods by class and hyperparameters, for a store's fingerprint.

    A method from a checkpoint has the digest of that file too, so that another one of the same name is recognised.

    Args:
        methods: Name → method.

    Returns:
        Name → class and hyperparameters; those that change no result, such as the batch size, are left out.

    Example:
        >>> from explainer.attribution import Constant
        >>> settings_of({"Half": Constant(0.5)})
        {'Half': {'class': 'Constant', 'value': 0.5}}
    """
    return {name: _settings(method) for name, method in methods.items()}


def _settings(method: object) -> dict[str, Any]:
    """Describe one method by its class and its attributes that decide the map."""
    settings: dict[str, Any] = {"class": type(method).__name__}
    for key, value in vars(method).items():
        if isinstance(value, Attribution):  # such as the method that SmoothGrad goes around
            settings[key] = _settings(value)
        elif isinstance(value, Infill):
            settings[key] = infill_settings(value)
        elif isinstance(value, PLAIN) and _decides(key, value):
            settings[key] = value
    checkpoint = getattr(method, "checkpoint", None)
    if isinstance(method, Attribution) and checkpoint is not None and Path(checkpoint).is_file():
        settings["sha256"] = hashlib.sha256(Path(checkpoint).read_bytes()).hexdigest()
    return settings


def _decides(key: str, value: object) -> bool:
    """Say whether a hyperparameter belongs to the fingerprint."""
    if key in NO_MATTER:
        return False
    return key not in LATER or value != LATER[key]


def infill_settings(infill: Infill) -> dict[str, Any]:
    """Describe an in-fill by class and hyperparameters; one from a checkpoint says itself what the file holds.

    Example:
        >>> from explainer.infill import Blur
        >>> infill_settings(Blur(3.0))
        {'class': 'Blur', 'sigma': 3.0}
    """
    return described(infill)


def slug(name: str) -> str:
    """Turn the name of a method into the name of a file.

    Example:
        >>> slug("Gradient, SmoothGrad²")
        'Gradient__SmoothGrad_'
    """
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name)
