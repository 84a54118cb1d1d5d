"""From cells to the tables and the figure of a ROAR and KAR grid.

T. N. Mundhenk, B. Y. Chen, G. Friedland: Efficient Saliency Maps for Explainable AI, 2020 (Tables 2 and 5, Figure 5).
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NotRequired

from matplotlib.figure import Figure
from typing_extensions import TypedDict

from explainer.evaluation.report.numbers import number
from explainer.evaluation.report.table import Heading, Note, Table, paper_rows, text_row
from explainer.evaluation.results.published import reference
from explainer.experiments.retraining.leak import SIGN, MaskScore

NAMES = {"keep": "KAR", "remove": "ROAR"}
"""Mode → its name in the paper."""
SUMS = ("KAR", "ROAR", "SUM")
"""Columns of the paper's Table 2."""
MARKERS = "osD^v<>pPX*hd"
"""Markers of the methods; they repeat after 13, the colours after 12, so that the first 156 pairs differ."""
COLOURS = [*(f"C{n}" for n in (0, 1, 2, 3, 4, 5, 6, 8, 9)), "navy", "black", "darkolivegreen"]
"""Colours of the methods; C7 is left out, since it is the grey of random maps."""


class Score(TypedDict):
    """Scores of one cell over its seeds: mean and sample deviation in [0, 1], and their number."""

    mean: float
    deviation: float
    n: int


class MethodResult(TypedDict):
    """Results of one method.

    Attributes:
        scores: Mode → fraction → score.
        KAR: Sum of the mean scores with pixels kept, higher is better; None while a fraction is missing.
        ROAR: Minus the sum of the mean scores with pixels removed, higher is better; None while a fraction is missing.
        SUM: Sum of the two.
        seconds: Seconds that a map of an image takes.
        masks: Fraction → score of a network that saw the masks alone, where one was trained.
    """

    scores: dict[str, dict[str, Score]]
    KAR: float | None
    ROAR: float | None
    SUM: float | None
    seconds: float
    masks: NotRequired[dict[str, MaskScore]]


def summarise_cells(rows: Sequence[dict[str, Any]], seconds: dict[str, float]) -> dict[str, MethodResult]:
    """Return means and deviations over seeds, and the paper's sums.

    Args:
        rows: Rows of finished cells: method, mode, fraction, seed, score.
        seconds: Method → seconds that a map of an image takes.

    Returns:
        Method → its results.
    """
    results: dict[str, MethodResult] = {}
    fractions = {row["fraction"] for row in rows}
    for method in seconds:
        scores: dict[str, dict[str, Score]] = {}
        for mode in ("keep", "remove"):
            for fraction in sorted(fractions):
                cell = (method, mode, fraction)
                cell_rows = [row for row in rows if (row["method"], row["mode"], row["fraction"]) == cell]
                values = [row["score"] for row in cell_rows]
                if not values:  # all cells of this kind failed
                    continue
                # one seed has no deviation: its error bar has no length
                deviation = statistics.stdev(values) if len(values) > 1 else 0.0
                score = Score(mean=statistics.fmean(values), deviation=deviation, n=len(values))
                scores.setdefault(mode, {})[f"{fraction:g}"] = score
        kar = _sum_of_means(scores.get("keep", {}), len(fractions))
        roar = _sum_of_means(scores.get("remove", {}), len(fractions))
        if roar is not None:
            roar = -roar  # what is left after the removal should be little
        total = None
        if kar is not None and roar is not None:
            total = kar + roar
        results[method] = MethodResult(scores=scores, KAR=kar, ROAR=roar, SUM=total, seconds=seconds[method])
    return results


def _sum_of_means(scores: Mapping[str, Score], count: int) -> float | None:
    """Return the sum of the mean scores of all fractions; None while one of `count` is missing."""
    # a sum of fewer fractions would look like one of better or worse scores
    if not scores or len(scores) < count:
        return None
    return sum(score["mean"] for score in scores.values())


def retraining_tables(
    results: Mapping[str, MethodResult],
    modes: Sequence[str],
    fractions: Sequence[float],
    title: str,
    published: Mapping[str, object] | None = None,
) -> list[Table]:
    """Return the paper's Table 2 (the sums, best first) and Table 5 (every score).

    Args:
        results: Method → scores, as `summarise_cells` returns them.
        modes: "keep" and "remove".
        fractions: Fractions of the image, which are the columns.
        title: Title of the tables.
        published: Published numbers of results.json; their rows come last, and are marked.
    """
    return [sums_table(results, title, published), scores_table(results, modes, fractions, title, published)]


def sums_table(results: Mapping[str, MethodResult], title: str, published: Mapping[str, Any] | None) -> Table:
    """Return the paper's Table 2: the sums of the scores, best first, and what a map costs."""
    rows = []
    for method in sorted(results, key=lambda name: _last_without_sum(results[name])):
        entry = results[method]
        sign = f" {SIGN}" if any(score["leaks"] for score in entry.get("masks", {}).values()) else ""
        values = (entry["KAR"], entry["ROAR"], entry["SUM"])
        sums = [f"{number(value)}{sign}" for value in values]
        milliseconds = f"{1000 * entry['seconds']:.2f}"
        rows.append(text_row(method, [*sums, milliseconds]))
    columns = [*(Heading(name, "↑") for name in SUMS), Heading("ms an image")]
    # a paper's machine is another one: its times are not compared
    return Table(
        f"{title}: sums",
        "method",
        columns,
        rows,
        paper_rows(published, [*SUMS, ""]),
        caption=leak_caption(results),
    )


def scores_table(
    results: Mapping[str, MethodResult],
    modes: Sequence[str],
    fractions: Sequence[float],
    title: str,
    published: Mapping[str, Any] | None,
) -> Table:
    """Return the paper's Table 5: every score with its deviation over seeds."""
    cells = [(mode, fraction) for mode in modes for fraction in fractions]
    columns = [f"{NAMES[mode]} {100 * fraction:g} %" for mode, fraction in cells]
    # the paper has no such columns
    with_masks = any("masks" in entry for entry in results.values())
    if with_masks:
        columns += [f"read from masks {100 * fraction:g} %" for fraction in fractions]
    rows = []
    for method, entry in results.items():
        texts = []
        for mode, fraction in cells:
            score = entry["scores"].get(mode, {}).get(f"{fraction:g}")
            alone = entry.get("masks", {}).get(f"{fraction:g}")
            sign = f" {SIGN}" if alone is not None and alone["leaks"] else ""
            texts.append(f"{_score_in_percent(score)}{sign}")
        if with_masks:
            texts += [_mask_score(entry.get("masks", {}).get(f"{fraction:g}")) for fraction in fractions]
        rows.append(text_row(method, texts))
    return Table(
        f"{title}: scores in %",
        "method",
        [Heading(column) for column in columns],
        rows,
        published=paper_rows(published, columns),
        caption=leak_caption(results),
        notes=paper_note(published),
    )


def leak_caption(results: Mapping[str, MethodResult]) -> str:
    """Say what the sign of a leak means; nothing where the masks alone were not shown to a network.

    Args:
        results: Method → scores.
    """
    if not any("masks" in entry for entry in results.values()):
        return ""
    return (
        f"{SIGN}: a network that sees the masks alone, black and white, tells the class clearly above chance (by five "
        "points and three standard errors), so that the score may say nothing of what is left of the image"
    )


def _mask_score(score: MaskScore | None) -> str:
    """Write what was read from the masks alone; "failed" where the cell has no score."""
    if score is None:
        return "failed"
    sign = f" {SIGN}" if score["leaks"] else ""
    return f"{100 * score['score']:.1f}{sign}"


def paper_note(published: Mapping[str, Any] | None) -> dict[Note, str]:
    """Return the note that names the paper whose numbers a table shows; empty where it shows none.

    Args:
        published: Published numbers of results.json, or None.
    """
    source = reference(published)
    return {"published": source} if source else {}


def _score_in_percent(score: Score | None) -> str:
    """Write mean and deviation of a cell; "failed" where it has none."""
    if score is None:
        return "failed"
    mean = 100 * score["mean"]
    deviation = 100 * score["deviation"]
    return f"{mean:.1f} ± {deviation:.1f}"


def _last_without_sum(entry: MethodResult) -> float:
    """Return the key by which methods are sorted: the best sum first, those without a sum last."""
    return math.inf if entry["SUM"] is None else -entry["SUM"]


def plot(results: Mapping[str, MethodResult], modes: Sequence[str], fractions: Sequence[float]) -> Figure:
    """Draw score against fraction, a line a method, with the deviation over seeds as error bars (Figure 5).

    Args:
        results: Method → scores, as `summarise_cells` returns them.
        modes: "keep" and "remove"; each is a panel.
        fractions: Fractions of the image, which are the horizontal axis.

    Returns:
        The figure.
    """
    figure = Figure(figsize=(5.2 * len(modes), 4.8), layout="constrained")
    panels = figure.subplots(1, len(modes), sharey=True, squeeze=False)[0]
    for panel, mode in zip(panels, modes, strict=True):
        for place, (method, entry) in enumerate(results.items()):
            scores = entry["scores"].get(mode, {})
            known = []
            for fraction in fractions:
                score = scores.get(f"{fraction:g}")
                if score is not None:  # else all cells of this kind failed
                    known.append((fraction, score))
            if not known:
                continue
            x = [100 * fraction for fraction, _ in known]
            y = [100 * score["mean"] for _, score in known]
            error = [100 * score["deviation"] for _, score in known]
            style = {"color": COLOURS[place % len(COLOURS)]}
            if method.lower() == "random":
                style = {"linestyle": ":", "color": "grey"}
            marker = MARKERS[place % len(MARKERS)]
            panel.errorbar(x, y, error, label=method, marker=marker, markersize=5, capsize=2, lw=1.3, **style)
        if mode == "keep":
            panel.set_title(f"{NAMES[mode]} (higher is better)")
            panel.set_xlabel("most salient pixels kept, in %")
        else:
            panel.set_title(f"{NAMES[mode]} (lower is better)")
            panel.set_xlabel("most salient pixels removed, in %")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("test accuracy in %")
    figure.legend(*panels[-1].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    return figure
