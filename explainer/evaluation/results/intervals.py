"""How sure a table is: bootstrap intervals over images, and paired tests between methods.

B. Efron, R. Tibshirani: An Introduction to the Bootstrap, 1993 (percentile intervals, section 13.3). E. Pitman:
Significance Tests Which May be Applied to Samples From any Populations, 1937 (sign flips of paired differences).
S. Holm: A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 1979.

Images are what is drawn: the intervals say what other images of the same kind would give, not what another training of
an Explainer would. Everything is a function of the values and of a fixed seed.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

RESAMPLES, FLIPS, LEVEL = 1000, 9999, 0.95
FEWEST, MOST_WORK = 200, 7e8
"""Of a mean average precision: resamples below which there is no interval, and numbers sorted (some five seconds)."""
_AT_ONCE = 4_000_000


def draws(images: int, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[Tensor]:
    """How often each image is in each resample of as many images, drawn with replacement.

    Args:
        images: n.
        resamples: R.
        seed: Same draws for the same seed.

    Yields:
        (r, n) float64, rows that sum to n; R rows in all.

    Example:
        >>> torch.cat(list(draws(3, 5))).sum(1).tolist()
        [3.0, 3.0, 3.0, 3.0, 3.0]
    """
    generator = torch.Generator().manual_seed(seed)
    step = max(1, _AT_ONCE // max(1, images))
    for start in range(0, resamples, step):
        index = torch.randint(images, (min(step, resamples - start), images), generator=generator)
        yield torch.zeros(index.shape, dtype=torch.float64).scatter_add_(1, index, torch.ones_like(index).double())


def percentiles(estimates: Tensor, level: float = LEVEL) -> Tensor:
    """The interval that holds the middle of the resamples' estimates.

    Args:
        estimates: (R, C), NaN where a resample has none.
        level: Level of confidence, in (0, 1).

    Returns:
        (C, 2): low and high; NaN where no resample has an estimate.

    Example:
        >>> percentiles(torch.arange(101.0)[:, None], 0.9).tolist()
        [[5.0, 95.0]]
    """
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=estimates.dtype)
    return estimates.nanquantile(ends, dim=0).T


def mean_intervals(values: Tensor, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0) -> Tensor:
    """Percentile bootstrap intervals of means over images.

    Args:
        values: (n, C), NaN where an image has no value in a column.
        resamples: R.
        level: Level of confidence.
        seed: Seed of the draws.

    Returns:
        (C, 2): low and high; NaN of a column without values.

    Example:
        >>> mean_intervals(torch.ones(4, 1)).tolist()
        [[1.0, 1.0]]
    """
    values = values.double()
    if not len(values):
        return values.new_full((values.shape[1], 2), torch.nan)
    defined = (~values.isnan()).double()
    known = values.nan_to_num(0.0)
    return percentiles(torch.cat([(w @ known) / (w @ defined) for w in draws(len(values), resamples, seed)]), level)


def mean_average_precision(scores: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    """MAP of images that count several times, as `metrics.MeanAveragePrecision` has it, for many countings at once.

    Args:
        scores: (n, K).
        labels: (n, K) bool.
        counts: (R, n), how often each image counts.

    Returns:
        (R,); the mean over the classes that occur, NaN where none does.

    Example:
        >>> mean_average_precision(torch.tensor([[0.9], [0.1]]), torch.tensor([[False], [True]]), torch.ones(1, 2))
        tensor([0.5000])
    """
    total, occurring = counts.new_zeros(len(counts)), counts.new_zeros(len(counts))
    for score, label in zip(scores.T, labels.T, strict=True):
        order = score.argsort(descending=True, stable=True)
        ranked = score[order].neg()
        end = torch.searchsorted(ranked, ranked, right=True) - 1  # images of one score come together
        weight = counts[:, order]
        right = weight * label[order]
        place = label[order].nonzero()[:, 0]
        precision = right.cumsum(1)[:, end[place]] / weight.cumsum(1)[:, end[place]].clamp_min(1)
        positives = right.sum(1)
        total += torch.where(positives > 0, (right[:, place] * precision).sum(1) / positives.clamp_min(1), 0.0)
        occurring += positives > 0
    return total / occurring


def mean_f1(scores: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    """F1 at 0.5 of images that count several times, as `metrics.MeanF1` has it: arguments and result as above.

    Example:
        >>> mean_f1(torch.tensor([[0.9], [0.8]]), torch.tensor([[False], [True]]), torch.ones(1, 2)).item()
        0.6666666865348816
    """
    found = scores > 0.5
    hits, claims, truths = (counts @ some.to(counts) for some in (found & labels, found, labels))
    f1 = 2 * hits / (claims + truths).clamp_min(1)
    return (f1 * (truths > 0)).sum(1) / (truths > 0).sum(1)


def classification_intervals(said: Sequence[Mapping[str, Any]], entries: int = 1) -> dict[str, list[float]]:
    """Intervals of what `summary.classification` says.

    Args:
        said: Entries of `predictions`.
        entries: How many such intervals a table has: of a large one mAP gets fewer resamples, of a very large one none.

    Returns:
        Name → low and high, of those that are defined.
    """
    labels = [s["labels"] for s in said]
    owner = torch.tensor([float(len(some)) for some in labels], dtype=torch.float64)
    if not owner.any():
        return {}
    if "probabilities" not in said[0]:
        known = [(s["predicted"] in s["labels"], s["probability"]) if s["labels"] else (torch.nan,) * 2 for s in said]
        low_high = mean_intervals(torch.tensor(known, dtype=torch.float64)).tolist()
        return dict(zip(("accuracy", "probability"), low_high, strict=True))
    scores = torch.tensor([s["probabilities"] for s in said], dtype=torch.float64)
    truth = torch.zeros(scores.shape, dtype=torch.bool)
    for n, some in enumerate(labels):
        truth[n, some] = True
    of_labels = (scores * truth).sum(1)
    estimates = [(mean_f1(scores, truth, w), (w @ of_labels) / (w @ owner)) for w in draws(len(said))]
    found = {name: torch.cat(some) for name, some in zip(("F1", "probability"), zip(*estimates, strict=True))}
    resamples = min(RESAMPLES, int(MOST_WORK / (scores.numel() * max(1, entries))))
    if resamples >= FEWEST:
        found["mAP"] = torch.cat([mean_average_precision(scores, truth, w) for w in draws(len(said), resamples)])
    return {name: percentiles(some[:, None])[0].tolist() for name, some in found.items()}


def sign_flip_p(differences: Tensor, flips: int = FLIPS, seed: int = 0) -> Tensor:
    """Two-sided p of paired differences whose signs are as good as drawn, were two methods alike.

    Args:
        differences: (n, C), a comparison a column; NaN, where an image has no value, counts for nothing.
        flips: Drawn; of few images all 2ⁿ are taken instead.
        seed: Seed of the draws, the same for all columns.

    Returns:
        (C,) in (0, 1]: the part of the flips, the one observed among them, whose mean is as far from 0.

    Example:
        >>> sign_flip_p(torch.ones(4, 1)).tolist()  # 2 of 16
        [0.125]
    """
    values = differences.double().nan_to_num(0.0)
    images = len(values)
    observed = values.sum(0).abs() * (1 - 1e-12)
    if 2**images <= flips:
        bits = torch.arange(2**images)[:, None] >> torch.arange(images)
        return ((1 - 2.0 * (bits & 1)).double() @ values).abs().ge(observed).double().mean(0)
    generator = torch.Generator().manual_seed(seed)
    step, far = max(1, _AT_ONCE // images), torch.ones_like(observed)
    for start in range(0, flips, step):
        signs = torch.randint(2, (min(step, flips - start), images), generator=generator).double() * 2 - 1
        far += (signs @ values).abs().ge(observed).sum(0)
    return far / (flips + 1)


def holm(p: Sequence[float]) -> list[float]:
    """P values corrected for there being several of them.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    found, largest = [0.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[place]))
        found[place] = largest
    return found


def against_best(
    values: Mapping[str, Mapping[str, Tensor]], higher_is_better: Mapping[str, bool]
) -> dict[str, dict[str, dict[str, Any]]]:
    """In every column, each method against the best one, on the images that both have a value for.

    The best is chosen on the same images, so that a p value flatters it slightly.

    Args:
        values: Column → method → (n,), the same images in the same order, NaN where there is no value.
        higher_is_better: Whether higher is better, for each column.

    Returns:
        Column → method → "against" (the best one), "difference" (of the means, its own less the best's), "interval"
        (bootstrap of the paired differences) and "p" (sign flips, Holm's correction over the column's methods); the
        best itself has none.

    Example:
        >>> found = against_best({"acc": {"a": torch.ones(9), "b": torch.zeros(9)}}, {"acc": True})["acc"]
        >>> found["b"]["against"], found["b"]["difference"], found["b"]["p"] < 0.01
        ('a', -1.0, True)
    """
    pairs, differences = [], []
    for column, some in values.items():
        means = {name: float(v.double().nanmean()) for name, v in some.items() if not bool(v.isnan().all())}
        best = (max if higher_is_better[column] else min)(means, key=lambda name: means[name], default="")
        for name in means:
            off = (some[name] - some[best]).double()
            if name != best and not bool(off.isnan().all()):
                pairs.append((column, name, best))
                differences.append(off)
    if not pairs:
        return {}
    table = torch.stack(differences, 1)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    numbers = zip(table.nanmean(0).tolist(), mean_intervals(table).tolist(), sign_flip_p(table).tolist(), strict=True)
    for (column, name, best), (mean, ends, p) in zip(pairs, numbers, strict=True):
        entry = {"against": best, "difference": mean, "interval": ends, "p": p}
        found.setdefault(column, {})[name] = entry
    for entries in found.values():
        for entry, p in zip(entries.values(), holm([entry["p"] for entry in entries.values()]), strict=True):
            entry["p"] = p
    return found
