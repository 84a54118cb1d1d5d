"""From rows to results: means over images, intervals, comparisons, classification scores, files."""

import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor

from explainer.evaluation.references import ANNOTATED, ORIGINAL
from explainer.evaluation.results.columns import FIXED, ColumnDescription
from explainer.evaluation.results.content import Classification, Comparison, CostSummary, Interval, MethodResults
from explainer.evaluation.results.intervals import against_best, classification_intervals, mean_intervals
from explainer.evaluation.scoring.threshold import Alpha
from explainer.evaluation.storage.rows import COSTS, PlainRow, Prediction
from explainer.metrics import MeanAveragePrecision, MeanF1

Row = PlainRow


class ColumnMeans(NamedTuple):
    """Means of the columns of one method.

    Attributes:
        means: Column → mean over the images that have a value; None where no image has.
        counts: Column → number of images that have a value.
        intervals: Column → low and high, where there is a mean.
    """

    means: dict[str, float | None]
    counts: dict[str, int]
    intervals: dict[str, Interval]


def summarise(
    rows: list[Row],
    metrics: Collection[str] = (),
    alphas: Mapping[str, Alpha] | None = None,
    failed: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, MethodResults]:
    """Summarise the rows of every method.

    Args:
        rows: Rows of a `Store`.
        metrics: Further columns of the rows.
        alphas: Method → α that `search_alphas` found.
        failed: Method → image → error.

    Returns:
        Method → its results; a method that failed on every image has results without a mean.
    """
    alphas = alphas or {}
    failed = failed or {}
    columns = [*FIXED, *metrics, "area"]
    # and those that failed: a method without any row must not be missing from the table without a word
    methods = dict.fromkeys([*(row["method"] for row in rows), *failed])
    # all intervals of classification share a bound of the work: two a method, of what is kept and what is removed
    intervals = 2 * len(methods)
    results: dict[str, MethodResults] = {}
    for method in methods:
        of_method = [row for row in rows if row["method"] == method]
        failures = len(failed.get(method, {}))
        entry: MethodResults = {"images": len(of_method), "interval": {}, "failed": failures}
        if method != ORIGINAL:
            _add_masks(entry, of_method, columns)
            if metrics:
                entry["no_region"] = sum(row.get("no_region", False) for row in of_method)
                entry["level"] = alphas.get(method)
        entry["kept"] = classification([row["kept"] for row in of_method])
        for part in ("kept", "removed"):
            answers: list[Prediction] = [row[part] for row in of_method if part in row]
            for name, ends in classification_intervals(answers, intervals).items():
                entry["interval"][f"{part}.{name}"] = ends
        results[method] = entry
    return results


def _add_masks(entry: MethodResults, rows: Sequence[Row], columns: Collection[str]) -> None:
    """Add to the results of a method what the image as it is has not: everything about masks."""
    summary = column_means(rows, columns)
    # the area is no score: neither direction of it is better
    entry["scores"] = {column: mean for column, mean in summary.means.items() if column != "area"}
    entry["area"] = summary.means["area"]
    entry["n"] = summary.counts
    entry["interval"] = summary.intervals
    entry["constant"] = sum(row["constant"] for row in rows)
    entry["broken"] = sum(row.get("broken", False) for row in rows)
    entry["removed"] = classification([row["removed"] for row in rows])
    entry["cost"] = cost(rows)


def column_means(rows: Sequence[Row], columns: Collection[str]) -> ColumnMeans:
    """Average each column over the images that have a value, and give the means intervals.

    Args:
        rows: Rows of one method.
        columns: Columns of the rows.

    Example:
        >>> rows = [{"scores": {"a": 1.0}}, {"scores": {"a": None}}, {"scores": {"a": 1.0}}]
        >>> column_means(rows, ["a"])
        ColumnMeans(means={'a': 1.0}, counts={'a': 2}, intervals={'a': [1.0, 1.0]})
    """
    table = torch.stack([column_of(rows, column) for column in columns], 1)
    ends = mean_intervals(table).tolist()
    summary = ColumnMeans({}, {}, {})
    for index, column in enumerate(columns):
        # a metric that is not defined for an image says nothing of the mask: 0 would count as a bad score
        values = [value for value in table[:, index].tolist() if value == value]
        # fmean sums exactly, whatever the order of the rows
        summary.means[column] = _mean(values)
        summary.counts[column] = len(values)
        if values:
            summary.intervals[column] = ends[index]
    return summary


def column_of(rows: Sequence[Row], column: str) -> Tensor:
    """Collect the values of a column: (n,) float64, NaN where a row has none.

    Args:
        rows: Rows of a `Store`; an empty one has no value.
        column: Column of the scores, or "area".

    Example:
        >>> column_of([{"scores": {"a": 1.0}}, {}], "a").isnan().tolist()
        [False, True]
    """
    values = []
    for row in rows:
        value = row.get("area")
        if column != "area":
            value = row.get("scores", {}).get(column)
        values.append(torch.nan if value is None else value)
    return torch.tensor(values, dtype=torch.float64)


def cost(rows: Sequence[Row]) -> CostSummary:
    """Summarise what masks cost.

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
    seconds = _mean(values["seconds"])
    return {
        "passes": _mean(values["passes"]),
        "ms": None if seconds is None else 1000 * seconds,
        # the most and not the mean: it says on which machine the method runs
        "memory": max(values["memory"], default=None),
    }


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def classification(answers: Sequence[Prediction]) -> Classification:
    """Measure how well the classifier does.

    Args:
        answers: Entries of `predictions`.

    Returns:
        Multi-label: mAP and F1 (threshold 0.5), means over the classes that some image has; single-label: accuracy.
        And the mean probability of the labels. All in [0, 1]; higher is better; None without a label; nothing without
        an image.
    """
    if not answers:
        return {}
    if "probabilities" in answers[0]:
        return _classification_of_several_labels(answers)
    return _classification_of_one_label(answers)


def _classification_of_one_label(answers: Iterable[Prediction]) -> Classification:
    labelled = [answer for answer in answers if answer["labels"]]
    if not labelled:
        return {"accuracy": None, "probability": None}
    return {
        "accuracy": statistics.fmean(answer["predicted"] in answer["labels"] for answer in labelled),
        # an image with a label has a probability
        "probability": statistics.fmean(cast(float, answer["probability"]) for answer in labelled),
    }


def _classification_of_several_labels(answers: Sequence[Prediction]) -> Classification:
    scores = torch.tensor([answer["probabilities"] for answer in answers])
    labels = torch.zeros(scores.shape, dtype=torch.long)
    for index, answer in enumerate(answers):
        labels[index, answer["labels"]] = 1
    if not labels.any():
        return {"mAP": None, "F1": None, "probability": None}
    count = labels.shape[1]
    return {
        "mAP": float(MeanAveragePrecision(count)(scores, labels)),
        "F1": float(MeanF1(count)(scores, labels)),
        "probability": float(scores[labels > 0].mean()),
    }


def pairs(rows: Sequence[Row], columns: Mapping[str, ColumnDescription]) -> dict[str, dict[str, Comparison]]:
    """Compare every method with the best of each column, references of the annotation left out.

    A reference would be the best of many columns, and no method is meant to beat it.

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
    # the same images in the same order for all: an image on which a method failed has an empty row
    images = list(dict.fromkeys(row["id"] for row in rows))
    aligned: dict[str, list[Row]] = {}
    for method, of_images in by_method.items():
        aligned[method] = [of_images.get(image, {}) for image in images]
    values: dict[str, dict[str, Tensor]] = {}
    for column in columns:
        values[column] = {method: column_of(of_method, column) for method, of_method in aligned.items()}
    higher_is_better = {column: description["higher_is_better"] for column, description in columns.items()}
    return against_best(values, higher_is_better)
