"""Figures on the disk: whole or absent, and no word of theirs read as a formula."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.text import Text

from explainer.files import printable, replacing


def save_figure(figure: Figure, path: Path, **settings: Any) -> None:
    """Write a figure whose words may hold anything.

    Args:
        figure: Figure; its words are changed to printable ones.
        path: Path of the file.
        settings: Settings of `Figure.savefig`.

    Raises:
        OSError: The file cannot be written.
    """
    for text in figure.findobj(Text):
        # matplotlib would read what stands between dollars as mathematics, and stop at what it does not understand
        text.set_parse_math(False)
        # line by line: a title may have several, and a line end is not printable
        lines = text.get_text().split("\n")
        text.set_text("\n".join(printable(line) for line in lines))
    with replacing(path) as partial:
        figure.savefig(partial, **settings)
