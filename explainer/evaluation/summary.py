"""From rows to results: means over images, classification scores, files."""

import csv
import json
import statistics
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from explainer.errors import InputError
from explainer.evaluation.runner import ORIGINAL
from explainer.metrics import MeanAveragePrecision, MeanF1

COLUMNS = {"acc": True, "iou": True, "mae": False, "sal": False, "insertion": True, "deletion": False}
"""Score → whether higher is better."""


def summarise(
    rows: list[dict[str, Any]], metrics: Collection[str] = (), alphas: dict[str, dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Results of every method.

    Args:
        rows: Of a `Store`.
        metrics: Further columns of the rows.
        alphas: Method → what `search_alphas` found.

    Returns:
        Method → its mean scores, on how many images each is defined (`n`), how many masks were constant (and, with
        further metrics, had nothing salient: `no_region`), seconds an image, and the classification of the
        masked (`kept`) and the complement (`removed`) images.
    """
    results: dict[str, Any] = {}
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == method]
        entry: dict[str, Any] = {"images": len(mine)}
        if method != ORIGINAL:
            for key in (*COLUMNS, *metrics, "area", "seconds"):
                values = [row[key] for row in mine if row.get(key) is not None]
                entry[key] = statistics.fmean(values) if values else None
                entry.setdefault("n", {})[key] = len(values)
            entry["constant"] = sum(row["constant"] for row in mine)
            entry["removed"] = classification([row["removed"] for row in mine])
            if metrics:
                entry["no_region"] = sum(row.get("no_region", False) for row in mine)
                entry["level"] = (alphas or {}).get(method)
        entry["kept"] = classification([row["kept"] for row in mine])
        results[method] = entry
    return results


def classification(said: list[dict[str, Any]]) -> dict[str, float | None]:
    """How well the classifier does.

    Args:
        said: Entries of `predictions`.

    Returns:
        Multi-label: mAP and F1 (threshold 0.5), means over the classes that some image has; single-label: accuracy.
        And the mean probability of the labels. All in [0, 1]; higher is better; None without a label.
    """
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


def write_results(
    rows: list[dict[str, Any]], facts: dict[str, Any], folder: Path, alphas: dict[str, dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Write results.json and per_image.csv.

    Args:
        rows: Of a `Store`.
        facts: What the results depend on; under "metrics", name → settings of further columns.
        folder: Exists.
        alphas: As in `summarise`.

    Returns:
        The content of results.json.

    Raises:
        InputError: There are no rows.
    """
    if not rows:
        raise InputError(f"nothing to write to {folder}: none of the images could be read")
    metrics = facts.get("metrics", {}) | facts.get("probes", {})
    content = {"facts": facts, "results": summarise(rows, metrics, alphas)}
    (folder / "results.json").write_text(json.dumps(content, indent=2) + "\n")
    fields = ["id", "method", *COLUMNS, *metrics, "area", "seconds", "constant"]
    with (folder / "per_image.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fields, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(row for row in rows if row["method"] != ORIGINAL)
    return content
