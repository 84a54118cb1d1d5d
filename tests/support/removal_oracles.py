"""Slow NumPy float64 versions of the metrics that remove parts of an image; nothing of the project is imported here."""

import numpy as np

NEIGHBOURS = {(i, j): 1 / 6 if 0 in (i, j) else 1 / 12 for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)}


def imputed(channel, known):  # Rong 2022: one equation a removed pixel, solved at once; one channel
    h, w = channel.shape
    matrix, right = np.eye(h * w), channel.astype(float).flatten()
    for y in range(h):
        for x in range(w):
            if known[y, x]:
                continue
            inside = {(y + i, x + j): v for (i, j), v in NEIGHBOURS.items() if 0 <= y + i < h and 0 <= x + j < w}
            row = np.zeros(h * w)
            row[y * w + x] = sum(inside.values())
            for (i, j), v in inside.items():
                row[i * w + j] = -v
            matrix[y * w + x], right[y * w + x] = row, 0.0
    return np.linalg.solve(matrix, right).reshape(h, w)


def without(image, order, count, fill):  # the first `count` pixels of an order are gone; (3, h, w)
    keep = np.ones(image[0].size)
    keep[order[:count]] = 0
    keep = keep.reshape(image[0].shape)
    return keep * image + (1 - keep) * fill(image, keep)


def road(saliency, image, fill, score, fractions):  # Rong 2022, LeRF minus MoRF, one image without ties
    most_first = np.argsort(-saliency.flatten())
    values = []
    for f in fractions:
        count = round(f * saliency.size)
        least = score(without(image, most_first[::-1], count, fill))
        values.append(least - score(without(image, most_first, count, fill)))
    return np.mean(values)


def drop_and_increase(whole, masked):  # Chattopadhay 2018, one image
    return (max(0.0, whole - masked) / whole if whole else 0.0), float(masked > whole)


def infidelity(saliency, image, squares, fill, score, scaled):  # Yeh 2019, one image, given squares
    predicted, happened = [], []
    for square in squares:
        shown = np.where(square, fill(image, 1.0 - square), image)
        predicted.append(saliency[square].sum())
        happened.append(score(image) - score(shown))
    a, d = np.array(predicted), np.array(happened)
    factor = 1.0
    if scaled:
        factor = a @ d / (a @ a) if a @ a else 0.0
    return np.mean([(factor * p - h) ** 2 for p, h in zip(a, d, strict=True)])


def mean_ranks(values):
    return np.array([np.mean([i + 1 for i, v in enumerate(sorted(values)) if v == value]) for value in values])


def single_deletion(saliency, image, fill, score, grid):  # Hesse 2024, one image: Spearman over the patches
    h, w = saliency.shape
    sums, falls = [], []
    for i in range(grid):
        for j in range(grid):
            patch = np.zeros((h, w), bool)
            for y in range(h):
                for x in range(w):
                    patch[y, x] = y * grid // h == i and x * grid // w == j
            sums.append(saliency[patch].sum())
            falls.append(score(image) - score(np.where(patch, fill(image, 1.0 - patch), image)))
    if np.ptp(saliency) == 0:
        return 0.0
    return np.corrcoef(mean_ranks(sums), mean_ranks(falls))[0, 1]


def f_fidelity(saliency, image, chance, fill, score, sizes, rate, most):  # Zheng 2025, one image: FFid+ and FFid-
    order = np.argsort(-saliency.flatten())
    parts = []
    for ranked in (order, order[::-1]):
        falls = []
        for size in sizes:
            part = np.zeros(saliency.size, bool)
            part[ranked[: round(size * saliency.size)]] = True
            part = part.reshape(saliency.shape)
            probability = min(rate, most / size)
            for numbers in chance:
                gone = part & (numbers < probability)
                falls.append(score(image) - score(np.where(gone, fill(image, 1.0 - gone), image)))
        parts.append(np.mean(falls))
    return parts
