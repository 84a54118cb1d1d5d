"""The curves that metrics are areas of, as a figure (C.-H. Chang et al., ICLR 2019, Figure 10)."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from explainer.evaluation.storage.columnar import Rows
from explainer.evaluation.storage.rows import PlainRow
from explainer.metrics import pixels_needed

REDUCTIONS = torch.linspace(0, 1, 21)
COLOURS = 10
"""Colours of matplotlib's usual cycle."""
STYLES = ("-", "--", ":")
"""Styles of lines; the next one begins when the colours repeat."""


def plot_flipping(rows: Sequence[PlainRow], methods: Sequence[str], column: str) -> Figure:
    """Draw the pixels that have to be replaced against the reduction of the log-odds; lower is better.

    Args:
        rows: Rows of a `Store`.
        methods: Names of the methods, a line each; those without a curve are left out.
        column: Column of the metric.

    Returns:
        The figure of means over images.
    """
    figure = Figure(figsize=(7.6, 4.8), layout="constrained")
    panel = figure.subplots()
    number = 0
    held = Rows.over(rows)
    for method in methods:
        of_method = held.of(method)
        curves = of_method.take(np.flatnonzero(of_method.has("curves", column))).values("curves", column)
        if curves:
            needed = pixels_needed(torch.tensor(curves), REDUCTIONS).mean(0)
            label = f"{method} ({len(curves)})"
            style = STYLES[number // COLOURS % len(STYLES)]
            colour = f"C{number % COLOURS}"
            panel.plot(100 * REDUCTIONS, 100 * needed, style, color=colour, lw=1.4, label=label)
            # counted here, and not by the methods: those without a curve take no colour
            number += 1
    panel.set_xlabel("reduction of the log-odds, in % of what filling in everything takes")
    panel.set_ylabel("most salient pixels replaced, in % (lower is better)")
    panel.grid(alpha=0.3)
    if number:
        figure.legend(loc="outside right upper", fontsize=7, title="method (images)", title_fontsize=7)
    return figure
