"""From rows to the results of alternate explanations: means over images, tables, files, and images without any.

S. Thakur, S. Fischmeister: A Generalizable Saliency Map-Based Interpretation of Model Outcome, ICPR 2020 (section
IV-F).
"""

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from explainer.errors import InputError
from explainer.evaluation.report.drawing import save_figure
from explainer.evaluation.report.numbers import number
from explainer.evaluation.report.table import Heading, Table, text_row
from explainer.evaluation.storage.rows import PlainRow
from explainer.experiments.variations import Variation
from explainer.experiments.variations.pictures import size_curves
from explainer.experiments.variations.settings import VariationSettings
from explainer.files import write_csv, write_json

DONE = "done"
NO_BOX = "no box"
FULL_BOX = "full box"
NO_CLASS = "no class"
# the texts end a line that names image and source
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


class Cell(NamedTuple):
    """A source of variations, and a size of the box.

    Attributes:
        name: Name of the source.
        source: Source of variations.
        alpha: Scale of the box's sides, in (0, 1].
    """

    name: str
    source: Variation
    alpha: float


def cells(settings: VariationSettings) -> Iterator[Cell]:
    """Yield every source with every size of the box."""
    for name, source in settings.sources.items():
        for alpha in settings.alphas:
            yield Cell(name, source, alpha)


def row_name(source: str, alpha: float) -> str:
    """Return the name under which a row is stored.

    Args:
        source: Name of the source of variations.
        alpha: Scale of the box's sides.

    Example:
        >>> row_name("Latent search", 0.5)
        'Latent search, α 0.5'
    """
    return f"{source}, α {alpha:g}"


def summarise_rows(rows: Sequence[PlainRow], settings: VariationSettings) -> dict[str, Any]:
    """Return means over images.

    Args:
        rows: Rows of a `Store`.
        settings: Sources and sizes that were asked for.

    Returns:
        Source → size → the number of images with each status (`images`), the number of varied images without an
        accepted variation (`without`), and for each score its mean over the images where it is defined, with their
        number (`n`).
    """
    results: dict[str, Any] = {}
    for name, _, alpha in cells(settings):
        cell_rows = [row for row in rows if row["method"] == row_name(name, alpha)]
        statuses = [row["status"] for row in cell_rows]
        done = [row for row in cell_rows if row["status"] == DONE]
        entry: dict[str, Any] = {
            "images": {status: statuses.count(status) for status in (DONE, *REASONS)},
            "without": sum(not row["accepted"] for row in done),
            "n": {},
        }
        for key in COLUMNS:
            # a score is not defined for every image: `n` tells over how many the mean goes
            values = [row[key] for row in done if row[key] is not None]
            entry[key] = statistics.fmean(values) if values else None
            entry["n"][key] = len(values)
        results.setdefault(name, {})[f"{alpha:g}"] = entry
    return results


def asked_rows(rows: Sequence[PlainRow], settings: VariationSettings) -> list[PlainRow]:
    """Return the rows of the sources and sizes that are asked for: a store may hold those of an earlier call too."""
    asked = {row_name(name, alpha) for name, _, alpha in cells(settings)}
    return [row for row in rows if row["method"] in asked]


def write_variations(
    rows: Sequence[PlainRow],
    settings: VariationSettings,
    facts: dict[str, object],
    folder: Path,
) -> dict[str, object]:
    """Write results.json, per_image.csv and the curves over sizes of the box.

    Args:
        rows: Rows of a `Store`.
        settings: Sources and sizes that were asked for.
        facts: Facts on which the results depend.
        folder: Folder of the results, which exists.

    Returns:
        The content of results.json.

    Raises:
        InputError: There are no rows.
    """
    used = asked_rows(rows, settings)
    if not used:
        raise InputError(f"nothing to write to {folder}: none of the images could be read")
    results = summarise_rows(used, settings)
    content: dict[str, object] = {"facts": facts, "results": results}
    write_json(folder / "results.json", content)
    fields = ["id", "source", "alpha", "status", "class", "before", *COLUMNS]
    lines = [fields]
    for row in used:
        lines.append([row.get(field, "") for field in fields])
    write_csv(folder / "per_image.csv", lines)
    save_figure(size_curves(results, "mean over images"), folder / "sizes.png", dpi=130)
    return content


def variation_table(results: dict[str, Any], title: str) -> Table:
    """Return a table with a row for each source and size.

    Args:
        results: Means over images, as `summarise_rows` returns them.
        title: Title of the table.
    """
    columns = [
        Heading("α"),
        Heading("images"),
        Heading("accepted %"),
        Heading("without any"),
        Heading("score", "↑"),
        Heading("± within"),
        Heading("best"),
        Heading("t-score"),
        Heading("feature diversity", "↑"),
        Heading("pixel diversity", "↑"),
        Heading("loss", "↓"),
    ]
    rows = []
    for name, sizes in results.items():
        for alpha, entry in sizes.items():
            percent = None
            if entry["accuracy"] is not None:
                percent = 100 * entry["accuracy"]
            images = str(entry["images"][DONE])
            texts = [alpha, images, number(percent, 1), str(entry["without"])]
            for key in ("score", "deviation", "best", "t_score", "diversity", "pixel_diversity", "loss"):
                texts.append(number(entry[key], 1 if key == "t_score" else 3))
            rows.append(text_row(name, texts))
    caption = (
        "Means over images. Score, its deviation, t-score and diversity are those of the accepted variations; images "
        "without any do not count there. Best and loss are over all variations"
    )
    return Table(title, "source", columns, rows, caption=caption)


def not_varied(rows: Sequence[PlainRow], settings: VariationSettings) -> list[str]:
    """Name the images and sources without an accepted variation.

    Args:
        rows: Rows of a `Store`.
        settings: Sources and sizes that were asked for.

    Returns:
        A line for each: the best variation, or why there is no variation at all.
    """
    lines = []
    for name in settings.sources:
        # the store may hold sizes that an earlier call asked for and this one does not
        source_rows = [row for row in rows if row["source"] == name and row["alpha"] in settings.alphas]
        for image in dict.fromkeys(row["id"] for row in source_rows):
            image_rows = [row for row in source_rows if row["id"] == image]
            done = [row for row in image_rows if row["status"] == DONE]
            if not done:
                reason = REASONS[image_rows[0]["status"]]
                lines.append(f"{image}, {name}: {reason}")
            elif not any(row["accepted"] for row in done):
                best = max(done, key=lambda row: row["best"])
                lines.append(
                    f"{image}, {name}: no accepted variation of {best['class']} {best['before']:.2f}; the best has "
                    f"{best['best']:.2f}, at α {best['alpha']:g}"
                )
    return lines
