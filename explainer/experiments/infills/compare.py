"""In-fills compared on held-out holes that leave the labelled objects to be recognised.

C.-H. Chang, E. Creager, A. Goldenberg, D. Duvenaud: Explaining Image Classifiers by Counterfactual Generation, ICLR
2019 (appendix A.5, Figures 3 and 16): an in-fill that looks like the data leaves the probability as it was.
"""

import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from torch import Tensor

from explainer.attribution.masked_score import score_of
from explainer.data import Batch, ImageDataset, collate
from explainer.evaluation.batches import to_device
from explainer.evaluation.images import true_boxes
from explainer.evaluation.report.table import number, two_forms
from explainer.evaluation.scoring.loop import ORIGINAL
from explainer.evaluation.storage.store import Store
from explainer.experiments.infills.settings import InfillSettings
from explainer.functional.masking import composite
from explainer.functional.seeds import derived_seed
from explainer.infill import Infill
from explainer.metrics import inside_boxes
from explainer.networks import Explanandum
from explainer.rendering import Tile, gallery, to_pil

SCORES = {"l1": False, "probability": True, "log_odds": True, "change": False}
"""Score → whether higher is better."""
_TRIES = 200


def draw_hole(occupied: Tensor, smallest: float, largest: float, generator: torch.Generator) -> Tensor | None:
    """A box that touches nothing of what is occupied.

    Args:
        occupied: (H, W) bool.
        smallest: Its sides are at least this fraction of the image's.
        largest: And at most this.
        generator: On the CPU.

    Returns:
        (H, W) bool, the box; None when none of 200 draws has room.

    Example:
        >>> draw_hole(torch.zeros(8, 8, dtype=torch.bool), 0.5, 0.5, torch.Generator()).sum().item()
        16
    """
    height, width = occupied.shape
    for draw in torch.rand(_TRIES, 4, generator=generator).tolist():
        tall, wide = (
            max(1, round(side * (smallest + (largest - smallest) * u)))
            for side, u in zip((height, width), draw[:2], strict=True)
        )
        top, left = int((height - tall + 1) * draw[2]), int((width - wide + 1) * draw[3])
        box = torch.zeros_like(occupied)
        box[top : top + tall, left : left + wide] = True
        if not (box & occupied).any():
            return box
    return None


def image_and_hole(dataset: ImageDataset, index: int, settings: InfillSettings) -> tuple[Batch, Tensor] | None:
    """A labelled image and a hole in it.

    Args:
        dataset: With annotations.
        index: Of the image.
        settings: Where holes may be, and how large.

    Returns:
        A batch of one and a mask (1, 1, H, W), 0 in the hole; None for an image that cannot be read, has no label, has
        no ground truth where that is needed, or has no room.
    """
    batch = collate([dataset[index]])
    if not batch.id or not batch.labels.any():
        return None
    size = (batch.image.shape[-2], batch.image.shape[-1])
    generator = torch.Generator().manual_seed(derived_seed(settings.seed, index))
    occupied = torch.zeros(size, dtype=torch.bool)
    if settings.where.startswith("unrelated"):
        boxes = true_boxes(batch)
        if not len(boxes[0]):
            return None
        occupied = inside_boxes(boxes, size)[0, 0] > 0
    hole: Tensor | None
    if settings.where.endswith("pixels"):
        hole = (torch.rand(size, generator=generator) < settings.share) & ~occupied
    else:
        hole = draw_hole(occupied, settings.smallest, settings.largest, generator)
    return None if hole is None or not hole.any() else (batch, (~hole).float()[None, None])


@torch.no_grad()
def compare_fills(
    explanandum: Explanandum,
    fills: dict[str, Infill],
    cases: Sequence[tuple[Batch, Tensor]],
    store: Store,
    seed: int,
    device: str,
) -> None:
    """Score every in-fill on every hole, and append the rows to the store.

    Args:
        explanandum: The frozen classifier.
        fills: Name → in-fill.
        cases: Images, one a batch, with masks.
        store: Rows that it has already are not computed again.
        seed: Of stochastic in-fills.
        device: Where to compute.
    """
    for batch, mask in track(cases, "filling in", console=Console(stderr=True)):
        here, hole = to_device(batch, device), mask.to(device)
        whole = said(explanandum, here, here.image)
        for name, fill in {ORIGINAL: None, **fills}.items():
            if store.has(name, batch.id):
                continue
            start, seen = time.perf_counter(), here.image
            if fill is not None:
                filled = fill(here.image, hole, torch.Generator(device).manual_seed(seed))
                seen = composite(here.image, hole, filled)
            seconds = time.perf_counter() - start
            row: dict[str, Any] = said(explanandum, here, seen)
            off = (seen - here.image).abs() * (1 - hole)
            row |= {
                "l1": float(off.sum() / (3 * (1 - hole).sum())),
                "seconds": seconds,
                "area": float((1 - hole).mean()),
                "change": abs(row["probability"] - whole["probability"]),
            }
            store.append([{"id": batch.id[0], "method": name} | row])


def said(explanandum: Explanandum, batch: Batch, seen: Tensor) -> dict[str, float]:
    """Mean probability and log-odds of the labels of one image."""
    logits = explanandum(seen).float()
    target = batch.labels[0].nonzero()[:, 0]
    odds = score_of(logits.expand(len(target), -1), target, explanandum.multilabel, "log_odds")
    return {"probability": float(explanandum.probabilities(logits)[0, target].mean()), "log_odds": float(odds.mean())}


def summarise_fills(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """Means, medians and quartiles over the holes.

    Args:
        rows: Of the store.
        names: In-fills; the untouched images come first.

    Returns:
        Name → number of holes, seconds an image, and for each score mean, median and quartiles.
    """
    results: dict[str, Any] = {}
    for name in (ORIGINAL, *names):
        mine = [row for row in rows if row["method"] == name]
        entry: dict[str, Any] = {"images": len(mine), "seconds": statistics.fmean(row["seconds"] for row in mine)}
        for key in SCORES:
            values = torch.tensor([row[key] for row in mine], dtype=torch.float64)
            low, middle, high = values.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)).tolist()
            entry[key] = {"mean": float(values.mean()), "median": middle, "quartiles": [low, high]}
        results[name] = entry
    return results


def fill_table(results: dict[str, Any], title: str) -> tuple[Any, str]:
    """The means, the best of each column with a star, for the terminal and in Markdown."""
    names = {"l1": "L1 in the hole", "probability": "probability", "log_odds": "log-odds", "change": "|Δ probability|"}
    header = ["in-fill", *(f"{names[k]} {'↑' if up else '↓'}" for k, up in SCORES.items()), "ms an image"]
    best = {
        key: (max if up else min)(e[key]["mean"] for name, e in results.items() if name != ORIGINAL)
        for key, up in SCORES.items()
    }
    cells = []
    for name, entry in results.items():
        row = [name]
        for key in SCORES:
            starred = name != ORIGINAL and entry[key]["mean"] == best[key]
            row.append(number(entry[key]["mean"]) + (" *" if starred else ""))
        cells.append([*row, number(1000 * entry["seconds"], 1)])
    return two_forms(title, header, cells)


def plot_fills(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> Figure:
    """Box plots of the L1 in the hole, the probability of the labels and its change (Figure 16).

    Args:
        rows: Of the store.
        names: In-fills.

    Returns:
        The figure; boxes are quartiles, whiskers the 5th and 95th percentile, triangles means.
    """
    titles = {"l1": "L1 in the hole ↓", "probability": "probability of the label ↑", "change": "its change ↓"}
    figure = Figure(figsize=(11, 0.5 * len(names) + 2), layout="constrained")
    for panel, (key, title) in zip(figure.subplots(1, len(titles)), titles.items(), strict=True):
        shown = [ORIGINAL, *names] if key == "probability" else list(names)
        values = [[row[key] for row in rows if row["method"] == name] for name in shown]
        panel.boxplot(
            values,
            tick_labels=shown,
            orientation="horizontal",
            whis=(5, 95),
            showmeans=True,
            showfliers=False,
            widths=0.6,
        )
        panel.invert_yaxis()
        panel.set_title(title, fontsize=11)
        panel.grid(axis="x", alpha=0.3)
    return figure


@torch.no_grad()
def fill_gallery(
    explanandum: Explanandum, fills: dict[str, Infill], cases: Sequence[tuple[Batch, Tensor]], seed: int, device: str
) -> Any:
    """Images × in-fills (Figure 3), the labels' mean probability under each."""
    rows = []
    for batch, mask in cases:
        here, hole = to_device(batch, device), mask.to(device)
        white = torch.ones_like(here.image)
        seen = {"image": here.image, "hole": composite(here.image, hole, white)}
        for name, fill in fills.items():
            filled = fill(here.image, hole, torch.Generator(device).manual_seed(seed))
            seen[name] = composite(here.image, hole, filled)
        rows.append(
            [
                Tile(
                    to_pil(picture[0]),
                    "" if name == "hole" else f"{said(explanandum, here, picture)['probability']:.2f}",
                )
                for name, picture in seen.items()
            ]
        )
    return gallery(rows, header=["image", "hole", *fills])
