"""How much of a method's budget is needed for its map.

S. Thakur, S. Fischmeister: A Generalizable Saliency Map-Based Interpretation of Model Outcome, ICPR 2020 (Figure 4, the
insertion score against iterations, which `metric` gives).
"""

from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor

from explainer.attribution import Attribution
from explainer.evaluation.sanity_checks.base import MethodRun, SanityCheck, agreement, check_setting, with_setting
from explainer.evaluation.view import metric_view
from explainer.metrics import ImageMetric, Measured
from explainer.networks import Explanandum


def with_budget(method: Attribution, fraction: float) -> Attribution:
    """Copy a method and give the copy a part of its masks, samples, iterations or steps, at least one.

    Args:
        method: Method whose `budget` names the hyperparameter.
        fraction: Share of the budget.

    Raises:
        InputError: The method has no budget.

    Example:
        >>> from explainer.attribution import RISE
        >>> with_budget(RISE(masks=4000), 1 / 8).masks
        500
    """
    # a method without a budget has no such hyperparameter, and is refused by this name
    name = method.budget or "budget"
    whole = vars(method).get(name, 0)
    part = max(1, round(fraction * whole))
    return with_setting(method, name, part)


class Convergence(SanityCheck):
    """How near to the whole budget's mask the method comes with less: the mean over parts of the budget.

    Each part is a run of its own with so small a budget, warm-up and decay included as the method defines them, not a
    look into the longer run. Methods without a budget have no value.

    Args:
        fractions: Fractions of the budget.
        metric: Metric to measure of each mask, the whole budget's too, instead of the rank correlation with the
            latter. It sees no level but 0.5.

    Raises:
        InputError: A fraction lies outside (0, 1), or there is none.
    """

    paper = "after Thakur and Fischmeister, ICPR 2020 (Figure 4)"
    meaning = "Rank correlation of the maps of part of the budget with those of all of it."
    formula = r"\frac{1}{|Q|} \sum_{q \in Q} \rho(m_{qN}, m_N)"

    def __init__(self, fractions: Sequence[float] = (0.125, 0.25, 0.5), metric: ImageMetric | None = None) -> None:
        super().__init__()
        wrong = [fraction for fraction in fractions if not 0 < fraction < 1]
        right = len(fractions) > 0 and not wrong
        check_setting(self, right, f"fractions must lie in (0, 1), got {wrong or fractions}")
        self.fractions = tuple(sorted(fractions))
        self.metric = metric
        self.percent = metric is not None and metric.percent
        if metric is not None:
            self.range = metric.range
        # a metric's direction is its class's, and torchmetrics lets nobody set it; this one has the other metric's
        vars(self)["higher_is_better"] = metric is None or bool(metric.higher_is_better)

    def ask(self, run: MethodRun) -> Measured:
        """Run the method with each fraction: a point of the curve each, and with a metric one for the whole budget."""
        if run.method.budget is None:
            return Measured(run.undefined())
        masks = [run.again(with_budget(run.method, fraction)) for fraction in self.fractions]
        # The whole budget's mask agrees with itself: a point for it would say nothing. A metric of it is a number.
        if self.metric is None:
            points = [agreement(run.mask, mask) for mask in masks]
        else:
            points = [self._score(run, mask) for mask in (*masks, run.mask)]
        curve = torch.stack(points, 1)
        return Measured(curve.mean(1), curve)

    def _score(self, run: MethodRun, mask: Tensor) -> Tensor:
        assert self.metric is not None
        # a sanity check is told no level of the evaluation, and masks have one that means something: a half
        levels = mask.new_full((len(mask),), 0.5)
        judged = metric_view(run.explanandum, mask, levels, run.batch)
        return self.metric.measure(judged).value

    def points(self, explanandum: Explanandum, method: Attribution, image: Tensor) -> list[str]:
        """Name the parts of the budget."""
        if method.budget is None:
            return []
        # 1/10, and not the fraction with large numbers that the float 0.1 is
        parts = [str(Fraction(fraction).limit_denominator(100)) for fraction in self.fractions]
        if self.metric is not None:
            parts.append("1")
        return parts
