"""The results of an evaluation in Weights & Biases."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import wandb
from PIL import Image

from explainer.evaluation.report.columns import costs, decisions, quality
from explainer.evaluation.report.maps import Shown
from explainer.evaluation.report.printers import to_wandb
from explainer.evaluation.report.tables import method_table, with_costs
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
    columns = [*quality(content), *decisions(content), *costs(content)]
    table = method_table(content, "methods", columns)
    for row in table.rows:
        for column, cell in zip(columns, row.cells, strict=True):
            if cell.value is not None:
                run.summary[f"{row.name}/{column.key}"] = cell.value
    html = wandb.Html(page.read_text(encoding="utf-8"), inject=False)
    logged: dict[str, Any] = {"methods": to_wandb(table), "report": html}
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
