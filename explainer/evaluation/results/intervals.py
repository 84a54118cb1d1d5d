"""How sure a table is: bootstrap intervals over images, and paired tests between methods.

B. Efron, R. Tibshirani: An Introduction to the Bootstrap, 1993 (percentile intervals, section 13.3). E. Pitman:
Significance Tests Which May be Applied to Samples From any Populations, 1937 (sign flips of paired differences).
S. Holm: A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 1979.

Images are what is drawn: the intervals say what other images of the same kind would give, not what another training of
an Explainer would. Everything is a function of the values and of a fixed seed.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from explainer.evaluation.results.answers import Answers
from explainer.evaluation.results.content import Comparison, Interval
from explainer.evaluation.storage.rows import Prediction

RESAMPLES = 1000
"""Resamples of a bootstrap: the ends of an interval lie in its tails, and take more of them than a deviation would."""
FLIPS = 9999
"""Sign flips of a test: with the observed signs they are 10,000, so that the smallest p value is 0.0001."""
DOUBTFUL = 0.05
"""P value from which a difference from the best method is not told from chance."""
LEVEL = 0.95
"""Level of confidence of all intervals."""
FEWEST = 200
"""Resamples of a mean average precision below which it gets no interval: their 2.5th percentile would be the fifth of
them, and chance."""
MOST_WORK = 7e8
"""Numbers that the mean average precisions of a table may sort, in all resamples together: some five seconds."""
_AT_ONCE = 4_000_000
"""Draws that are held at once, which bounds the memory: 32 MB in double precision."""
_HELD = 100_000_000
"""Draws whose counts are held for the next table of as many images: 100 MB."""


def draws(images: int, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[Tensor]:
    """Count how often each image is in each resample of as many images, drawn with replacement.

    Args:
        images: Number of images, n.
        resamples: Number of resamples, R.
        seed: Seed of the draws; it is fixed, so that the same rows give the same results.

    Yields:
        Counts (r, n) float64, rows that sum to n; R rows in all.

    Example:
        >>> torch.cat(list(draws(3, 5))).sum(1).tolist()
        [3.0, 3.0, 3.0, 3.0, 3.0]
    """
    step = max(1, _AT_ONCE // max(1, images))
    if images * resamples <= _HELD:
        counts = _counted(images, resamples, seed)
        for start in range(0, resamples, step):
            yield counts[start : start + step].double()
        return
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, resamples, step):
        yield _counts(images, min(step, resamples - start), generator).double()


@lru_cache(maxsize=1)
def _counted(images: int, resamples: int, seed: int) -> Tensor:
    """Count all draws, (R, n); a table asks for the same ones again and again, and drawing takes most of the time."""
    return _counts(images, resamples, torch.Generator().manual_seed(seed))


def _counts(images: int, resamples: int, generator: torch.Generator) -> Tensor:
    """Draw images, and count how often each is in each resample, (r, n).

    Bytes hold the counts: that an image comes 256 times into a resample will not happen in the life of the universe.
    """
    counts = torch.zeros(resamples, images, dtype=torch.uint8)
    # some resamples at once: many small ones would take a call each, many large ones the memory
    step = max(1, _AT_ONCE // 16 // max(1, images))
    for part in counts.split(step):
        index = torch.randint(images, part.shape, generator=generator)
        part.scatter_add_(1, index, part.new_ones(1).expand(index.shape))
    return counts


def percentiles(estimates: Tensor, level: float = LEVEL) -> Tensor:
    """Compute the interval that holds the middle of the resamples' estimates.

    Args:
        estimates: Estimates (R, C), NaN where a resample has none.
        level: Level of confidence, in (0, 1).

    Returns:
        Low and high ends (C, 2); NaN where no resample has an estimate.

    Example:
        >>> percentiles(torch.arange(101.0)[:, None], 0.9).tolist()
        [[5.0, 95.0]]
    """
    low = (1 - level) / 2
    high = (1 + level) / 2
    ends = torch.tensor([low, high], dtype=estimates.dtype)
    # a resample may draw no image that has a value: it has no estimate, and says nothing of the others'
    return estimates.nanquantile(ends, dim=0).T


def mean_intervals(values: Tensor, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0) -> Tensor:
    """Compute percentile bootstrap intervals of means over images.

    Args:
        values: Values (n, C), NaN where an image has no value in a column.
        resamples: Number of resamples, R.
        level: Level of confidence.
        seed: Seed of the draws.

    Returns:
        Low and high ends (C, 2); NaN of a column without values.

    Example:
        >>> mean_intervals(torch.ones(4, 1)).tolist()
        [[1.0, 1.0]]
    """
    values = values.double()
    if not len(values):
        return values.new_full((values.shape[1], 2), torch.nan)
    # All images are drawn, and the mean is over those that have a value: which of them have one is chance, too.
    defined = (~values.isnan()).double()
    complete = bool(defined.all())
    numbers = values.nan_to_num(0.0)
    estimates = []
    for counts in draws(len(values), resamples, seed):
        # whole numbers, which are exact in whichever order they are added: a resample has n images
        weights = len(values) if complete else counts @ defined
        estimates.append((counts @ numbers) / weights)
        # before the next ones are drawn: of many images they take more memory than everything else
        del counts
    return percentiles(torch.cat(estimates), level)


def mean_average_precision(scores: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    """Compute the mAP of images that count several times, for many countings at once.

    With each image counted once it is that of `metrics.MeanAveragePrecision`, which takes a counting at a time.

    Args:
        scores: Scores (n, K).
        labels: Labels (n, K) bool.
        counts: Numbers (R, n) of times that each image counts.

    Returns:
        mAP (R,): the mean over the classes that occur, NaN where none does.

    Example:
        >>> mean_average_precision(torch.tensor([[0.9], [0.1]]), torch.tensor([[False], [True]]), torch.ones(1, 2))
        tensor([0.5000])
    """
    total = counts.new_zeros(len(counts))
    occurring = counts.new_zeros(len(counts))
    for score, label in zip(scores.T, labels.T, strict=True):
        order = score.argsort(descending=True, stable=True)
        ranked = score[order].neg()
        # images of the same score have no order among them: they come together, up to the last of them
        last = torch.searchsorted(ranked, ranked, right=True) - 1
        weight = counts[:, order]
        right = weight * label[order]
        place = label[order].nonzero()[:, 0]
        end = last[place]
        # a resample that has no image so far has no positive either, whatever stands in the denominator
        hits = right.cumsum(1)[:, end]
        claims = weight.cumsum(1)[:, end]
        precision = hits / claims.clamp_min(1)
        positives = right.sum(1)
        summed = (right[:, place] * precision).sum(1)
        average = summed / positives.clamp_min(1)
        total += torch.where(positives > 0, average, 0.0)
        occurring += positives > 0
    return total / occurring


def mean_f1(scores: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    """Compute the F1 at 0.5 of images that count several times, for many countings at once.

    With each image counted once it is that of `metrics.MeanF1`.

    Args:
        scores: Scores (n, K) in [0, 1].
        labels: Labels (n, K) bool.
        counts: Numbers (R, n) of times that each image counts.

    Returns:
        F1 (R,): the mean over the classes that occur, NaN where none does.

    Example:
        >>> mean_f1(torch.tensor([[0.9], [0.8]]), torch.tensor([[False], [True]]), torch.ones(1, 2)).item()
        0.6666666865348816
    """
    predicted = scores > 0.5
    hits = counts @ (predicted & labels).to(counts)
    claims = counts @ predicted.to(counts)
    truths = counts @ labels.to(counts)
    # a class that is neither there nor claimed has no hits: its F1 is 0, and not 0 / 0
    f1 = 2 * hits / (claims + truths).clamp_min(1)
    occurs = truths > 0
    return (f1 * occurs).sum(1) / occurs.sum(1)


def classification_intervals(answers: Sequence[Prediction] | Answers, count: int = 1) -> dict[str, Interval]:
    """Compute intervals of what `summary.classification` says.

    Args:
        answers: Entries of `predictions`.
        count: Number of such intervals in the table: of many, mAP gets fewer resamples, of very many no interval.

    Returns:
        Name → low and high, of those that are defined.
    """
    held = Answers.over(answers)
    if not held.any_label:
        return {}
    if held.probabilities is not None:
        return _intervals_of_several_labels(held, held.probabilities, count)
    return _intervals_of_one_label(held)


def _intervals_of_one_label(answers: Answers) -> dict[str, Interval]:
    """Compute intervals of "accuracy" and "probability"."""
    values: list[tuple[float, float]] = []
    for labels, predicted, probability in zip(answers.labels, answers.predicted, answers.probability, strict=True):
        if labels and probability is not None:
            values.append((float(predicted in labels), probability))
        else:
            # an image without a label is drawn like others, but no answer to it is right or wrong
            values.append((torch.nan, torch.nan))
    accuracy, of_label = mean_intervals(torch.tensor(values, dtype=torch.float64)).tolist()
    return {"accuracy": accuracy, "probability": of_label}


def _intervals_of_several_labels(answers: Answers, scores: Tensor, count: int) -> dict[str, Interval]:
    """Compute intervals of "F1", "probability" and, where the work allows it, "mAP"."""
    images = len(scores)
    labels = answers.multi_hot(scores.shape[1])
    # the mean is over labels, so an image with two of them counts twice
    of_labels = (scores * labels).sum(1)
    owned = labels.sum(1).double()
    f1 = []
    probability = []
    for counts in draws(images):
        f1.append(mean_f1(scores, labels, counts))
        probability.append((counts @ of_labels) / (counts @ owned))
    estimates = {"F1": torch.cat(f1), "probability": torch.cat(probability)}
    work = scores.numel() * max(1, count)
    resamples = min(RESAMPLES, int(MOST_WORK / work))
    if resamples >= FEWEST:
        precisions = [mean_average_precision(scores, labels, counts) for counts in draws(images, resamples)]
        estimates["mAP"] = torch.cat(precisions)
    intervals = {}
    for name, values in estimates.items():
        ends = percentiles(values[:, None])
        intervals[name] = ends[0].tolist()
    return intervals


def sign_flip_p(differences: Tensor, flips: int = FLIPS, seed: int = 0) -> Tensor:
    """Compute the two-sided p of paired differences whose signs would be drawn, were two methods alike.

    Args:
        differences: Differences (n, C), a comparison a column; NaN, where an image has no value, counts for nothing.
        flips: Number of flips that are drawn; of few images all 2ⁿ are taken instead.
        seed: Seed of the draws, the same for all columns.

    Returns:
        P values (C,) in (0, 1]: the part of the flips, the observed signs among them, whose mean is as far from 0.

    Example:
        >>> sign_flip_p(torch.ones(4, 1)).tolist()  # 2 of 16
        [0.125]
    """
    values = differences.double().nan_to_num(0.0)
    images = len(values)
    # flips that leave the sum as it is are added in another order: rounding must not put them below the observed sum
    observed = values.sum(0).abs() * (1 - 1e-12)
    if 2**images <= flips:
        # all flips, which gives the exact p value: the bits of a number say which signs are flipped
        bits = torch.arange(2**images)[:, None] >> torch.arange(images)
        signs = (1 - 2.0 * (bits & 1)).double()
        as_far = (signs @ values).abs() >= observed
        return as_far.double().mean(0)
    generator = torch.Generator().manual_seed(seed)
    step = max(1, _AT_ONCE // images)
    # the observed signs count as one of the flips, else p could be 0
    extreme = torch.ones_like(observed)
    for start in range(0, flips, step):
        count = min(step, flips - start)
        # the same draws as of whole numbers, in an eighth of the memory
        bits = torch.randint(2, (count, images), generator=generator, dtype=torch.int8)
        signs = bits.double().mul_(2).sub_(1)
        as_far = (signs @ values).abs() >= observed
        extreme += as_far.sum(0)
        del bits, signs
    return extreme / (flips + 1)


def holm(p: Sequence[float]) -> list[float]:
    """Correct p values for their number.

    Holm's correction holds whatever the tests have in common, and here all compare with the same best method; it
    rejects all that Bonferroni's would, and more.

    Args:
        p: P values of a family of tests.

    Returns:
        Corrected p values, in the same order.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(p)
    largest = 0.0
    order = sorted(range(len(p)), key=lambda index: p[index])
    for rank, index in enumerate(order):
        product = (len(p) - rank) * p[index]
        # a larger p must not become the smaller one by its smaller factor
        largest = max(largest, min(1.0, product))
        corrected[index] = largest
    return corrected


def is_doubtful(comparison: Comparison) -> bool:
    """Return whether a method is not told from the best of a column.

    Args:
        comparison: Comparison of the method with the best one.

    Example:
        >>> is_doubtful({"against": "RISE", "p": 0.2}), is_doubtful({"against": "RISE", "interval": [0.1, 0.3]})
        (True, False)
    """
    p = comparison.get("p")
    if p is not None:
        return p >= DOUBTFUL
    # early versions had no p value: their interval says as much, if more roughly
    low, high = comparison.get("interval") or (1, 1)
    return low <= 0 <= high


class _Pair(NamedTuple):
    """A method beside the best one of a column.

    Attributes:
        column: Column of the values.
        method: Name of the method.
        best: Name of the best method.
        differences: Values of the method minus those of the best one, (n,) float64; NaN where one of them has none.
    """

    column: str
    method: str
    best: str
    differences: Tensor


def against_best(
    values: Mapping[str, Mapping[str, Tensor]], higher_is_better: Mapping[str, bool]
) -> dict[str, dict[str, Comparison]]:
    """Compare, in every column, each method with the best one, on the images that have a value of both.

    The best is chosen on the same images, so that a p value flatters it slightly.

    Args:
        values: Column → method → (n,), the same images in the same order, NaN where there is no value.
        higher_is_better: Column → whether higher is better.

    Returns:
        Column → method → comparison: a bootstrap interval of the paired differences, and the p value of sign flips
        with Holm's correction over the column's methods; the best method has none.

    Example:
        >>> comparisons = against_best({"acc": {"a": torch.ones(9), "b": torch.zeros(9)}}, {"acc": True})["acc"]
        >>> comparisons["b"]["against"], comparisons["b"]["difference"], comparisons["b"]["p"] < 0.01
        ('a', -1.0, True)
    """
    pairs: list[_Pair] = []
    for column, by_method in values.items():
        pairs += _pairs_of(column, by_method, higher_is_better[column])
    if not pairs:
        return {}
    # one table of all columns: images are drawn once for all comparisons
    table = torch.stack([pair.differences for pair in pairs], 1)
    means = table.nanmean(0).tolist()
    intervals = mean_intervals(table).tolist()
    uncorrected = sign_flip_p(table).tolist()
    comparisons: dict[str, dict[str, Comparison]] = {}
    for index, pair in enumerate(pairs):
        comparisons.setdefault(pair.column, {})[pair.method] = {
            "against": pair.best,
            "difference": means[index],
            "interval": intervals[index],
            "p": uncorrected[index],
        }
    for of_column in comparisons.values():
        corrected = holm([comparison["p"] for comparison in of_column.values()])
        for comparison, p in zip(of_column.values(), corrected, strict=True):
            comparison["p"] = p
    return comparisons


def _pairs_of(column: str, values: Mapping[str, Tensor], higher_is_better: bool) -> list[_Pair]:
    """Pair the methods of a column with the best of them; those that share no image with it are left out."""
    means: dict[str, float] = {}
    for method, of_method in values.items():
        if not of_method.isnan().all():
            means[method] = float(of_method.double().nanmean())
    if not means:
        return []
    choose = max if higher_is_better else min
    best = choose(means, key=lambda method: means[method])
    pairs = []
    for method in means:
        differences = (values[method] - values[best]).double()
        if method != best and not differences.isnan().all():
            pairs.append(_Pair(column, method, best, differences))
    return pairs
