"""From rows to results: means over images, intervals, comparisons, classification scores, files."""

import statistics
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from explainer.evaluation.references import ANNOTATED, ORIGINAL
from explainer.evaluation.results.columns import FIXED, ColumnDescription
from explainer.evaluation.results.intervals import against_best, classification_intervals, mean_intervals
from explainer.evaluation.storage.rows import COSTS
from explainer.metrics import MeanAveragePrecision, MeanF1

Row = dict[str, Any]


def summarise(
    rows: list[Row],
    metrics: Collection[str] = (),
    alphas: dict[str, dict[str, Any]] | None = None,
    failed: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, Any]:
    """Results of every method.

    Args:
        rows: Rows of a `Store`.
        metrics: Further columns of the rows.
        alphas: Method → what `search_alphas` found.
        failed: Method → image → error.

    Returns:
        Method → its mean scores, on how many images each is defined (`n`), 95 % intervals of means and classification
        ("kept.mAP"), how many maps were not finite (`broken`), how many masks were constant (and, with further
        metrics, had nothing salient: `no_region`), how many images failed, what a mask cost, and the classification of
        the masked (`kept`) and the complement (`removed`) images.
    """
    failed = failed or {}
    results: dict[str, Any] = {}
    methods = dict.fromkeys([*(row["method"] for row in rows), *failed])
    for method in methods:
        mine = [row for row in rows if row["method"] == method]
        entry: dict[str, Any] = {"images": len(mine), "interval": {}, "failed": len(failed.get(method, {}))}
        if method != ORIGINAL:
            entry |= means(mine, [*FIXED, *metrics, "area"])
            entry["constant"] = sum(row["constant"] for row in mine)
            entry["broken"] = sum(row.get("broken", False) for row in mine)
            entry["removed"] = classification([row["removed"] for row in mine])
            entry["cost"] = cost(mine)
            if metrics:
                entry["no_region"] = sum(row.get("no_region", False) for row in mine)
                entry["level"] = (alphas or {}).get(method)
        entry["kept"] = classification([row["kept"] for row in mine])
        for part in ("kept", "removed"):
            said = [row[part] for row in mine if part in row]
            found = classification_intervals(said, 2 * len(methods)) if said else {}
            entry["interval"] |= {f"{part}.{name}": ends for name, ends in found.items()}
        results[method] = entry
    return results


def means(rows: list[Row], columns: Collection[str]) -> dict[str, Any]:
    """Means over the images that have a value, of how many there are, and their intervals.

    Args:
        rows: Rows of one method.
        columns: Columns of the rows.

    Returns:
        Column → mean or None; "n": column → images; "interval": column → low and high, where there is a mean.

    Example:
        >>> means([{"scores": {"a": 1.0}}, {"scores": {"a": None}}, {"scores": {"a": 1.0}}], ["a"])
        {'a': 1.0, 'n': {'a': 2}, 'interval': {'a': [1.0, 1.0]}}
    """
    table = torch.stack([column_of(rows, column) for column in columns], 1)
    ends = mean_intervals(table).tolist()
    entry: dict[str, Any] = {}
    counts: dict[str, int] = {}
    intervals: dict[str, list[float]] = {}
    for index, column in enumerate(columns):
        # summed exactly, whatever the order of the rows
        values = [value for value in table[:, index].tolist() if value == value]
        entry[column] = statistics.fmean(values) if values else None
        counts[column] = len(values)
        if values:
            intervals[column] = ends[index]
    return entry | {"n": counts, "interval": intervals}


def column_of(rows: list[Row], column: str) -> Tensor:
    """Collect the values of a column: (n,) float64, NaN where a row has none.

    Args:
        rows: Rows of a `Store`; an empty one has no value.
        column: Column of the scores, or "area".

    Example:
        >>> column_of([{"scores": {"a": 1.0}}, {}], "a").isnan().tolist()
        [False, True]
    """
    values = [row.get("area") if column == "area" else row.get("scores", {}).get(column) for row in rows]
    return torch.tensor([torch.nan if v is None else v for v in values], dtype=torch.float64)


def cost(rows: list[Row]) -> dict[str, float | None]:
    """Summarise what masks cost: mean forward passes and milliseconds an image, and the most memory, in bytes.

    Args:
        rows: Rows of one method.

    Example:
        >>> cost([{"cost": {"seconds": 0.5, "passes": 2.0}}, {"cost": {"seconds": 1.5, "passes": 4.0}}])
        {'passes': 3.0, 'ms': 1000.0, 'memory': None}
    """
    values: dict[str, list[float]] = {key: [] for key in COSTS}
    for row in rows:
        for key in COSTS:
            value = row.get("cost", {}).get(key)
            if value is not None:
                values[key].append(value)
    seconds = statistics.fmean(values["seconds"]) if values["seconds"] else None
    return {
        "passes": statistics.fmean(values["passes"]) if values["passes"] else None,
        "ms": None if seconds is None else 1000 * seconds,
        "memory": max(values["memory"], default=None),
    }


def classification(said: list[dict[str, Any]]) -> dict[str, float | None]:
    """How well the classifier does.

    Args:
        said: Entries of `predictions`.

    Returns:
        Multi-label: mAP and F1 (threshold 0.5), means over the classes that some image has; single-label: accuracy.
        And the mean probability of the labels. All in [0, 1]; higher is better; None without a label; nothing without
        an image.
    """
    if not said:
        return {}
    if "probabilities" not in said[0]:
        known = [s for s in said if s["labels"]]
        if not known:
            return {"accuracy": None, "probability": None}
        right = statistics.fmean(s["predicted"] in s["labels"] for s in known)
        return {"accuracy": right, "probability": statistics.fmean(s["probability"] for s in known)}
    scores = torch.tensor([s["probabilities"] for s in said])
    labels = torch.zeros(scores.shape, dtype=torch.long)
    for n, s in enumerate(said):
        labels[n, s["labels"]] = 1
    if not labels.any():
        return {"mAP": None, "F1": None, "probability": None}
    precision, f1 = (metric(labels.shape[1])(scores, labels) for metric in (MeanAveragePrecision, MeanF1))
    return {"mAP": float(precision), "F1": float(f1), "probability": float(scores[labels > 0].mean())}


def pairs(rows: list[Row], columns: Mapping[str, ColumnDescription]) -> dict[str, dict[str, Any]]:
    """Every method against the best of each column, references of the annotation left out.

    Args:
        rows: Rows of a `Store`.
        columns: Columns of `columns_of`.

    Returns:
        Column → method → what `against_best` says.
    """
    by_method: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row["method"] not in (ORIGINAL, *ANNOTATED):
            by_method.setdefault(row["method"], {})[row["id"]] = row
    images = list(dict.fromkeys(row["id"] for row in rows))
    aligned = {method: [mine.get(i, {}) for i in images] for method, mine in by_method.items()}
    values = {column: {method: column_of(some, column) for method, some in aligned.items()} for column in columns}
    return against_best(values, {column: about["higher_is_better"] for column, about in columns.items()})
