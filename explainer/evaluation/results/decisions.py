"""Means over the decisions that masks of single classes show, and examples of them."""

from collections.abc import Sequence

import numpy as np

from explainer.evaluation.results.content import DecisionMeans
from explainer.evaluation.scoring.decisions import KINDS
from explainer.evaluation.storage.columnar import Rows
from explainer.evaluation.storage.rows import Decision, PlainRow


def examples(rows: Sequence[PlainRow], count: int) -> list[str]:
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
    held = Rows.over(rows)
    held = held.take(np.flatnonzero(held.has("decisions")))
    decisions_of_rows = list(zip(held.values("id"), held.values("decisions"), strict=True))
    # dictionaries in place of sets: they keep the order, and an image has a row for each method
    chosen: dict[str, None] = {}
    for kind in KINDS:
        images: dict[str, None] = {}
        for image, decisions in decisions_of_rows:
            if any(decision["kind"] == kind for decision in decisions):
                images[image] = None
        chosen |= dict.fromkeys(list(images)[:count])
    return list(chosen)


def decision_results(rows: Sequence[PlainRow]) -> dict[str, dict[str, DecisionMeans]]:
    """Average over images and classes.

    Args:
        rows: Rows of a `Store`; those with "decisions" count.

    Returns:
        Method → kind of the decision → means; a kind that no image has is left out.

    Example:
        >>> entry = {"class": "cat", "kind": "false positive", "area": 0.5, "image": 0.75, "kept": 0.5, "removed": 0.25}
        >>> decision_results([{"method": "a", "decisions": [entry]}])["a"]["false positive"]["kept"]
        0.5
    """
    held = Rows.over(rows)
    held = held.take(np.flatnonzero(held.has("decisions")))
    by_method: dict[str, list[Decision]] = {}
    for method, decisions in zip(held.values("method"), held.values("decisions"), strict=True):
        by_method.setdefault(method, []).extend(decisions)
    results: dict[str, dict[str, DecisionMeans]] = {}
    for method, decisions in by_method.items():
        results[method] = {}
        for kind in KINDS:
            of_kind = [decision for decision in decisions if decision["kind"] == kind]
            if of_kind:
                results[method][kind] = _means(of_kind)
    return results


def _means(decisions: Sequence[Decision]) -> DecisionMeans:
    count = len(decisions)
    return {
        "pairs": count,
        "area": sum(decision["area"] for decision in decisions) / count,
        "image": sum(decision["image"] for decision in decisions) / count,
        "kept": sum(decision["kept"] for decision in decisions) / count,
        "removed": sum(decision["removed"] for decision in decisions) / count,
    }
