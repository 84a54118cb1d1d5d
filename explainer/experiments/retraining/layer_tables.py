"""From cells to the tables of a grid inside the network.

T. N. Mundhenk, B. Y. Chen, G. Friedland: Efficient Saliency Maps for Explainable AI, 2020 (Eq. 7, 8, Tables 1 and 4,
Figure 4).
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from typing_extensions import TypedDict

from explainer.evaluation.report.numbers import number
from explainer.evaluation.report.table import Heading, Table, paper_rows, text_row
from explainer.experiments.retraining.tables import paper_note

StatisticResult = TypedDict(
    "StatisticResult",
    {
        "keep": list[float | None],
        "remove": list[float | None],
        "D": float | None,
        "I": float | None,
        "D by scale": list[float] | None,
    },
)
"""Results of one statistic: mean scores over seeds, one a scale (None where it is missing), D, I and the parts of D."""


class ScaleScores(NamedTuple):
    """Scores of one statistic in [0, 1], one a scale.

    Attributes:
        keeping: Scores with the most salient locations kept.
        removing: Scores with locations removed.
    """

    keeping: Sequence[float]
    removing: Sequence[float]


TINY = 1e-9
"""Smallest score of which a logarithm is taken: a score of 0 would make the gain infinite."""


def difference_score(kar: Sequence[float], roar: Sequence[float], random: ScaleScores) -> float:
    r"""Return how far a statistic is from random masks, summed over scales.

    .. math:: D = \sum_p (z_p - \rho_p) + \sum_q (\kappa_q - z_q) \quad (7)

    Args:
        kar: Scores in [0, 1] with the most salient locations kept, one a scale.
        roar: Scores in [0, 1] with the most salient locations removed, one a scale.
        random: Scores of random masks, with locations kept and with locations removed.

    Returns:
        D, higher is better; random masks have 0.

    Example:
        >>> round(difference_score([0.6], [0.3], ScaleScores([0.5], [0.7])), 6)
        0.5
    """
    return sum(difference_by_scale(kar, roar, random))


def difference_by_scale(kar: Sequence[float], roar: Sequence[float], random: ScaleScores) -> list[float]:
    """Return each scale's part of `difference_score`, as in the paper's Figure 4.

    Args:
        kar: Scores in [0, 1] with the most salient locations kept, one a scale.
        roar: Scores in [0, 1] with the most salient locations removed, one a scale.
        random: Scores of random masks, with locations kept and with locations removed.

    Returns:
        A number for each scale, higher is better; their sum is D.

    Example:
        >>> chance = ScaleScores([0.5, 0.5], [0.7, 0.7])
        >>> [round(part, 6) for part in difference_by_scale([0.6, 0.5], [0.3, 0.7], chance)]
        [0.5, 0.0]
    """
    by_removal = [chance - score for score, chance in zip(roar, random.removing, strict=True)]
    by_keeping = [score - chance for score, chance in zip(kar, random.keeping, strict=True)]
    return [removal + keeping for removal, keeping in zip(by_removal, by_keeping, strict=True)]


def information_score(kar: Sequence[float], roar: Sequence[float], random: ScaleScores) -> float:
    r"""Return how far a statistic is from random masks as an information gain, in bits.

    The paper prints the binary logarithm, but the values of its Table 1 follow from its Table 4 with the natural one:
    they are this score times ln 2.

    .. math:: I = -\sum_p \rho_p \log_2 \frac{\rho_p}{z_p} - \sum_q z_q \log_2 \frac{z_q}{\kappa_q} \quad (8)

    Args:
        kar: Scores in (0, 1] with the most salient locations kept, one a scale.
        roar: Scores in (0, 1] with the most salient locations removed, one a scale.
        random: Scores of random masks in (0, 1], with locations kept and with locations removed.

    Returns:
        I, higher is better; random masks have 0.

    Example:
        >>> information_score([1.0], [0.25], ScaleScores([0.5], [0.5]))
        0.75
    """
    removals = zip(roar, random.removing, strict=True)
    keepings = zip(kar, random.keeping, strict=True)
    by_removal = sum(_gain(score, chance) for score, chance in removals)
    by_keeping = sum(_gain(chance, score) for score, chance in keepings)
    return -by_removal - by_keeping


def _gain(a: float, b: float) -> float:
    """Return a · log₂(a / b)."""
    return a * math.log2(max(a, TINY) / max(b, TINY))


def summarise_layers(rows: Sequence[dict[str, Any]], scales: Sequence[int], removed: str) -> dict[str, StatisticResult]:
    """Return means over seeds, D and I.

    Args:
        rows: Rows of finished cells.
        scales: Numbers of the scales, in the order of the columns.
        removed: Locations whose removal counts as ROAR: the "most" or the "least" salient ones.

    Returns:
        Statistic → its results; D, I and the parts of D are None while a score is missing.
    """
    results: dict[str, StatisticResult] = {}
    for statistic in dict.fromkeys(row["statistic"] for row in rows):
        statistic_rows = [row for row in rows if row["statistic"] == statistic]
        # cells that keep, and those of random masks, are trained once, under the word "most"
        which = "most" if statistic == "random" else removed
        results[statistic] = {
            "keep": [_mean_score(statistic_rows, scale, "keep", "most") for scale in scales],
            "remove": [_mean_score(statistic_rows, scale, "remove", which) for scale in scales],
            "D": None,
            "I": None,
            "D by scale": None,
        }
    chance = _complete(results.get("random"))
    for entry in results.values():
        scores = _complete(entry)
        if scores is None or chance is None:  # a sum of fewer scales would be taken for one of all
            continue
        entry["D"] = difference_score(*scores, chance)
        entry["I"] = information_score(*scores, chance)
        entry["D by scale"] = difference_by_scale(*scores, chance)
    return results


def _complete(result: StatisticResult | None) -> ScaleScores | None:
    """Return the scores with locations kept and removed; None while one is missing."""
    if result is None:
        return None
    keeping = [score for score in result["keep"] if score is not None]
    removing = [score for score in result["remove"] if score is not None]
    incomplete = len(keeping) < len(result["keep"]) or len(removing) < len(result["remove"])
    if incomplete:
        return None
    return ScaleScores(keeping, removing)


def _mean_score(rows: Sequence[dict[str, Any]], scale: int, mode: str, removed: str) -> float | None:
    """Return the mean over seeds of one kind of cells; None where none is finished."""
    kind = (scale, mode, removed)
    cell_rows = [row for row in rows if (row["scale"], row["mode"], row["removed"]) == kind]
    scores = [row["score"] for row in cell_rows]
    return statistics.fmean(scores) if scores else None


def layer_tables(
    results: Mapping[str, StatisticResult],
    scales: Sequence[int],
    title: str,
    published: Mapping[str, object] | None = None,
) -> list[Table]:
    """Return the paper's Table 1 (D and I, best first) and Table 4 (every score).

    Args:
        results: Statistic → scores, as `summarise_layers` returns them.
        scales: Numbers of the scales, which are the columns.
        title: Title of the tables.
        published: Published numbers of results.json; their rows come last, and are marked.
    """
    order = sorted(results, key=lambda name: _last_without_score(results[name]))
    sums = []
    scores = []
    for name in order:
        entry = results[name]
        both = [number(entry["D"]), number(entry["I"])]
        sums.append(text_row(name, both))
        percents = [_in_percent(score) for score in (*entry["keep"], *entry["remove"])]
        scores.append(text_row(name, percents))
    columns = [f"{name} L{scale}" for name in ("KAR", "ROAR") for scale in scales]
    sums_table = Table(
        f"{title}: D and I",
        "statistic",
        [Heading("D", "↑"), Heading("I", "↑")],
        sums,
        published=paper_rows(published, ("D", "I")),
    )
    scores_table = Table(
        f"{title}: scores in %",
        "statistic",
        [Heading(column) for column in columns],
        scores,
        published=paper_rows(published, columns),
        notes=paper_note(published),
    )
    return [sums_table, scores_table]


def _last_without_score(entry: StatisticResult) -> float:
    """Return the key by which statistics are sorted: the best D first, those without a D last."""
    return math.inf if entry["D"] is None else -entry["D"]


def _in_percent(score: float | None) -> str:
    """Write a score in percent; "failed" where no cell has one."""
    return "failed" if score is None else f"{100 * score:.1f}"


def plot_layers(
    results: Mapping[str, StatisticResult],
    scales: Sequence[int],
    published: Mapping[str, Any] | None = None,
) -> Figure:
    """Draw each scale's part of D, a line a statistic (Figure 4); a second panel has the paper's, if they are known.

    Args:
        results: Statistic → scores, as `summarise_layers` returns them.
        scales: Numbers of the scales, which are the horizontal axis.
        published: Published numbers of results.json, or None.

    Returns:
        The figure.
    """
    # random masks are the zero line
    measured = {}
    for name, entry in results.items():
        if name != "random" and entry["D by scale"]:
            measured[name] = entry["D by scale"]
    panels = {"measured here": (list(scales), measured)}
    paper = published_by_scale(published)
    if paper:
        count = max(len(values) for values in paper.values())
        panels["printed by the paper, mean over its data sets"] = (list(range(1, count + 1)), paper)
    figure = Figure(figsize=(5.4 * len(panels), 4.6), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    # a statistic has the same colour and marker in both panels
    drawn = [name for _, lines in panels.values() for name in lines]
    names = list(dict.fromkeys(drawn))
    styles = {}
    for place, name in enumerate(names):
        marker = "osD^v<>pP"[place % 9]
        styles[name] = {"color": f"C{place % 10}", "marker": marker}
    for axis, (title, (places, lines)) in zip(axes, panels.items(), strict=True):
        for name, values in lines.items():
            axis.plot(places, values, label=name, lw=1.3, markersize=5, **styles[name])
        axis.axhline(0, color="grey", ls=":", lw=1)  # random masks
        axis.set_title(title, fontsize=10)
        axis.set_xticks(places, [f"L{place}" for place in places])
        axis.set_xlabel("scale, from fine to coarse")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("part of D (higher is better, random is 0)")
    # by label: a statistic of both panels stands in the legend once
    entries: dict[str, Artist] = {}
    for axis in axes:
        handles, labels = axis.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=3, fontsize=8)
    return figure


def published_by_scale(published: Mapping[str, Any] | None) -> dict[str, list[float]]:
    """Return each scale's part of D from a paper's own scores, as the mean over its data sets.

    Args:
        published: Published numbers of results.json in percent; the name of a data set stands behind a comma.

    Returns:
        Statistic → a number for each scale. Statistics without all scores are left out, and so are data sets without
        random masks.

    Example:
        >>> rows = {"random": {"KAR L1": 50, "ROAR L1": 70}, "mean": {"KAR L1": 60, "ROAR L1": 30}}
        >>> [round(part, 6) for part in published_by_scale({"rows": rows})["mean"]]
        [0.5]
    """
    rows = (published or {}).get("rows") or {}
    scores: dict[str, dict[str, ScaleScores]] = {}
    for row, numbers in rows.items():
        name, _, data = row.partition(", ")
        kar = _fractions(numbers, "KAR")
        roar = _fractions(numbers, "ROAR")
        if kar and len(kar) == len(roar):
            scores.setdefault(data, {})[name] = ScaleScores(kar, roar)
    parts: dict[str, list[list[float]]] = {}
    for data_scores in scores.values():
        chance = data_scores.pop("random", None)
        if chance is None:
            continue
        for name, of_statistic in data_scores.items():
            # a paper may leave scales of a statistic out: a part of D has no counterpart then
            if len(of_statistic.keeping) == len(chance.keeping):
                parts.setdefault(name, []).append(difference_by_scale(*of_statistic, chance))
    means = {}
    for name, data_parts in parts.items():
        # data sets may have different numbers of scales: those that all have are compared
        means[name] = [statistics.fmean(column) for column in zip(*data_parts)]
    return means


def _fractions(numbers: Mapping[str, float], name: str) -> list[float]:
    """Return the scores of all scales in [0, 1] from columns such as "KAR L1" in percent."""
    of_scales = [percent for column, percent in numbers.items() if column.startswith(f"{name} L")]
    return [percent / 100 for percent in of_scales]
