"""The table and the figure of an agreement: metrics by how far they agree with the truth."""

import statistics
from collections.abc import Mapping

from matplotlib.figure import Figure

from explainer.evaluation.report.numbers import formatted
from explainer.evaluation.report.table import Cell, Heading, Interval, Row, Table
from explainer.experiments.agreement.measure import Agreement

Groups = Mapping[str, Mapping[str, Agreement]]
"""Group of classifiers → column → agreement."""


def ordered(groups: Groups) -> list[str]:
    """Order the columns by the mean of their agreement over groups, the highest first; those without any are last.

    Args:
        groups: Agreement of each column in each group.

    Example:
        >>> ordered({"a": {"x": {"tau": 0.1}, "y": {"tau": 0.5}, "z": {"tau": None}}})
        ['y', 'x', 'z']
    """
    names = list(dict.fromkeys(name for of_group in groups.values() for name in of_group))
    means = {}
    for name in names:
        taus = [of_group[name]["tau"] for of_group in groups.values() if name in of_group]
        known = [tau for tau in taus if tau is not None]
        means[name] = statistics.fmean(known) if known else -2.0
    return sorted(names, key=lambda name: -means[name])


def agreement_table(groups: Groups, truth: str, title: str) -> Table:
    """Return the table: a row for each column of the evaluations, a column for each group of classifiers.

    Args:
        groups: Agreement of each column in each group.
        truth: Column that is the truth.
        title: Title of the table.
    """
    rows = []
    for name in ordered(groups):
        cells = []
        for of_group in groups.values():
            agreement = of_group.get(name)
            cells.append(Cell("–") if agreement is None else _cell(agreement))
        rows.append(Row(name, cells))
    headings = []
    for group, of_group in groups.items():
        classifiers = max(len(agreement["by_classifier"]) for agreement in of_group.values())
        noun = "classifier" if classifiers == 1 else "classifiers"
        headings.append(Heading(f"{group} ({classifiers} {noun})", "↑"))
    methods = max(agreement["methods"] for of_group in groups.values() for agreement in of_group.values())
    caption = (
        f"Kendall's τ-b over up to {methods} methods between a metric's means and those of the truth, {truth!r}, each "
        "turned so that higher is better: mean over classifiers"
    )
    notes = {"interval": "95 % interval over images; of ROAR, KAR and SUM over images and seeds of the retraining"}
    return Table(title, "metric", headings, rows, caption=caption, notes=notes)  # type: ignore[arg-type]


def _cell(agreement: Agreement) -> Cell:
    tau = agreement["tau"]
    ends = agreement["interval"]
    if tau is None or ends is None:
        return Cell("–")
    low, high = ends
    text = f"[{formatted(low)}, {formatted(high)}]"
    half = f"±{(high - low) / 2:.3f}"
    return Cell(formatted(tau), tau, Interval(low, high, text, half))


def forest(groups: Groups, truth: str) -> Figure:
    """Draw the agreement of each column with its interval, a colour for each group.

    Args:
        groups: Agreement of each column in each group.
        truth: Column that is the truth.
    """
    names = ordered(groups)
    # as high as its lines: a column has one for each group
    height = 1.2 + (0.16 + 0.13 * len(groups)) * len(names)
    figure = Figure(figsize=(7.5, height), layout="constrained")
    axes = figure.subplots()
    step = 0.7 / len(groups)
    for number, (group, of_group) in enumerate(groups.items()):
        shift = (number - (len(groups) - 1) / 2) * step
        label: str | None = group
        for place, name in enumerate(names):
            agreement = of_group.get(name)
            if agreement is None or agreement["tau"] is None or agreement["interval"] is None:
                continue
            low, high = agreement["interval"]
            y = place + shift
            axes.plot([low, high], [y, y], color=f"C{number}", linewidth=1.6)
            axes.plot(agreement["tau"], y, "o", color=f"C{number}", markersize=5, label=label)
            label = None  # once a group
            # each classifier, so that the spread over trainings is seen beside the interval over images
            singles = [tau for tau in agreement["by_classifier"] if tau is not None]
            axes.plot(singles, [y] * len(singles), "|", color=f"C{number}", markersize=6, alpha=0.6)
    axes.axvline(0, color="0.6", linewidth=0.8)
    axes.set_yticks(range(len(names)), names)
    # upside down, so that the first column stands at the top as in the table
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(-1.05, 1.05)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.set_xlabel(f"Kendall's τ-b with {truth!r} over methods")
    axes.legend(loc="lower left", fontsize=8)
    return figure
