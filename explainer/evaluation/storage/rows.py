"""What rows hold, by the kind of results."""

import json
from typing import Any, Literal, NotRequired, get_type_hints

from typing_extensions import TypedDict


class Row(TypedDict):
    """A row of any kind.

    Attributes:
        id: Id of the image.
        method: Name of the method, of a reference, or of the image as it is.
    """

    id: str
    method: str


class Failed(Row):
    """An image on which a method failed.

    Attributes:
        error: Error in one line.
    """

    error: str


class Prediction(TypedDict):
    """What the classifier says of one picture.

    Attributes:
        labels: Indices of the classes that the image has.
        probabilities: Probability of every class, of a multi-label classifier.
        predicted: Index of the most probable class, of a single-label classifier.
        probability: Probability of the label, of a single-label classifier; None without a label.
    """

    labels: list[int]
    probabilities: NotRequired[list[float]]
    predicted: NotRequired[int]
    probability: NotRequired[float | None]


class Unmasked(TypedDict):
    """An image as it is.

    Attributes:
        id: Id of the image.
        method: Name that stands for the image as it is.
        kept: What the classifier says of it.
    """

    id: str
    method: Literal["Original image"]
    kept: Prediction


Decision = TypedDict(
    "Decision", {"class": str, "kind": str, "area": float, "image": float, "kept": float, "removed": float}
)
"""A class that is labelled or predicted: the kind of the decision, the area of its mask, and its probability for the
image, for what the mask keeps, and for what is left without it."""


class Scored(Row):
    """What one mask was measured by.

    Attributes:
        scores: Column → value of its metric; None where it is not defined.
        area: Mean of the mask.
        cost: What making the mask took: "seconds", "passes", "memory" (see `explainer.evaluation.maps.cost.Cost`).
        constant: Whether the mask has one value everywhere.
        broken: Whether a map had a NaN or infinite pixel, and so counts as 0 everywhere.
        kept: What the classifier says of the masked image.
        removed: What it says of the complement image.
        no_region: Whether no pixel of the mask is salient.
        curves: Column → curve of which the value is the area or the mean.
        matrix: Class present → confidence in it without a mask, then with the mask of each class.
        decisions: Classes that are labelled or predicted, and what their masks show.
    """

    scores: dict[str, float | None]
    area: float
    cost: dict[str, float | None]
    constant: bool
    broken: bool
    kept: Prediction
    removed: Prediction
    no_region: NotRequired[bool]
    curves: NotRequired[dict[str, list[float]]]
    matrix: NotRequired[dict[str, list[float]]]
    decisions: NotRequired[list[Decision]]


class Searched(Row):
    """A map of a held-out image.

    Attributes:
        wrong: For each α of `explainer.metrics.localisation.ALPHAS`, 1 where the box around what is salient is wrong;
            None for an image without a box.
    """

    wrong: list[int] | None


class Filled(Row):
    """An image with a hole that an in-fill filled in.

    Attributes:
        probability: Probability of the label.
        log_odds: Log-odds of the label.
        l1: Mean absolute difference from the image, within the hole.
        change: Change of the label's probability.
        seconds: Seconds that the in-fill took.
    """

    probability: float
    log_odds: float
    l1: float
    change: float
    seconds: float


Varied = TypedDict(
    "Varied",
    {
        "id": str,
        "method": str,
        "source": str,
        "alpha": float,
        "status": str,
        "box": list[int],
        "class": NotRequired[str],
        "before": NotRequired[float],
        "accepted": NotRequired[int],
        "best": NotRequired[float],
    },
)
"""The variations of one image, source and size."""

Evaluated = Scored | Unmasked
"""A row of an evaluation."""
COSTS = ("seconds", "passes", "memory")
"""Keys of a cost."""
PlainRow = dict[str, Any]
"""A row as a store holds it, of whichever kind: the kinds are the classes above, and reading checks that it is one."""


def nested(row: PlainRow) -> PlainRow:
    """Bring a scored row of before, whose scores and costs stood beside its other fields, into today's form.

    Args:
        row: Row of any kind; one of today's form is returned as it is.

    Example:
        >>> nested({"id": "a", "method": "b", "iou": 0.5, "area": 0.1, "seconds": 1.0, "removed": {}})["scores"]
        {'iou': 0.5}
    """
    # of the rows of an evaluation only those with masks have scores, and these alone have a complement image
    if "removed" not in row or "scores" in row:
        return row
    known = get_type_hints(Scored)
    fields = {}
    scores = {}
    cost = {}
    for key, value in row.items():
        if key in known:
            fields[key] = value
        elif key in COSTS:
            cost[key] = value
        else:
            # the columns are those of a config, so that every other key is one
            scores[key] = value
    return {"broken": False, **fields, "scores": scores, "cost": cost}


def parsed(line: bytes) -> PlainRow | None:
    r"""Read a line of a file of rows.

    Args:
        line: Line, perhaps torn.

    Returns:
        Row; None where the line is not a whole one.

    Example:
        >>> parsed(b'{"id": "a", "method": "b"}'), parsed(b'{"id": "\xc3')
        ({'id': 'a', 'method': 'b'}, None)
    """
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):  # of UnicodeDecodeError and JSONDecodeError
        return None
    if not isinstance(row, dict):
        return None
    named = isinstance(row.get("id"), str) and isinstance(row.get("method"), str)
    return row if named else None
