"""In-fills compared on held-out holes that leave the labelled objects to be recognised.

C.-H. Chang, E. Creager, A. Goldenberg, D. Duvenaud: Explaining Image Classifiers by Counterfactual Generation, ICLR
2019 (appendix A.5, Figures 3 and 16): an in-fill that looks like the data leaves the probability as it was.
"""

import statistics
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console
from rich.progress import track
from torch import Tensor

from explainer.attribution.masked_score import score_of
from explainer.data import Batch, ImageDataset, collate
from explainer.evaluation.batches import to_device
from explainer.evaluation.images import true_boxes
from explainer.evaluation.report.numbers import number
from explainer.evaluation.report.table import Cell, Heading, Note, Row, Table
from explainer.evaluation.scoring.loop import ORIGINAL
from explainer.evaluation.storage.rows import PlainRow
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
LABELS = {
    "l1": "L1 in the hole",
    "probability": "probability",
    "log_odds": "log-odds",
    "change": "|Δ probability|",
}
"""Score → its words above a column."""
_TRIES = 200
"""Draws of a box before an image counts as one without room."""


def draw_hole(occupied: Tensor, smallest: float, largest: float, generator: torch.Generator) -> Tensor | None:
    """Draw a box that touches nothing of what is occupied.

    Args:
        occupied: Pixels that the box must not touch, (H, W) bool.
        smallest: Smallest side of the box, as a fraction of the image's.
        largest: Largest side of the box, as a fraction of the image's.
        generator: Random number generator on the CPU.

    Returns:
        (H, W) bool, True in the box; None when none of 200 draws has room.

    Example:
        >>> draw_hole(torch.zeros(8, 8, dtype=torch.bool), 0.5, 0.5, torch.Generator()).sum().item()
        16
    """
    height, width = occupied.shape
    spread = largest - smallest
    # all numbers are drawn beforehand: a hole does not depend on how many draws had room
    for tall_draw, wide_draw, top_draw, left_draw in torch.rand(_TRIES, 4, generator=generator).tolist():
        tall = max(1, round(height * (smallest + spread * tall_draw)))
        wide = max(1, round(width * (smallest + spread * wide_draw)))
        top = int((height - tall + 1) * top_draw)
        left = int((width - wide + 1) * left_draw)
        box = torch.zeros_like(occupied)
        box[top : top + tall, left : left + wide] = True
        if not (box & occupied).any():
            return box
    return None


def image_and_hole(dataset: ImageDataset, index: int, settings: InfillSettings) -> tuple[Batch, Tensor] | None:
    """Return a labelled image and a hole in it.

    Args:
        dataset: Data set with annotations.
        index: Index of the image.
        settings: Kind and size of the holes.

    Returns:
        A batch of one image and a mask (1, 1, H, W) of 0 and 1, 0 in the hole. None for an image that cannot be read,
        has no label, has no ground truth where that is needed, or has no room.
    """
    batch = collate([dataset[index]])
    if not batch.id or not batch.labels.any():  # the batch is empty where the image cannot be read
        return None
    size = (batch.image.shape[-2], batch.image.shape[-1])
    # a seed for each image: its hole does not depend on which other images are taken
    seed = derived_seed(settings.seed, index)
    generator = torch.Generator().manual_seed(seed)
    occupied = torch.zeros(size, dtype=torch.bool)
    if settings.where.startswith("unrelated"):
        boxes = true_boxes(batch)
        if not len(boxes[0]):
            return None
        occupied = inside_boxes(boxes, size)[0, 0] > 0
    hole: Tensor | None = None
    if settings.where.endswith("pixels"):
        drawn = torch.rand(size, generator=generator) < settings.share
        hole = drawn & ~occupied
    else:
        hole = draw_hole(occupied, settings.smallest, settings.largest, generator)
    # a share of few pixels may be none of them
    if hole is None or not hole.any():
        return None
    mask = (~hole).float()
    return batch, mask[None, None]


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
        explanandum: Frozen classifier.
        fills: Name → in-fill.
        cases: Images, one a batch, with masks.
        store: Store of the rows; those that it has already are not computed again.
        seed: Seed of stochastic in-fills.
        device: Device on which to compute.
    """
    for batch, cpu_mask in track(cases, "filling in", console=Console(stderr=True)):
        batch = to_device(batch, device)
        image = batch.image
        mask = cpu_mask.to(device)
        hidden = 1 - mask
        untouched = answer_to(explanandum, batch, image)
        for name, fill in {ORIGINAL: None, **fills}.items():
            if store.has(name, batch.id):
                continue
            start = time.perf_counter()
            # the untouched image is a row as well, with which the others are compared
            seen = image
            if fill is not None:
                seen = filled_in(fill, image, mask, seed)
            seconds = time.perf_counter() - start
            scores = answer_to(explanandum, batch, seen)
            difference = (seen - image).abs() * hidden
            row = {
                "id": batch.id[0],
                "method": name,
                "probability": scores.probability,
                "log_odds": scores.log_odds,
                # a mean over the three channels of the hidden pixels
                "l1": float(difference.sum() / (3 * hidden.sum())),
                "seconds": seconds,
                "area": float(hidden.mean()),
                "change": abs(scores.probability - untouched.probability),
            }
            # one by one: a comparison that is stopped goes on behind the last in-fill
            store.append([row])


def filled_in(fill: Infill, image: Tensor, mask: Tensor, seed: int) -> Tensor:
    """Fill the hole in, with the same random draws for every image.

    Args:
        fill: In-fill.
        image: Images, (B, 3, H, W) in [0, 1].
        mask: Mask, (B, 1, H, W) of 0 and 1, 0 in the hole.
        seed: Seed of a stochastic in-fill.

    Returns:
        (B, 3, H, W): the composite.
    """
    generator = torch.Generator(image.device).manual_seed(seed)
    return composite(image, mask, fill(image, mask, generator))


class Answer(NamedTuple):
    """What the classifier says of the labels of one image.

    Attributes:
        probability: Mean probability of the labels.
        log_odds: Mean log-odds of the labels.
    """

    probability: float
    log_odds: float


def answer_to(explanandum: Explanandum, batch: Batch, seen: Tensor) -> Answer:
    """Return the mean probability and the mean log-odds of the labels of one image.

    Args:
        explanandum: Frozen classifier.
        batch: Batch of one, for the labels.
        seen: Image that the classifier sees, (1, 3, H, W) in [0, 1].
    """
    logits = explanandum(seen).float()
    target = batch.labels[0].nonzero()[:, 0]
    probabilities = explanandum.probabilities(logits)[0, target]
    odds = score_of(logits.expand(len(target), -1), target, explanandum.multilabel, "log_odds")
    return Answer(float(probabilities.mean()), float(odds.mean()))


def summarise_fills(rows: Sequence[PlainRow], names: Sequence[str]) -> dict[str, Any]:
    """Return means, medians and quartiles over the holes.

    Args:
        rows: Rows of the store.
        names: Names of the in-fills; the untouched images come first.

    Returns:
        Name → number of holes, seconds an image, and for each score mean, median and quartiles.
    """
    results: dict[str, Any] = {}
    quartiles = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
    for name in (ORIGINAL, *names):
        fill_rows = [row for row in rows if row["method"] == name]
        seconds = statistics.fmean(row["seconds"] for row in fill_rows)
        entry: dict[str, Any] = {"images": len(fill_rows), "seconds": seconds}
        for key in SCORES:
            values = torch.tensor([row[key] for row in fill_rows], dtype=torch.float64)
            low, middle, high = values.quantile(quartiles).tolist()
            entry[key] = {"mean": float(values.mean()), "median": middle, "quartiles": [low, high]}
        results[name] = entry
    return results


def fill_table(results: dict[str, Any], title: str, caption: str = "") -> Table:
    """Return the table of means, the best of each column marked.

    Args:
        results: Name → scores, as `summarise_fills` returns them.
        title: Title of the table.
        caption: Holes over which the means are taken, without the last full stop.
    """
    best = {}
    for key, higher_is_better in SCORES.items():
        # the untouched images would be the best of all
        means = [entry[key]["mean"] for name, entry in results.items() if name != ORIGINAL]
        best[key] = max(means) if higher_is_better else min(means)
    rows = []
    for name, entry in results.items():
        cells = []
        for key in SCORES:
            mean = entry[key]["mean"]
            is_best = name != ORIGINAL and mean == best[key]
            cells.append(Cell(number(mean), mean, mark="best" if is_best else ""))
        seconds = entry["seconds"]
        cells.append(Cell(number(1000 * seconds, 1), seconds))
        rows.append(Row(name, cells))
    columns = [Heading(LABELS[key], "↑" if up else "↓") for key, up in SCORES.items()]
    notes: dict[Note, str] = {"best": "best of the column"}
    return Table(title, "in-fill", [*columns, Heading("ms an image")], rows, caption=caption, notes=notes)


def plot_fills(rows: Sequence[PlainRow], names: Sequence[str]) -> Figure:
    """Draw box plots of the L1 in the hole, the probability of the labels and its change (Figure 16).

    Args:
        rows: Rows of the store.
        names: Names of the in-fills.

    Returns:
        The figure; boxes are quartiles, whiskers the 5th and 95th percentile, triangles means.
    """
    titles = {"l1": "L1 in the hole ↓", "probability": "probability of the label ↑", "change": "its change ↓"}
    figure = Figure(figsize=(11, 0.5 * len(names) + 2), layout="constrained")
    panels = figure.subplots(1, len(titles))
    for panel, (key, title) in zip(panels, titles.items(), strict=True):
        shown = list(names)
        if key == "probability":  # the other two of an untouched image are 0
            shown = [ORIGINAL, *names]
        values = []
        for name in shown:
            values.append([row[key] for row in rows if row["method"] == name])
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
    explanandum: Explanandum,
    fills: dict[str, Infill],
    cases: Sequence[tuple[Batch, Tensor]],
    seed: int,
    device: str,
) -> Image.Image:
    """Draw images × in-fills (Figure 3), with the labels' mean probability under each.

    Args:
        explanandum: Frozen classifier.
        fills: Name → in-fill.
        cases: Images, one a batch, with masks.
        seed: Seed of stochastic in-fills.
        device: Device on which to compute.

    Returns:
        The picture.
    """
    rows = []
    for batch, cpu_mask in cases:
        batch = to_device(batch, device)
        image = batch.image
        mask = cpu_mask.to(device)
        white = composite(image, mask, torch.ones_like(image))
        pictures = [image, *(filled_in(fill, image, mask, seed) for fill in fills.values())]
        tiles = []
        for picture in pictures:
            probability = answer_to(explanandum, batch, picture).probability
            tiles.append(Tile(to_pil(picture[0]), f"{probability:.2f}"))
        # what the classifier would say of the white hole is no result
        tiles.insert(1, Tile(to_pil(white[0])))
        rows.append(tiles)
    return gallery(rows, header=["image", "hole", *fills])
