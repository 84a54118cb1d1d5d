"""Methods and in-fills as plain values: what a store of results is about."""

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
    """Name → class and hyperparameters, for the store's fingerprint; the batch size changes no result.

    A method from a checkpoint has the digest of that file too, so that another one of the same name is recognised.

    Example:
        >>> from explainer.attribution import Constant
        >>> settings_of({"Half": Constant(0.5)})
        {'Half': {'class': 'Constant', 'value': 0.5}}
    """
    return {name: _settings(method) for name, method in methods.items()}


def _settings(method: object) -> dict[str, Any]:
    found: dict[str, Any] = {"class": type(method).__name__}
    for key, value in vars(method).items():
        if isinstance(value, Attribution):  # such as what SmoothGrad goes around
            found[key] = _settings(value)
        elif isinstance(value, Infill):
            found[key] = infill_settings(value)
        elif isinstance(value, PLAIN) and key not in NO_MATTER and (key not in LATER or value != LATER[key]):
            found[key] = value
    checkpoint = getattr(method, "checkpoint", None)
    if isinstance(method, Attribution) and checkpoint is not None and Path(checkpoint).is_file():
        found["sha256"] = hashlib.sha256(Path(checkpoint).read_bytes()).hexdigest()
    return found


def infill_settings(infill: Infill) -> dict[str, Any]:
    """Class and hyperparameters of an in-fill; one from a checkpoint says itself what the file holds.

    Example:
        >>> from explainer.infill import Blur
        >>> infill_settings(Blur(3.0))
        {'class': 'Blur', 'sigma': 3.0}
    """
    return described(infill)


def slug(name: str) -> str:
    """A method's name as a file's.

    Example:
        >>> slug("Gradient, SmoothGrad²")
        'Gradient__SmoothGrad_'
    """
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name)
