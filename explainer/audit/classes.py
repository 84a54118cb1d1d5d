"""Where the evidence of each class lies, in a few numbers and mean masks."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from explainer.audit.shapes import Kind, kinds
from explainer.audit.store import Scan


class ClassSummary(NamedTuple):
    """Where the evidence of a class lies, over the decisions for it.

    Attributes:
        name: Name of the class.
        decisions: Number of images for which the classifier decides for the class.
        labelled: Number of images with this label.
        right: Share of the labelled images for which it decides for the class; None without any.
        area: Mean area of the masks.
        border: Mean share of the mass at the image's border.
        object: Mean share of the mass on objects of the class; None where nobody knows.
        context: Mean share elsewhere; None where nobody knows.
        mean: Mean mask (g, g), in [0, 1].
        kinds: Groups of masks that lie alike; members are numbers of rows.
    """

    name: str
    decisions: int
    labelled: int
    right: float | None
    area: float
    border: float
    object: float | None
    context: float | None
    mean: NDArray
    kinds: list[Kind]


def summaries(scan: Scan) -> list[ClassSummary]:
    """Summarise every class that is decided for, the most frequent first.

    Args:
        scan: Rows and arrays of the data set.
    """
    rows_of: dict[str, list[int]] = {}
    for number, row in enumerate(scan.rows):
        if row["predicted"]:
            rows_of.setdefault(row["class"], []).append(number)
    summaries = [_summary(name, numbers, scan) for name, numbers in rows_of.items()]
    return sorted(summaries, key=lambda one: (-one.decisions, one.name))


def _summary(name: str, numbers: Sequence[int], scan: Scan) -> ClassSummary:
    rows = [scan.rows[number] for number in numbers]
    labelled = [row for row in scan.rows if row["class"] == name and name in row["labels"]]
    right = None
    if labelled:
        right = sum(row["predicted"] for row in labelled) / len(labelled)
    masks = scan.arrays["masks"][list(numbers)]
    groups = [kind._replace(members=np.array(numbers)[kind.members]) for kind in kinds(masks)]
    return ClassSummary(
        name=name,
        decisions=len(rows),
        labelled=len(labelled),
        right=right,
        area=float(np.mean([row["area"] for row in rows])),
        border=float(np.mean([row["border"] for row in rows])),
        object=_mean([row["object"] for row in rows]),
        context=_mean([row["context"] for row in rows]),
        mean=masks.astype(np.float32).mean(0) / 255,
        kinds=groups,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of what is known."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
