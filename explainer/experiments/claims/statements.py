"""The kinds of claims: one method is ahead of others, two columns disagree, a retrained network is better.

Differences are paired: both methods saw the same images, or both cells differ in nothing but what is claimed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from explainer.errors import InputError
from explainer.evaluation.results.finished import finished_cells
from explainer.evaluation.results.intervals import mean_intervals, percentiles
from explainer.evaluation.results.kendall import resampled_means, tau_b
from explainer.experiments.claims.base import Claim, Effect, no_effect
from explainer.experiments.claims.read import matching, read_values


class Ahead(Claim):
    """One method is ahead of another one, or of each of several, in a column.

    The effect is the mean over images of the paired differences. Of several others, the one that the method is least
    ahead of decides, so that the claim holds only if it holds against each.

    Args:
        method: Name of the method that is claimed to be ahead.
        than: Name of the other one, or of each.
        column: Name of the column in results.json, "area", a cost such as "passes", or a number of a row.
        higher_is_better: Direction in which the method is ahead; None takes that of the column.
        at_least: Difference below which it is not ahead, in the column's unit.
        kwargs: Further arguments of `Claim`.

    Raises:
        InputError: No other method is named, or the method itself.
    """

    def __init__(
        self,
        method: str,
        than: list[str] | str,
        column: str,
        higher_is_better: bool | None = None,
        at_least: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.method = method
        self.than = [than] if isinstance(than, str) else than
        if not self.than or method in self.than:
            raise InputError(f"claim '{self.claim}': than must name other methods than {method}")
        self.column = column
        self.higher_is_better = higher_is_better
        self.at_least = at_least

    def effect(self, root: Path) -> Effect:
        """Measure how far the method is ahead of the nearest of the others."""
        values = read_values(root / self.results, self.column, [self.method, *self.than])
        higher_is_better = self.higher_is_better
        if higher_is_better is None:
            higher_is_better = values.higher_is_better
        if higher_is_better is None:
            raise InputError(f"claim '{self.claim}': {self.column} has no direction of its own: higher_is_better")
        sign = 1 if higher_is_better else -1
        effects = [self._against(values.by_method, other, sign) for other in self.than]
        return min(effects, key=lambda effect: (effect.reason == "", effect.low))

    def _against(self, values: Mapping[str, Tensor], other: str, sign: int) -> Effect:
        """Measure how far the method is ahead of one other."""
        differences = sign * (values[self.method] - values[other]) - self.at_least
        differences = differences[~differences.isnan()]
        measure = f"{self.column}: {self.method} against {other}"
        if not len(differences):
            return no_effect(f"no image has a value of both, {measure}")
        low, high = mean_intervals(differences[:, None])[0].tolist()
        return Effect(float(differences.mean()), low, high, len(differences), "images", measure)


class Conflict(Claim):
    r"""Two columns rank the methods differently: Kendall's τ between their means is below a bound.

    .. math:: \tau_b = \frac{C - D}{\sqrt{(C + D + T_x)(C + D + T_y)}}

    with the pairs of methods that both columns order alike (C) or the other way round (D), and the ties of one column
    alone (T). The effect is the bound less τ; images are drawn, and both columns are averaged over the same ones.

    Args:
        columns: Names of two columns; each is turned so that higher is better.
        methods: Names of the methods that are ranked, at least four.
        bound: Value of τ below which columns disagree, in [-1, 1].
        kwargs: Further arguments of `Claim`.

    Raises:
        InputError: There are not two columns, or too few methods.
    """

    def __init__(
        self,
        columns: list[str],
        methods: list[str],
        bound: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if len(columns) != 2 or len(set(methods)) < 4:
            raise InputError(f"claim '{self.claim}': two columns and at least four methods are compared")
        self.columns = columns
        self.methods = methods
        self.bound = bound

    def effect(self, root: Path) -> Effect:
        """Measure how far τ lies below the bound."""
        tables = []
        for column in self.columns:
            values = read_values(root / self.results, column, self.methods)
            if values.higher_is_better is None:
                raise InputError(f"claim '{self.claim}': {column} has no direction, so that it ranks nothing")
            sign = 1 if values.higher_is_better else -1
            table = torch.stack([values.by_method[method] for method in self.methods])
            tables.append(sign * table)
        # only images on which every method has both values: a mean over others would rank the images, too
        whole = ~torch.cat(tables).isnan().any(0)
        first, second = (table[:, whole] for table in tables)
        count = first.shape[1]
        measure = f"τ of {self.columns[0]} and {self.columns[1]} over {len(self.methods)} methods"
        if count < 2:
            return no_effect(f"{count} images have all values, {measure}")
        tau = float(tau_b(first.mean(1)[None], second.mean(1)[None]))
        resampled = tau_b(resampled_means(first), resampled_means(second))
        low, high = percentiles(resampled[:, None])[0].tolist()
        # the smaller τ is, the larger is the effect: the ends of the interval change places
        return Effect(
            value=self.bound - tau,
            low=self.bound - high,
            high=self.bound - low,
            n=count,
            unit="images",
            measure=f"{self.bound:g} − {measure}",
        )


class Retrained(Claim):
    """Cells of a grid of retrainings with some facts score higher than those with others.

    Cells are paired that are alike in all other facts, such as fraction and seed. The effect is the mean of the paired
    differences of their scores.

    Args:
        cells: Facts of the cells that are claimed to score higher, such as {method: SMOE Scale, mode: keep}.
        than: Facts of the cells they are paired with; empty compares with `level`.
        level: Score that is to be exceeded where there are no other cells, such as that of chance.
        score: Name of the number of a cell.
        kwargs: Further arguments of `Claim`.

    Raises:
        InputError: No facts are given.
    """

    def __init__(
        self,
        cells: dict[str, Any],
        than: dict[str, Any] | None = None,
        level: float = 0.0,
        score: str = "score",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not cells or cells == than:
            raise InputError(f"claim '{self.claim}': cells and than must be facts that differ")
        self.cells = cells
        self.than = than or {}
        self.level = level
        self.score = score

    def effect(self, root: Path) -> Effect:
        """Measure the mean of the paired differences."""
        folder = root / self.results
        cells = finished_cells(folder)
        higher = matching(cells, self.cells, self.score)
        if not higher:
            raise InputError(f"{folder}: no cell has {facts_in_words(self.cells)}")
        if self.than:
            lower = matching(cells, self.than, self.score)
            differences = [higher[key] - lower[key] for key in higher if key in lower]
            measure = f"{self.score}: {facts_in_words(self.cells)} against {facts_in_words(self.than)}"
        else:
            differences = [score - self.level for score in higher.values()]
            measure = f"{self.score}: {facts_in_words(self.cells)} against {self.level:g}"
        if not differences:
            raise InputError(f"{folder}: no cell of {facts_in_words(self.than)} belongs to one of these, {measure}")
        table = torch.tensor(differences, dtype=torch.float64)[:, None]
        low, high = mean_intervals(table)[0].tolist()
        return Effect(float(table.mean()), low, high, len(differences), "cells", measure)


def facts_in_words(facts: Mapping[str, Any]) -> str:
    """Write facts of cells in some words.

    Args:
        facts: Name → value.

    Example:
        >>> facts_in_words({"method": "RISE", "mode": "keep"})
        'RISE, keep'
    """
    return ", ".join(str(value) for value in facts.values())
