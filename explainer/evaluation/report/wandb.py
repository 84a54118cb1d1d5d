"""The results of an evaluation in Weights & Biases."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import wandb
from PIL import Image

from explainer.evaluation.report.columns import Column, costs, decisions, quality
from explainer.evaluation.report.maps import Shown
from explainer.evaluation.report.tables import with_costs
from explainer.evaluation.scoring.loop import ORIGINAL
from explainer.rendering import Tile, gallery

OPACITY = 0.55
"""Of maps over photographs, as on the page."""


def log_report(run: Any, content: dict[str, Any], page: Path, shown: Sequence[Shown] = ()) -> None:
    """Log what the report shows: numbers in the summary, a table of methods, the page, and the maps.

    Args:
        run: Run of wandb.
        content: Content of results.json.
        page: The report.
        shown: Images of the gallery.
    """
    content = with_costs(content)
    methods = {name: entry for name, entry in content["results"].items() if name != ORIGINAL}
    columns = [*quality(content), *decisions(content), *costs(content)]
    header: list[str | int] = ["method"]
    for column in columns:
        header += [
            column.key,
            *([f"{column.key} {end}" for end in ("low", "high")] if _bounded(column, methods) else []),
        ]
    table = wandb.Table(columns=header)
    for name, entry in methods.items():
        numbers: list[Any] = [name]
        for column in columns:
            numbers.append(column.of(entry))
            numbers += (column.interval(entry) or [None, None]) if _bounded(column, methods) else []
            if column.of(entry) is not None:
                run.summary[f"{name}/{column.key}"] = column.of(entry)
        table.add_data(*numbers)
    logged: dict[str, Any] = {"methods": table, "report": wandb.Html(page.read_text(encoding="utf-8"), inject=False)}
    if shown:
        logged["gallery"] = [wandb.Image(beside(one), caption=one.said) for one in shown]
    run.log(logged)


def beside(one: Shown, wide: int = 6) -> Image.Image:
    """A photograph and all its maps over it, so many in a row.

    Args:
        one: Picture of the gallery.
        wide: Pictures in a row.

    Returns:
        The picture.

    Example:
        >>> some = Image.new("RGB", (8, 8))
        >>> beside(Shown("a", some, "cat", {"Grad-CAM": some}, {})).mode
        'RGB'
    """
    grey = one.photograph.convert("L").convert("RGB")
    tiles = [Tile(one.photograph, one.said)]
    tiles += [Tile(Image.blend(grey, picture, OPACITY), name) for name, picture in one.maps.items()]
    return gallery([tiles[start : start + wide] for start in range(0, len(tiles), wide)])


def _bounded(column: Column, methods: dict[str, Any]) -> bool:
    return any(column.interval(entry) for entry in methods.values())
