"""Slow versions of intervals and tests between methods: NumPy float64, one resample and one image at a time."""

import itertools

import numpy as np


def bootstrap_interval(values, counts, level=0.95):
    """Ends of the middle of the means of resamples; `counts` (R, n) says how often each image is drawn."""
    means = []
    for often in counts:
        drawn = [v for v, times in zip(values, often) for _ in range(int(times)) if not np.isnan(v)]
        if drawn:
            means.append(sum(drawn) / len(drawn))
    means.sort()

    def quantile(q):
        place = q * (len(means) - 1)
        below = int(np.floor(place))
        above = min(below + 1, len(means) - 1)
        return means[below] + (place - below) * (means[above] - means[below])

    return [quantile((1 - level) / 2), quantile((1 + level) / 2)]


def average_precision(scores, truth):
    """Σ (recall_k − recall_{k−1}) · precision_k over the distinct thresholds, from the highest."""
    total, recall = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        found = [t for s, t in zip(scores, truth) if s >= threshold]
        now = sum(found) / sum(truth)
        total += (now - recall) * sum(found) / len(found)
        recall = now
    return total


def f1(scores, truth):
    """2 TP / (2 TP + FP + FN) at 0.5."""
    pairs = list(zip(scores > 0.5, truth))
    hits, wrong = sum(a and b for a, b in pairs), sum(bool(a) != bool(b) for a, b in pairs)
    return 2 * hits / (2 * hits + wrong)


def mean_over_classes(measure, scores, truth, often):
    """Of the classes that a resample has, every image repeated as often as it was drawn."""
    repeated = np.repeat(np.arange(len(scores)), often.astype(int))
    scores, truth = scores[repeated], truth[repeated]
    found = [measure(scores[:, c], truth[:, c]) for c in range(scores.shape[1]) if truth[:, c].any()]
    return sum(found) / len(found) if found else np.nan


def sign_flip_p(differences):
    """Part of all 2ⁿ sign patterns whose sum is as far from 0."""
    patterns = itertools.product((-1, 1), repeat=len(differences))
    far = [abs(sum(s * d for s, d in zip(signs, differences))) for signs in patterns]
    return sum(f >= abs(sum(differences)) - 1e-9 for f in far) / len(far)


def holm(p):
    """Smallest level at which the stepping-down procedure rejects each hypothesis, found by trying levels."""
    levels = np.linspace(0, 1, 2001)
    found = np.ones(len(p))
    order = np.argsort(p, kind="stable")
    for level in levels[::-1]:
        for step, place in enumerate(order):
            if p[place] * (len(p) - step) > level + 1e-12:
                break
            found[place] = level
    return found
