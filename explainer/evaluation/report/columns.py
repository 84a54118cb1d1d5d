"""What the columns of the tables are: where their numbers stand, which way is better, what they mean."""

from typing import Any, NamedTuple

from explainer.evaluation.results.columns import FIXED
from explainer.evaluation.scoring.loop import ORIGINAL


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        path: Keys below a method's entry in results.json.
        label: In the header.
        up: Whether higher is better; None: neither is.
        kind: How numbers are shown: "percent", "score", "ms", "count" or "bytes".
        about: What is said of it: meaning, formula, range, paper; each may be missing.
        ranked: Whether its best is marked.
    """

    path: tuple[str, ...]
    label: str
    up: bool | None
    kind: str = "score"
    about: dict[str, str] = {}
    ranked: bool = True

    @property
    def key(self) -> str:
        """As rows, intervals and pairs call it."""
        return self.path[-1] if len(self.path) == 1 else ".".join(self.path)

    @property
    def arrow(self) -> str:
        """The direction in which numbers get better."""
        return {True: "↑", False: "↓", None: ""}[self.up]

    @property
    def direction(self) -> str:
        """The same in words."""
        return {True: "higher is better", False: "lower is better", None: "neither direction is better"}[self.up]

    def of(self, entry: dict[str, Any]) -> float | None:
        """The column's number in a method's entry, or None."""
        found: Any = entry
        for key in self.path:
            found = found.get(key) if isinstance(found, dict) else None
        return found if isinstance(found, int | float) else None

    def interval(self, entry: dict[str, Any]) -> list[float] | None:
        """The 95 % interval beside it, or None."""
        found = (entry.get("interval") or {}).get(self.key)
        return found if found and None not in found else None


def quality(content: dict[str, Any]) -> list[Column]:
    """The metrics, in the order of the config; of the scores that are always asked, those that are there.

    Args:
        content: Content of results.json.

    Returns:
        Columns whose best is marked.

    Example:
        >>> [c.label for c in quality({"results": {"a": {"iou": 0.5, "acc": None}}})]
        ['IoU']
    """
    entries = [entry for name, entry in content["results"].items() if name != ORIGINAL]
    said: dict[str, dict[str, Any]] = content.get("columns") or {}
    asked = {k: s.get("higher_is_better") for k, s in (content.get("facts", {}).get("metrics") or {}).items()}
    asked |= {key: s.get("higher_is_better") for key, s in said.items()}
    defined = [key for key in FIXED if any(entry.get(key) is not None for entry in entries)]
    there = {key: FIXED[key]["higher_is_better"] for key in defined}
    found = []
    for key, up in (there | {k: up for k, up in asked.items() if k not in FIXED}).items():
        about = dict(FIXED.get(key, {})) | {k: v for k, v in said.get(key, {}).items() if v not in (None, "")}
        kind = "percent" if about.get("percent") else "score"
        words: dict[str, str] = {k: str(about[k]) for k in ("meaning", "formula", "range", "paper") if k in about}
        found.append(Column((key,), str(about.get("label", key)), up, kind, words))
    return found


def decisions(content: dict[str, Any]) -> list[Column]:
    """The area of the masks, and what the classifier makes of the masked and of the complement images."""
    entries = [entry for name, entry in content["results"].items() if name != ORIGINAL]
    columns = [Column(("area",), "area", None, "score", {"meaning": "Mean of the mask.", "range": "0 to 1"}, False)]
    texts = {
        "kept": ("kept", True, "with only what the mask keeps: m · x + (1 − m) · mean colour"),
        "removed": ("removed", False, "without what the mask keeps: (1 − m) · x + m · mean colour"),
    }
    names = {"mAP": "mean average precision", "F1": "F1 score", "accuracy": "accuracy"}
    names["probability"] = "probability of the labels"
    for where, (word, up, how) in texts.items():
        for score, name in names.items():
            if any((e.get(where) or {}).get(score) is not None for e in entries):
                about = {"meaning": f"The classifier's {name} {how}.", "range": "0 to 1"}
                columns.append(Column((where, score), f"{score} {word}", up, "score", about, False))
    return columns


def costs(content: dict[str, Any]) -> list[Column]:
    """What a map costs: milliseconds, forward passes and memory, an image."""
    every = [
        Column(("cost", "ms"), "ms", False, "ms", {"meaning": "Milliseconds an image."}, False),
        Column(("cost", "passes"), "passes", False, "count", {"meaning": "Forward passes an image."}, False),
        Column(("cost", "memory"), "memory", False, "bytes", {"meaning": "Peak memory an image."}, False),
    ]
    return [c for c in every if any(c.of(entry) is not None for entry in content["results"].values())]
