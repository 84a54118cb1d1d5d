"""From rows to the results of alternate explanations: means over images, tables, files, and who has none.

S. Thakur, S. Fischmeister: A Generalizable Saliency Map-Based Interpretation of Model Outcome, ICPR 2020 (section
IV-F).
"""

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from explainer.errors import InputError
from explainer.evaluation.report.drawing import save_figure
from explainer.evaluation.report.table import two_forms
from explainer.experiments.variations import Variation
from explainer.experiments.variations.pictures import size_curves
from explainer.experiments.variations.settings import VariationSettings
from explainer.files import write_csv, write_json

DONE, NO_BOX, FULL_BOX, NO_CLASS = "done", "no box", "full box", "no class"
REASONS = {
    NO_BOX: "the saliency map is constant, there is no box",
    FULL_BOX: "the box covers the whole image, nothing around is known",
    NO_CLASS: "the classifier finds no class present, there is no decision to keep",
}
COLUMNS = (
    "accuracy",
    "accepted",
    "variations",
    "score",
    "deviation",
    "score_of_all",
    "best",
    "t_score",
    "diversity",
    "pixel_diversity",
    "loss",
    "area",
    "seconds",
)


def cells(settings: VariationSettings) -> Iterator[tuple[str, Variation, float]]:
    """Sources × sizes."""
    for name, source in settings.sources.items():
        for alpha in settings.alphas:
            yield name, source, alpha


def row_name(source: str, alpha: float) -> str:
    """What a row is stored under.

    Example:
        >>> row_name("Latent search", 0.5)
        'Latent search, α 0.5'
    """
    return f"{source}, α {alpha:g}"


def summarise_rows(rows: Sequence[dict[str, Any]], settings: VariationSettings) -> dict[str, Any]:
    """Means over images.

    Args:
        rows: Of a `Store`.
        settings: Sources and sizes that were asked for.

    Returns:
        Source → size → how many images came to which end (`images`), how many of the varied ones have no accepted
        variation (`without`), and for each score its mean over the images where it is defined, and their number (`n`).
    """
    results: dict[str, Any] = {}
    for name, _, alpha in cells(settings):
        mine = [row for row in rows if row["method"] == row_name(name, alpha)]
        done = [row for row in mine if row["status"] == DONE]
        entry: dict[str, Any] = {
            "images": {status: sum(row["status"] == status for row in mine) for status in (DONE, *REASONS)},
            "without": sum(not row["accepted"] for row in done),
            "n": {},
        }
        for key in COLUMNS:
            values = [row[key] for row in done if row[key] is not None]
            entry[key], entry["n"][key] = (statistics.fmean(values) if values else None), len(values)
        results.setdefault(name, {})[f"{alpha:g}"] = entry
    return results


def write_variations(
    rows: Sequence[dict[str, Any]], settings: VariationSettings, facts: dict[str, Any], folder: Path
) -> dict[str, Any]:
    """Write results.json, per_image.csv and the curves over sizes of the box.

    Args:
        rows: Of a `Store`.
        settings: Sources and sizes that were asked for.
        facts: What the results depend on.
        folder: Exists.

    Returns:
        The content of results.json.

    Raises:
        InputError: There are no rows.
    """
    asked = {row_name(name, alpha) for name, _, alpha in cells(settings)}
    mine = [row for row in rows if row["method"] in asked]
    if not mine:
        raise InputError(f"nothing to write to {folder}: none of the images could be read")
    content = {"facts": facts, "results": summarise_rows(mine, settings)}
    write_json(folder / "results.json", content)
    fields = ["id", "source", "alpha", "status", "class", "before", *COLUMNS]
    write_csv(folder / "per_image.csv", [fields, *([row.get(field, "") for field in fields] for row in mine)])
    save_figure(size_curves(content["results"], "mean over images"), folder / "sizes.png", dpi=130)
    return content


def variation_tables(results: dict[str, Any], title: str) -> tuple[Table, str]:
    """A row a source and size, for the terminal and in Markdown.

    Args:
        results: Of `summarise_rows`.
        title: Of the terminal's table.

    Returns:
        The table, and the Markdown.
    """
    header = [
        "source",
        "α",
        "images",
        "accepted %",
        "without any",
        "score ↑",
        "± within",
        "best",
        "t-score",
        "feature diversity ↑",
        "pixel diversity ↑",
        "loss ↓",
    ]
    lines = []
    for name, sizes in results.items():
        for alpha, entry in sizes.items():
            share = None if entry["accuracy"] is None else 100 * entry["accuracy"]
            numbers = [(share, 1), *((entry[k], 3) for k in ("score", "deviation", "best"))]
            numbers += [(entry["t_score"], 1), *((entry[k], 3) for k in ("diversity", "pixel_diversity", "loss"))]
            shown = ["–" if value is None else f"{value:.{digits}f}" for value, digits in numbers]
            lines.append([name, alpha, str(entry["images"][DONE]), shown[0], str(entry["without"]), *shown[1:]])
    table, text = two_forms(title, header, lines)
    caption = (
        "Means over images. Score, its deviation, t-score and diversity are those of the accepted variations; images "
        "without any do not count there. Best and loss are over all variations."
    )
    table.caption = caption
    return table, f"{text}\n\n{caption}\n"


def not_varied(rows: Sequence[dict[str, Any]], settings: VariationSettings) -> list[str]:
    """A line for each image and source that has no accepted variation, with the best, or no variation at all, and why.

    Args:
        rows: Of a `Store`.
        settings: Sources and sizes that were asked for.

    Returns:
        The lines.
    """
    lines = []
    for name in settings.sources:
        mine = [row for row in rows if row["source"] == name and row["alpha"] in settings.alphas]
        for image in dict.fromkeys(row["id"] for row in mine):
            own = [row for row in mine if row["id"] == image]
            done = [row for row in own if row["status"] == DONE]
            if not done:
                lines.append(f"{image}, {name}: {REASONS[own[0]['status']]}")
            elif not any(row["accepted"] for row in done):
                best = max(done, key=lambda row: row["best"])
                lines.append(
                    f"{image}, {name}: no accepted variation of {best['class']} {best['before']:.2f}; the best has "
                    f"{best['best']:.2f}, at α {best['alpha']:g}"
                )
    return lines
