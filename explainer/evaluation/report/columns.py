"""What the columns of the tables are: where their numbers stand, which way is better, what they mean."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from explainer.evaluation.results.columns import FIXED
from explainer.evaluation.results.content import Content
from explainer.evaluation.scoring.loop import ORIGINAL


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        path: Keys below a method's entry in results.json.
        label: Words in the header.
        up: Whether higher is better; None where neither direction is.
        kind: Unit in which numbers are shown: "percent", "score", "ms", "count" or "bytes".
        about: Meaning, formula, range and paper; each may be missing.
        ranked: Whether the best is marked.
    """

    path: tuple[str, ...]
    label: str
    up: bool | None
    kind: str = "score"
    about: dict[str, str] = {}
    ranked: bool = True

    @property
    def key(self) -> str:
        """The name of the column in rows, intervals and pairs."""
        return self.path[-1] if self.path[0] == "scores" else ".".join(self.path)

    @property
    def arrow(self) -> str:
        """The direction in which numbers get better."""
        return {True: "↑", False: "↓", None: ""}[self.up]

    @property
    def direction(self) -> str:
        """The direction in which numbers get better, in words."""
        return {True: "higher is better", False: "lower is better", None: "neither direction is better"}[self.up]

    def of(self, entry: Mapping[str, Any]) -> float | None:
        """Return the number of a method, or None.

        Args:
            entry: Results of the method in results.json.
        """
        value: Any = entry
        # folders of early versions lack some of the keys
        for key in self.path:
            value = value.get(key) if isinstance(value, dict) else None
        return value if isinstance(value, int | float) else None

    def interval(self, entry: Mapping[str, Any]) -> list[float] | None:
        """Return the 95 % interval of a method's number, or None.

        Args:
            entry: Results of the method in results.json.
        """
        ends = (entry.get("interval") or {}).get(self.key)
        return ends if ends and None not in ends else None


TEXTS = ("meaning", "formula", "range", "paper")
"""What is said of a column."""


def quality(content: Content) -> list[Column]:
    """Return the columns of scores: standard ones that have a value, then those of the config in its order.

    Args:
        content: Content of results.json.

    Returns:
        Columns whose best is marked.

    Example:
        >>> [column.label for column in quality({"results": {"a": {"scores": {"iou": 0.5, "acc": None}}}})]
        ['IoU']
    """
    descriptions: Mapping[str, Mapping[str, Any]] = content.get("columns") or {}
    metrics = content.get("facts", {}).get("metrics") or {}
    directions: dict[str, bool | None] = {}
    for key, fixed in FIXED.items():
        if _has_value(content, ("scores", key)):
            directions[key] = fixed["higher_is_better"]
    # a folder of an early version describes its metrics among the facts only
    for key, about in {**metrics, **descriptions}.items():
        if key not in FIXED:
            directions[key] = about.get("higher_is_better")
    columns = []
    for key, up in directions.items():
        about = dict(FIXED.get(key, {}))
        described = descriptions.get(key, {})
        # results.json knows better, but where it says nothing
        about |= {name: value for name, value in described.items() if value not in (None, "")}
        label = str(about.get("label", key))
        kind = "percent" if about.get("percent") else "score"
        texts = {name: str(about[name]) for name in TEXTS if name in about}
        columns.append(Column(("scores", key), label, up, kind, texts))
    return columns


def _has_value(content: Content, path: tuple[str, ...]) -> bool:
    """Return whether some method has a number there; the untouched images are no method."""
    column = Column(path, "", None)
    entries = [entry for name, entry in content["results"].items() if name != ORIGINAL]
    return any(column.of(entry) is not None for entry in entries)


def decisions(content: Content) -> list[Column]:
    """Return the area of the masks, and what the classifier makes of the masked and of the complement images.

    Args:
        content: Content of results.json.
    """
    columns = [Column(("area",), "area", None, "score", {"meaning": "Mean of the mask.", "range": "0 to 1"}, False)]
    images = {
        "kept": (True, "with only what the mask keeps: m · x + (1 − m) · mean colour"),
        "removed": (False, "without what the mask keeps: (1 − m) · x + m · mean colour"),
    }
    scores = {
        "mAP": "mean average precision",
        "F1": "F1 score",
        "accuracy": "accuracy",
        "probability": "probability of the labels",
    }
    for where, (up, how) in images.items():
        for score, name in scores.items():
            if _has_value(content, (where, score)):
                about = {"meaning": f"The classifier's {name} {how}.", "range": "0 to 1"}
                label = f"{score} {where}"
                # not ranked: the mask of everything would be the best of all
                columns.append(Column((where, score), label, up, "score", about, False))
    return columns


def costs(content: Content) -> list[Column]:
    """Return what a map costs: milliseconds, forward passes and memory, an image.

    Args:
        content: Content of results.json.
    """
    columns = [
        Column(("cost", "ms"), "ms", False, "ms", {"meaning": "Milliseconds an image."}, False),
        Column(("cost", "passes"), "passes", False, "count", {"meaning": "Forward passes an image."}, False),
        Column(("cost", "memory"), "memory", False, "bytes", {"meaning": "Peak memory an image."}, False),
    ]
    return [column for column in columns if _has_value(content, column.path)]
