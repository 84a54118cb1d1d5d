"""From rows to results: means over images, intervals, comparisons, classification scores, files."""

import statistics
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from explainer.evaluation.references import ANNOTATED, ORIGINAL
from explainer.evaluation.results.answers import Answers, answers_of
from explainer.evaluation.results.columns import FIXED, ColumnDescription
from explainer.evaluation.results.content import Classification, Comparison, CostSummary, Interval, MethodResults
from explainer.evaluation.results.intervals import against_best, classification_intervals, mean_intervals
from explainer.evaluation.scoring.threshold import Alpha
from explainer.evaluation.storage.columnar import Rows
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
    rows: Sequence[Row],
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
    held = Rows.over(rows)
    alphas = alphas or {}
    failed = failed or {}
    columns = [*FIXED, *metrics, "area"]
    # and those that failed: a method without any row must not be missing from the table without a word
    methods = dict.fromkeys([*held.names("method"), *failed])
    # all intervals of classification share a bound of the work: two a method, of what is kept and what is removed
    intervals = 2 * len(methods)
    results: dict[str, MethodResults] = {}
    for method in methods:
        of_method = held.of(method)
        failures = len(failed.get(method, {}))
        entry: MethodResults = {"images": len(of_method), "interval": {}, "failed": failures}
        if method != ORIGINAL:
            _add_masks(entry, of_method, columns)
            if metrics:
                entry["no_region"] = int(of_method.flags("no_region").sum())
                entry["level"] = alphas.get(method)
        entry["kept"] = classification(answers_of(of_method, "kept"))
        for part in ("kept", "removed"):
            answers = answers_of(of_method, part)
            for name, ends in classification_intervals(answers, intervals).items():
                entry["interval"][f"{part}.{name}"] = ends
        results[method] = entry
    return results


def _add_masks(entry: MethodResults, rows: Rows, columns: Collection[str]) -> None:
    """Add to the results of a method what the image as it is has not: everything about masks."""
    summary = column_means(rows, columns)
    # the area is no score: neither direction of it is better
    entry["scores"] = {column: mean for column, mean in summary.means.items() if column != "area"}
    entry["area"] = summary.means["area"]
    entry["n"] = summary.counts
    entry["interval"] = summary.intervals
    entry["constant"] = int(rows.flags("constant").sum())
    entry["broken"] = int(rows.flags("broken").sum())
    entry["removed"] = classification(answers_of(rows, "removed"))
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
    held = Rows.over(rows)
    table = torch.stack([column_of(held, column) for column in columns], 1)
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
    place = ("area",) if column == "area" else ("scores", column)
    return torch.from_numpy(Rows.over(rows).floats(*place))


def cost(rows: Sequence[Row]) -> CostSummary:
    """Summarise what masks cost.

    Args:
        rows: Rows of one method.

    Example:
        >>> cost([{"cost": {"seconds": 0.5, "passes": 2.0}}, {"cost": {"seconds": 1.5, "passes": 4.0}}])
        {'passes': 3.0, 'ms': 1000.0, 'memory': None}
    """
    held = Rows.over(rows)
    values: dict[str, list[float]] = {}
    for key in COSTS:
        values[key] = [value for value in held.values("cost", key) if value is not None]
    seconds = _mean(values["seconds"])
    return {
        "passes": _mean(values["passes"]),
        "ms": None if seconds is None else 1000 * seconds,
        # the most and not the mean: it says on which machine the method runs
        "memory": max(values["memory"], default=None),
    }


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def classification(answers: Sequence[Prediction] | Answers) -> Classification:
    """Measure how well the classifier does.

    Args:
        answers: Entries of `predictions`.

    Returns:
        Multi-label: mAP and F1 (threshold 0.5), means over the classes that some image has; single-label: accuracy.
        And the mean probability of the labels. All in [0, 1]; higher is better; None without a label; nothing without
        an image.
    """
    held = Answers.over(answers)
    if not held.labels:
        return {}
    if held.probabilities is not None:
        return _classification_of_several_labels(held, held.probabilities.float())
    return _classification_of_one_label(held)


def _classification_of_one_label(answers: Answers) -> Classification:
    hits = []
    probabilities = []
    for labels, predicted, probability in zip(answers.labels, answers.predicted, answers.probability, strict=True):
        if labels:
            hits.append(predicted in labels)
            # an image with a label has a probability
            probabilities.append(cast(float, probability))
    if not hits:
        return {"accuracy": None, "probability": None}
    return {"accuracy": statistics.fmean(hits), "probability": statistics.fmean(probabilities)}


def _classification_of_several_labels(answers: Answers, scores: Tensor) -> Classification:
    labels = answers.multi_hot(scores.shape[1]).long()
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
    held = Rows.over(rows)
    # the same images in the same order for all: an image on which a method failed has no value
    places, images = held.codes("id")
    codes, names = held.codes("method")
    methods = [name for name in held.names("method") if name not in (ORIGINAL, *ANNOTATED)]
    values: dict[str, dict[str, Tensor]] = {}
    for column in columns:
        of_rows = column_of(held, column)
        values[column] = {}
        for method in methods:
            of_method = torch.from_numpy(np.flatnonzero(codes == names.index(method)))
            aligned = torch.full((len(images),), torch.nan, dtype=torch.float64)
            aligned[torch.from_numpy(places)[of_method]] = of_rows[of_method]
            values[column][method] = aligned
    higher_is_better = {column: description["higher_is_better"] for column, description in columns.items()}
    return against_best(values, higher_is_better)
