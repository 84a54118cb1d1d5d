"""From cells to the tables and the figure of a ROAR and KAR grid.

T. N. Mundhenk, B. Y. Chen, G. Friedland: Efficient Saliency Maps for Explainable AI, 2020 (Tables 2 and 5, Figure 5).
"""

import statistics
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from rich.table import Table

from explainer.evaluation.report.table import two_forms
from explainer.evaluation.results.published import published_rows, reference

NAMES = {"keep": "KAR", "remove": "ROAR"}


def summarise_cells(rows: Sequence[dict[str, Any]], seconds: dict[str, float]) -> dict[str, Any]:
    """Means and deviations over seeds, and the paper's sums.

    Args:
        rows: Of finished cells: method, mode, fraction, seed, score.
        seconds: Method → seconds an image that its maps cost.

    Returns:
        Method → scores (mode → fraction → mean, deviation, n), KAR and ROAR sums (higher is better for both: ROAR
        counts negative) and their total, or None while a fraction is missing; seconds an image.
    """
    results: dict[str, Any] = {}
    fractions = {row["fraction"] for row in rows}
    for method in seconds:
        scores: dict[str, dict[str, Any]] = {}
        for mode in ("keep", "remove"):
            for fraction in sorted(fractions):
                values = [
                    r["score"] for r in rows if (r["method"], r["mode"], r["fraction"]) == (method, mode, fraction)
                ]
                if values:
                    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
                    entry = {"mean": statistics.fmean(values), "deviation": deviation, "n": len(values)}
                    scores.setdefault(mode, {})[f"{fraction:g}"] = entry
        sums = {
            mode: sum(e["mean"] for e in scores[mode].values())
            if mode in scores and len(scores[mode]) == len(fractions)
            else None
            for mode in NAMES
        }
        kar, roar = sums["keep"], None if sums["remove"] is None else -sums["remove"]
        results[method] = {
            "scores": scores,
            "KAR": kar,
            "ROAR": roar,
            "SUM": None if kar is None or roar is None else kar + roar,
            "seconds": seconds[method],
        }
    return results


def retraining_tables(
    results: dict[str, Any],
    modes: Sequence[str],
    fractions: Sequence[float],
    title: str,
    published: dict[str, Any] | None = None,
) -> tuple[list[Table], str]:
    """The paper's Table 5 (every score) and Table 2 (the sums, best first), for the terminal and in Markdown.

    Args:
        results: Of `summarise_cells`.
        modes: "keep" and "remove".
        fractions: The columns.
        title: Of the tables.
        published: Of results.json; its rows come last, and are marked.

    Returns:
        The tables, and the Markdown.
    """
    detail_header = ["method", *(f"{NAMES[m]} {100 * f:g} %" for m in modes for f in fractions)]
    detail = []
    for method, entry in results.items():
        cells = [entry["scores"].get(m, {}).get(f"{f:g}") for m in modes for f in fractions]
        shown = ["failed" if c is None else f"{100 * c['mean']:.1f} ± {100 * c['deviation']:.1f}" for c in cells]
        detail.append([method, *shown])
    detail += published_rows(published, detail_header[1:])
    sums_header = ["method", "KAR ↑", "ROAR ↑", "SUM ↑", "ms an image"]
    order = sorted(results, key=lambda m: -(results[m]["SUM"] if results[m]["SUM"] is not None else -1e9))
    sums = []
    for method in order:
        entry = results[method]
        shown = ["–" if entry[k] is None else f"{entry[k]:.3f}" for k in ("KAR", "ROAR", "SUM")]
        sums.append([method, *shown, f"{1000 * entry['seconds']:.2f}"])
    sums += [[*row, "–"] for row in published_rows(published, ("KAR", "ROAR", "SUM"))]
    both = [
        two_forms(f"{title}: sums", sums_header, sums),
        two_forms(f"{title}: scores in %", detail_header, detail),
    ]
    said = [f"{reference(published)}."] if reference(published) else []
    return [table for table, _ in both], "\n\n".join([*(text for _, text in both), *said]) + "\n"


def plot(results: dict[str, Any], modes: Sequence[str], fractions: Sequence[float]) -> Figure:
    """Score against fraction, a line a method, with the deviation over seeds as error bars (Figure 5).

    Args:
        results: Of `summarise_cells`.
        modes: A panel each.
        fractions: The horizontal axis.

    Returns:
        The figure.
    """
    figure = Figure(figsize=(5.2 * len(modes), 4.8), layout="constrained")
    panels = figure.subplots(1, len(modes), sharey=True, squeeze=False)[0]
    markers = "osD^v<>pPX*hd"
    colours = [f"C{n}" for n in (0, 1, 2, 3, 4, 5, 6, 8, 9)] + ["navy", "black", "darkolivegreen"]  # C7 is grey
    for panel, mode in zip(panels, modes, strict=True):
        for number, (method, entry) in enumerate(results.items()):
            known = [(f, entry["scores"].get(mode, {}).get(f"{f:g}")) for f in fractions]
            points = [(100 * f, 100 * c["mean"], 100 * c["deviation"]) for f, c in known if c is not None]
            if points:
                x, y, error = zip(*points, strict=True)
                style = {"color": colours[number % len(colours)]}
                if method.lower() == "random":
                    style = {"linestyle": ":", "color": "grey"}
                marker = markers[number % len(markers)]
                panel.errorbar(x, y, error, label=method, marker=marker, markersize=5, capsize=2, lw=1.3, **style)
        better, done = ("higher", "kept") if mode == "keep" else ("lower", "removed")
        panel.set_title(f"{NAMES[mode]} ({better} is better)")
        panel.set_xlabel(f"most salient pixels {done}, in %")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("test accuracy in %")
    figure.legend(*panels[-1].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    return figure
