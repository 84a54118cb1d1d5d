"""The columns of a table: their direction, how they are shown, and whose they are."""

from collections.abc import Iterable, Mapping

from typing_extensions import TypedDict

from explainer.errors import InputError
from explainer.evaluation.ranges import check_names
from explainer.metrics import (
    Deletion,
    ImageMetric,
    Insertion,
    MaskMAE,
    SaliencyMetric,
    SoftAccuracy,
    SoftIoU,
)


class ColumnDescription(TypedDict):
    """What results.json says of a column; texts are empty where nothing is known.

    Attributes:
        higher_is_better: Direction of the values.
        percent: Whether tables show the values times 100.
        label: Heading.
        paper: Authors, venue and year of the definition.
        meaning: Meaning in a sentence.
        formula: Value of one image, in LaTeX.
        range: Range of that value.
    """

    higher_is_better: bool
    percent: bool
    label: str
    paper: str
    meaning: str
    formula: str
    range: str


STANDARD: dict[str, type[ImageMetric]] = {
    "acc": SoftAccuracy,
    "iou": SoftIoU,
    "mae": MaskMAE,
    "sal": SaliencyMetric,
    "insertion": Insertion,
    "deletion": Deletion,
}
"""Column → metric, of those that every evaluation has where they are defined."""


def describe(metric: ImageMetric | type[ImageMetric], label: str) -> ColumnDescription:
    """Describe a column by its metric.

    Args:
        metric: Metric, or its class.
        label: Heading.
    """
    return {
        "higher_is_better": bool(metric.higher_is_better),
        "percent": metric.percent,
        "label": label,
        "paper": metric.paper,
        "meaning": metric.meaning,
        "formula": metric.formula,
        "range": metric.range,
    }


FIXED = {name: describe(metric, metric.label) for name, metric in STANDARD.items()}
"""Column → its description, of the standard ones."""


def columns_of(metrics: Mapping[str, ImageMetric]) -> dict[str, ColumnDescription]:
    """Describe the columns of an evaluation.

    Args:
        metrics: Column → metric or sanity check of a config.

    Returns:
        Column → its description, the standard ones first.

    Example:
        >>> columns_of({})["iou"]["percent"]
        True
    """
    return FIXED | {name: describe(metric, name) for name, metric in metrics.items()}


def check_new_columns(metrics: Iterable[str], checks: Iterable[str]) -> None:
    """Refuse metrics and sanity checks with the name of another column.

    Args:
        metrics: Names of metrics.
        checks: Names of sanity checks.

    Raises:
        InputError: Names the first.

    Example:
        >>> check_new_columns(["ssr"], ["seed stability"])
    """
    taken = {*FIXED, "area"}
    for key, names in (("evaluation.metrics", list(metrics)), ("evaluation.sanity_checks.checks", list(checks))):
        check_names(key, names)
        for name in names:
            if name in taken:
                raise InputError(f"{key}: {name!r} is the name of another column; choose another one")
        taken |= {*names}
