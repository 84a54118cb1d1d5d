"""From cells to the tables of a grid inside the network.

T. N. Mundhenk, B. Y. Chen, G. Friedland: Efficient Saliency Maps for Explainable AI, 2020 (Eq. 7, 8, Tables 1 and 4,
Figure 4).
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from rich.table import Table

from explainer.evaluation.report.table import two_forms
from explainer.evaluation.results.published import published_rows, reference

Both = tuple[Sequence[float], Sequence[float]]
"""Scores with locations kept, and with locations removed, one a scale."""


def difference_score(
    kar: Sequence[float], roar: Sequence[float], random: tuple[Sequence[float], Sequence[float]]
) -> float:
    r"""How far a statistic is from random masks, summed over scales; higher is better.

    .. math:: D = \sum_p (z_p - \rho_p) + \sum_q (\kappa_q - z_q) \quad (7)

    Args:
        kar: Scores in [0, 1] with the most salient kept, one a scale.
        roar: Scores with them removed.
        random: Scores of random masks, (kept, removed).

    Returns:
        D.

    Example:
        >>> round(difference_score([0.6], [0.3], ([0.5], [0.7])), 6)
        0.5
    """
    return sum(difference_by_scale(kar, roar, random))


def difference_by_scale(
    kar: Sequence[float], roar: Sequence[float], random: tuple[Sequence[float], Sequence[float]]
) -> list[float]:
    """Each scale's part of `difference_score`, as in the paper's Figure 4; higher is better.

    Args:
        kar: Scores in [0, 1] with the most salient kept, one a scale.
        roar: Scores with them removed.
        random: Scores of random masks, (kept, removed).

    Returns:
        A number a scale; their sum is D.

    Example:
        >>> [round(part, 6) for part in difference_by_scale([0.6, 0.5], [0.3, 0.7], ([0.5, 0.5], [0.7, 0.7]))]
        [0.5, 0.0]
    """
    parts = zip(kar, roar, *random, strict=True)
    return [(removed - r) + (k - kept) for k, r, kept, removed in parts]


def information_score(
    kar: Sequence[float], roar: Sequence[float], random: tuple[Sequence[float], Sequence[float]]
) -> float:
    r"""The same as an information gain, in bits; higher is better.

    The paper prints the binary logarithm, but the values of its Table 1 follow from its Table 4 with the natural one:
    they are this times ln 2.

    .. math:: I = -\sum_p \rho_p \log_2 \frac{\rho_p}{z_p} - \sum_q z_q \log_2 \frac{z_q}{\kappa_q} \quad (8)

    Args:
        kar: As in `difference_score`; none may be 0.
        roar: Likewise.
        random: Likewise.

    Returns:
        I.

    Example:
        >>> information_score([1.0], [0.25], ([0.5], [0.5]))
        0.75
    """
    kept, removed = random
    tiny = 1e-9
    gained = -sum(r * math.log2(max(r, tiny) / max(z, tiny)) for r, z in zip(roar, removed, strict=True))
    return gained - sum(z * math.log2(max(z, tiny) / max(k, tiny)) for k, z in zip(kar, kept, strict=True))


def summarise_layers(rows: Sequence[dict[str, Any]], scales: Sequence[int], removed: str) -> dict[str, Any]:
    """Means over seeds, D and I.

    Args:
        rows: Of finished cells.
        scales: In the order of the columns.
        removed: Which ROAR counts: "most" or "least".

    Returns:
        Statistic → keep and remove (a score a scale, None when missing), D, I and each scale's part of D (None while
        something is missing).
    """
    results: dict[str, Any] = {}
    for statistic in dict.fromkeys(row["statistic"] for row in rows):
        mine = [row for row in rows if row["statistic"] == statistic]
        entry: dict[str, Any] = {}
        for mode in ("keep", "remove"):
            wanted = removed if mode == "remove" and statistic != "random" else "most"
            found = [
                [r["score"] for r in mine if (r["scale"], r["mode"], r["removed"]) == (scale, mode, wanted)]
                for scale in scales
            ]
            entry[mode] = [statistics.fmean(values) if values else None for values in found]
        results[statistic] = entry
    chance = results.get("random", {"keep": [None], "remove": [None]})
    for entry in results.values():
        complete = None not in [*entry["keep"], *entry["remove"], *chance["keep"], *chance["remove"]]
        scores = (entry["keep"], entry["remove"], (chance["keep"], chance["remove"]))
        entry["D"] = difference_score(*scores) if complete else None
        entry["I"] = information_score(*scores) if complete else None
        entry["D by scale"] = difference_by_scale(*scores) if complete else None
    return results


def layer_tables(
    results: dict[str, Any], scales: Sequence[int], title: str, published: dict[str, Any] | None = None
) -> tuple[list[Table], str]:
    """The paper's Table 1 (D and I, best first) and Table 4 (every score), for the terminal and in Markdown.

    Args:
        results: Of `summarise_layers`.
        scales: The columns.
        title: Of the tables.
        published: Of results.json; its rows come last, and are marked.

    Returns:
        The tables, and the Markdown.
    """
    order = sorted(results, key=lambda s: -(results[s]["D"] if results[s]["D"] is not None else -1e9))
    first = [["statistic", "D ↑", "I ↑"]]
    first += [[s, *("–" if results[s][k] is None else f"{results[s][k]:.3f}" for k in ("D", "I"))] for s in order]
    first += published_rows(published, ("D", "I"))
    second = [["statistic", *(f"KAR L{s}" for s in scales), *(f"ROAR L{s}" for s in scales)]]
    for s in order:
        values = [*results[s]["keep"], *results[s]["remove"]]
        second.append([s, *("failed" if v is None else f"{100 * v:.1f}" for v in values)])
    second += published_rows(published, second[0][1:])
    both = [two_forms(f"{title}: {n}", c[0], c[1:]) for n, c in (("D and I", first), ("scores in %", second))]
    said = [f"{reference(published)}."] if reference(published) else []
    return [table for table, _ in both], "\n\n".join([*(text for _, text in both), *said]) + "\n"


def plot_layers(
    results: Mapping[str, Any], scales: Sequence[int], published: Mapping[str, Any] | None = None
) -> Figure:
    """Each scale's part of D, a line a statistic (Figure 4); a second panel has the paper's, where they are known.

    Args:
        results: Statistic → what `summarise_layers` gives.
        scales: The horizontal axis.
        published: Published rows, as in results.json, or None.

    Returns:
        The figure.
    """
    ours = {name: entry["D by scale"] for name, entry in results.items() if name != "random" and entry["D by scale"]}
    panels = {"measured here": (list(scales), ours)}
    paper = published_by_scale(published)
    if paper:
        count = max(len(values) for values in paper.values())
        panels["printed by the paper, mean over its data sets"] = (list(range(1, count + 1)), paper)
    figure = Figure(figsize=(5.4 * len(panels), 4.6), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    names = list(dict.fromkeys(name for _, lines in panels.values() for name in lines))
    styles = {name: {"color": f"C{n % 10}", "marker": "osD^v<>pP"[n % 9]} for n, name in enumerate(names)}
    for axis, (title, (places, lines)) in zip(axes, panels.items(), strict=True):
        for name, values in lines.items():
            axis.plot(places, values, label=name, lw=1.3, markersize=5, **styles[name])
        axis.axhline(0, color="grey", ls=":", lw=1)  # random masks
        axis.set_title(title, fontsize=10)
        axis.set_xticks(places, [f"L{place}" for place in places])
        axis.set_xlabel("scale, from fine to coarse")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("part of D (higher is better, random is 0)")
    handles = {label: h for axis in axes for h, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, fontsize=8)
    return figure


def published_by_scale(published: Mapping[str, Any] | None) -> dict[str, list[float]]:
    """Each scale's part of D from a paper's own scores, the mean over its data sets.

    Args:
        published: Published rows in percent, as in results.json; the name of a data set stands behind a comma.

    Returns:
        Statistic → a number a scale; of statistics without all scores, and without random masks, nothing.

    Example:
        >>> rows = {"random": {"KAR L1": 50, "ROAR L1": 70}, "mean": {"KAR L1": 60, "ROAR L1": 30}}
        >>> [round(part, 6) for part in published_by_scale({"rows": rows})["mean"]]
        [0.5]
    """
    scores: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for row, numbers in ((published or {}).get("rows") or {}).items():
        name, _, data = row.partition(", ")
        found = [[v / 100 for c, v in numbers.items() if c.startswith(f"{mode} L")] for mode in ("KAR", "ROAR")]
        if found[0] and len(found[0]) == len(found[1]):
            scores.setdefault(data, {})[name] = (found[0], found[1])
    parts: dict[str, list[list[float]]] = {}
    for one in scores.values():
        chance = one.pop("random", None)
        for name, (kar, roar) in one.items():
            if chance is not None and len(kar) == len(chance[0]):
                parts.setdefault(name, []).append(difference_by_scale(kar, roar, chance))
    return {name: [statistics.fmean(column) for column in zip(*values)] for name, values in parts.items()}
