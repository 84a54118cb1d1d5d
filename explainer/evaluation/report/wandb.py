"""The results of an evaluation in Weights & Biases."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from explainer.evaluation.report.columns import costs, decisions, quality
from explainer.evaluation.report.maps import Shown
from explainer.evaluation.report.printers import to_wandb
from explainer.evaluation.report.tables import method_table, with_costs
from explainer.evaluation.results.content import Content
from explainer.rendering import Tile, gallery

OPACITY = 0.55
"""Opacity of maps over photographs, as on the page."""


def log_report(run: Any, content: Content, page: Path, shown: Sequence[Shown] = ()) -> None:
    """Log what the report shows: numbers in the summary, a table of methods, the page, and the maps.

    Args:
        run: Run of wandb.
        content: Content of results.json.
        page: The report.
        shown: Images of the gallery.
    """
    import wandb  # late: it takes a second, for which those who do not use it do not wait

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
        logged["gallery"] = [wandb.Image(beside(one), caption=one.labels) for one in shown]
    run.log(logged)


def beside(one: Shown, wide: int = 6) -> Image.Image:
    """Return a picture of a photograph and all its maps over it.

    Args:
        one: Image of the gallery.
        wide: Number of pictures in a row.

    Example:
        >>> square = Image.new("RGB", (8, 8))
        >>> beside(Shown("a", square, "cat", {"Grad-CAM": square}, {})).mode
        'RGB'
    """
    grey = one.photograph.convert("L").convert("RGB")
    tiles = [Tile(one.photograph, one.labels)]
    for name, picture in one.maps.items():
        tiles.append(Tile(Image.blend(grey, picture, OPACITY), name))
    starts = range(0, len(tiles), wide)
    return gallery([tiles[start : start + wide] for start in starts])
