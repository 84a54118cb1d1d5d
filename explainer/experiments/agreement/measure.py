"""How far each column agrees with the truth, over methods: Kendall's tau-b with an interval, for each classifier."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from typing_extensions import TypedDict

from explainer.evaluation.results.intervals import RESAMPLES, percentiles
from explainer.evaluation.results.kendall import resampled_means, tau_b
from explainer.experiments.agreement.read import Columns

_SEED_OF_IMAGES = 0
"""Seed of the draws of images: the same for the truth and every column, so that both are of the same images."""
_SEED_OF_TRAININGS = 1
"""Seed of the draws of retrainings."""


class Judgement(NamedTuple):
    """What one classifier says: the truth, and what is compared with it.

    Attributes:
        evaluation: Columns of its evaluation, one of which is the truth.
        retraining: Columns of its grid of retrainings; None without any.
    """

    evaluation: Columns
    retraining: Columns | None = None


class Agreement(TypedDict):
    """Agreement of a column with the truth.

    Attributes:
        tau: Mean of tau-b over classifiers; None where no classifier has one.
        interval: 95 % interval of the mean over other images (of ROAR and KAR: and over other seeds of a retraining).
        by_classifier: Tau-b of each classifier.
        deviation: Sample deviation over classifiers; None for a single one.
        methods: Smallest number of methods that have both values.
        draws: Number of images, or of seeds of a retraining, that the column is averaged over.
        higher_is_better: Direction of the column as it is.
    """

    tau: float | None
    interval: list[float] | None
    by_classifier: list[float | None]
    deviation: float | None
    methods: int
    draws: int
    higher_is_better: bool


def agreements(judgements: Sequence[Judgement], truth: str, resamples: int = RESAMPLES) -> dict[str, Agreement]:
    """Compare every column with the truth.

    A column counts for the classifiers that have it. Images are drawn once for all classifiers, which see the same.

    Args:
        judgements: What each classifier says.
        truth: Column of the evaluation that is the truth.
        resamples: Number of resamples of the bootstrap.

    Returns:
        Column → its agreement, in the order of the columns.
    """
    true_means = [resampled_means(one.evaluation.values[truth], resamples, _SEED_OF_IMAGES) for one in judgements]
    names: dict[str, None] = {}
    for one in judgements:
        names |= dict.fromkeys(one.evaluation.values)
        if one.retraining is not None:
            names |= dict.fromkeys(one.retraining.values)
    names.pop(truth)
    results = {}
    for name in names:
        results[name] = _agreement(judgements, true_means, truth, name, resamples)
    return results


def _agreement(
    judgements: Sequence[Judgement],
    true_means: Sequence[Tensor],
    truth: str,
    name: str,
    resamples: int,
) -> Agreement:
    """Compare one column with the truth."""
    by_classifier: list[float | None] = []
    estimates = []
    counts = []
    draws = 0
    higher_is_better = True
    for one, resampled_truth in zip(judgements, true_means, strict=True):
        source = one.evaluation
        seed = _SEED_OF_IMAGES
        if one.retraining is not None and name in one.retraining.values:
            source = one.retraining
            seed = _SEED_OF_TRAININGS
        if name not in source.values:
            continue
        values = source.values[name]
        higher_is_better = name not in source.turned
        draws = max(draws, values.shape[1])
        true_values = one.evaluation.values[truth].nanmean(1)
        means = values.nanmean(1)
        unknown = means.isnan() | true_values.isnan()
        counts.append(int((~unknown).sum()))
        tau = float(tau_b(means[None], true_values[None])[0])
        # JSON knows no NaN
        by_classifier.append(None if math.isnan(tau) else tau)
        estimates.append(tau_b(resampled_means(values, resamples, seed), resampled_truth))
    known = [tau for tau in by_classifier if tau is not None]
    interval = None
    if known:
        # the mean over classifiers, of each resample
        of_resamples = torch.stack(estimates).nanmean(0)
        low, high = percentiles(of_resamples[:, None])[0].tolist()
        interval = [low, high]
    return Agreement(
        tau=statistics.fmean(known) if known else None,
        interval=interval,
        by_classifier=by_classifier,
        deviation=statistics.stdev(known) if len(known) > 1 else None,
        methods=min(counts),
        draws=draws,
        higher_is_better=higher_is_better,
    )
