"""The columns of a table: their direction, how they are shown, and whose they are."""

from collections.abc import Mapping
from typing import Any

_EXPLAINER = "S. Stalder et al., What You See is What You Classify, NeurIPS 2022"
_SALIENCY = "P. Dabkowski, Y. Gal, Real Time Image Saliency for Black Box Classifiers, NeurIPS 2017"
_RISE = "V. Petsiuk, A. Das, K. Saenko, RISE, BMVC 2018"
FIXED: dict[str, dict[str, Any]] = {
    "acc": {"higher_is_better": True, "percent": True, "label": "Acc", "paper": _EXPLAINER},
    "iou": {"higher_is_better": True, "percent": True, "label": "IoU", "paper": _EXPLAINER},
    "mae": {"higher_is_better": False, "percent": True, "label": "MAE", "paper": _EXPLAINER},
    "sal": {"higher_is_better": False, "percent": False, "label": "Sal", "paper": _SALIENCY},
    "insertion": {"higher_is_better": True, "percent": False, "label": "Ins", "paper": _RISE},
    "deletion": {"higher_is_better": False, "percent": False, "label": "Del", "paper": _RISE},
}
"""Those that every evaluation has, where they are defined."""


def columns_of(chosen: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What results.json says of the columns.

    Args:
        chosen: Column → metric or probe of a config.

    Returns:
        Column → "higher_is_better", "percent" (shown times 100), "label" and "paper"; of chosen ones also "meaning",
        "formula" and "range".

    Example:
        >>> columns_of({})["iou"]["percent"]
        True
    """
    found = dict(FIXED)
    for name, metric in chosen.items():
        paper, percent = getattr(metric, "paper", ""), getattr(metric, "percent", False)
        more = {key: getattr(metric, key, "") for key in ("meaning", "formula", "range")}
        up = metric.higher_is_better
        found[name] = {"higher_is_better": up, "percent": percent, "label": name, "paper": paper} | more
    return found
