"""Methods and in-fills as plain values, by which a store of results knows what its rows are of."""

from collections.abc import Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from explainer.attribution import Attribution
from explainer.files import digest
from explainer.infill import Infill
from explainer.metrics.base import described

Description = dict[str, Any]
"""A method or an in-fill in plain values: "class", and its hyperparameters by name."""
Fingerprint = dict[str, Any]
"""What results depend on, in plain values; under "methods" stands name → `Description`.

A store compares fingerprints key by key and needs to know no other key, so that each kind of results has its own.
"""
NO_MATTER = ("batch_size", "fused")
"""Arguments of methods that change how fast a map comes, and not the map."""
LATER = {"choose": "mean", "epsilon": 1e-6, "refine_steps": 0, "refinement": None}
"""Arguments that came later, and what they were before there were any: left out, so that earlier results stay valid."""
PLAIN = (str, int, float, bool, tuple, list, dict, type(None))
"""Types that a fingerprint can hold; a network or a generator is none, and JSON would not know it."""


def settings_of(methods: Mapping[str, object]) -> dict[str, Description]:
    """Describe methods for the store's fingerprint; the batch size changes no result, and is left out.

    A method from a checkpoint has the digest of that file too, so that another one of the same name is recognised.

    Args:
        methods: Name → method.

    Returns:
        Name → class and hyperparameters.

    Example:
        >>> from explainer.attribution import Constant
        >>> settings_of({"Half": Constant(0.5)})
        {'Half': {'class': 'Constant', 'value': 0.5}}
    """
    return {name: _settings(method) for name, method in methods.items()}


def _settings(method: object) -> Description:
    description: Description = {"class": type(method).__name__}
    for key, value in vars(method).items():
        if isinstance(value, Attribution):
            # such as the method whose maps SmoothGrad averages
            description[key] = _settings(value)
        elif isinstance(value, Infill):
            description[key] = infill_settings(value)
        elif is_dataclass(value):
            # such as how an Explainer's mask is refined; in-fills among its settings are described like any other
            description[key] = {field: described(setting) for field, setting in vars(value).items()}
        elif isinstance(value, PLAIN) and _matters(key, value):
            description[key] = value
    checkpoint = getattr(method, "checkpoint", None)
    if isinstance(method, Attribution) and checkpoint is not None and Path(checkpoint).is_file():
        description["sha256"] = digest(checkpoint)
    return description


def _matters(key: str, value: object) -> bool:
    """Say whether a hyperparameter belongs into a fingerprint."""
    if key in NO_MATTER:
        return False
    return key not in LATER or value != LATER[key]


def infill_settings(infill: Infill) -> Description:
    """Describe an in-fill by its class and hyperparameters; one from a checkpoint says itself what the file holds.

    Args:
        infill: In-fill of an evaluation or a method.

    Example:
        >>> from explainer.infill import Blur
        >>> infill_settings(Blur(3.0))
        {'class': 'Blur', 'sigma': 3.0}
    """
    return described(infill)


def slug(name: str) -> str:
    """Turn the name of a method into the name of a file.

    Args:
        name: Name of the method, with any characters.

    Example:
        >>> slug("Gradient, SmoothGrad²")
        'Gradient__SmoothGrad_'
    """
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name)
