"""Means over the decisions that masks of single classes show, and examples of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from explainer.evaluation.scoring.decisions import KINDS


def examples(rows: Sequence[Mapping[str, Any]], count: int) -> list[str]:
    """Choose images to draw: the first that have a class of each kind.

    Args:
        rows: Rows of a `Store`.
        count: Number of images of each kind, at most.

    Returns:
        Ids, each once.

    Example:
        >>> rows = [{"id": str(n), "decisions": [{"kind": "false positive"}]} for n in range(3)]
        >>> examples(rows, 2)
        ['0', '1']
    """
    chosen: dict[str, None] = {}
    for kind in KINDS:
        own = dict.fromkeys(r["id"] for r in rows if any(e["kind"] == kind for e in r.get("decisions", [])))
        chosen |= dict.fromkeys([*own][:count])
    return [*chosen]


def decision_results(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Means over images and classes.

    Args:
        rows: Rows of a `Store`; those with "decisions" count.

    Returns:
        Method → kind → "pairs" of image and class, and the means of area, image, kept and removed.

    Example:
        >>> entry = {"class": "cat", "kind": "false positive", "area": 0.5, "image": 0.75, "kept": 0.5, "removed": 0.25}
        >>> decision_results([{"method": "a", "decisions": [entry]}])["a"]["false positive"]["kept"]
        0.5
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for method in dict.fromkeys(row["method"] for row in rows if "decisions" in row):
        entries = [entry for row in rows if row["method"] == method for entry in row.get("decisions", [])]
        found[method] = {}
        for kind in KINDS:
            own = [entry for entry in entries if entry["kind"] == kind]
            if own:
                means = {key: sum(e[key] for e in own) / len(own) for key in ("area", "image", "kept", "removed")}
                found[method][kind] = {"pairs": len(own)} | means
    return found
