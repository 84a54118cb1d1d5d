"""Slow NumPy float64 versions written from the papers' equations; nothing of the project is imported here."""

import numpy as np


def sigmoid(t):
    return 1.0 / (1.0 + np.exp(-t))


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def cross_entropy(logits, labels):  # Eq. 2, one image
    total = 0.0
    for z, y in zip(logits, labels, strict=True):
        p = sigmoid(z)
        total += np.log(p) if y else np.log(1 - p)
    return -total / len(logits)


def negative_entropy(logits):  # Eq. 3, one image
    p = softmax(logits)
    return sum(q * np.log(q) for q in p) / len(p)


def area(mask):
    return sum(mask[i, j] for i in range(mask.shape[0]) for j in range(mask.shape[1])) / mask.size


def bounding_measure(mask, a, b):  # Eq. 4, 5, one mask
    z = mask.size
    q_mask = sorted(mask.flatten().tolist(), reverse=True)
    q_min = [1.0] * int(np.floor(z * a)) + [0.0] * (z - int(np.floor(z * a)))
    q_max = [1.0] * int(np.floor(z * b)) + [0.0] * (z - int(np.floor(z * b)))
    low = sum(max(q_min[i] - q_mask[i], 0.0) for i in range(z)) / z
    high = sum(max(q_mask[i] - q_max[i], 0.0) for i in range(z)) / z
    return low + high


def total_variation(mask, power=1):  # Eq. 7 with reflection at the border
    h, w = mask.shape
    total = 0.0
    for i in range(h):
        for j in range(w):
            below = mask[i + 1, j] if i + 1 < h else mask[i - 1, j]
            right = mask[i, j + 1] if j + 1 < w else mask[i, j - 1]
            total += abs(mask[i, j] - below) ** power + abs(mask[i, j] - right) ** power
    return total / mask.size


def target(masks, labels, wanted=1):  # maximum over the classes present (or absent), one image
    chosen = [masks[c] for c in range(len(labels)) if labels[c] == wanted]
    return np.max(chosen, axis=0) if chosen else np.zeros(masks.shape[1:])


def explainer_terms(mask_logits, kept, removed, labels, a, b):  # Eq. 1-8 over a batch
    terms = {name: [] for name in ("classification", "entropy", "bound", "target_area", "non_target_area", "tv")}
    for n in range(len(labels)):
        masks = sigmoid(mask_logits[n])
        m, other = target(masks, labels[n]), target(masks, labels[n], 0)
        present = [bounding_measure(masks[c], a, b) for c in range(len(labels[n])) if labels[n][c]]
        terms["classification"].append(cross_entropy(kept[n], labels[n]))
        terms["entropy"].append(negative_entropy(removed[n]))
        terms["bound"].append(sum(present) / len(present) if present else 0.0)
        terms["target_area"].append(area(m))
        terms["non_target_area"].append(area(other))
        terms["tv"].append(total_variation(m) + total_variation(other))
    return {name: sum(values) / len(values) for name, values in terms.items()}


def rtis_terms_of_a_batch(mask_logits, kept, removed, labels, exponent):  # one mean over all the classes present
    terms = rtis_terms(mask_logits, kept, removed, labels, exponent)
    pairs = [(n, c) for n in range(len(labels)) for c in range(len(labels[n])) if labels[n][c]]
    left = sum(sigmoid(removed[n][c]) for n, c in pairs) / len(pairs)
    preservation = sum(-np.log(sigmoid(kept[n][c])) for n, c in pairs) / len(pairs)
    return terms | {"preservation": preservation, "deletion": left**exponent}


def rtis_terms(mask_logits, kept, removed, labels, exponent):
    terms = {name: [] for name in ("tv", "area", "preservation", "deletion")}
    for n in range(len(labels)):
        m = target(sigmoid(mask_logits[n]), labels[n])
        classes = [c for c in range(len(labels[n])) if labels[n][c]]
        terms["tv"].append(total_variation(m, 2))
        terms["area"].append(area(m))
        kept_loss = sum(-np.log(sigmoid(kept[n][c])) for c in classes) / len(classes) if classes else 0.0
        left = (sum(sigmoid(removed[n][c]) for c in classes) / len(classes)) ** exponent if classes else 0.0
        terms["preservation"].append(kept_loss)
        terms["deletion"].append(left)
    return {name: sum(values) / len(values) for name, values in terms.items()}


def region_objective(scores, mask, region, sparsity, tv):  # FIDO, Eq. 4 and 5 as its text means them; one image
    h, w = mask.shape
    size = sum(mask[i, j] if region == "ssr" else 1 - mask[i, j] for i in range(h) for j in range(w))
    rough = 0.0
    for i in range(h):
        for j in range(w):
            rough += (mask[i + 1, j] - mask[i, j]) ** 2 if i + 1 < h else 0.0
            rough += (mask[i, j + 1] - mask[i, j]) ** 2 if j + 1 < w else 0.0
    mean = sum(scores) / len(scores)
    return (-mean if region == "ssr" else mean) + sparsity * size + tv * rough


def extremal_area(mask, area):  # Fong 2019: || vecsort(m) - r_a ||^2 / Z
    values = sorted(mask.flatten().tolist())
    ones = round(area * len(values))
    wanted = [0.0] * (len(values) - ones) + [1.0] * ones
    return sum((v - r) ** 2 for v, r in zip(values, wanted, strict=True)) / len(values)


def bilateral_tv(mask, image, power, sigma):  # Khorram 2021, one image (3, h, w)
    h, w = mask.shape
    grey = [[sum(image[c, i, j] for c in range(3)) / 3 for j in range(w)] for i in range(h)]
    total = 0.0
    for i in range(h):
        for j in range(w):
            for k, m in ((i + 1, j), (i, j + 1)):
                if k < h and m < w:
                    edge = (grey[k][m] - grey[i][j]) ** 2
                    total += np.exp(-edge / sigma**2) * abs(mask[k, m] - mask[i, j]) ** power
    return total / (h * w)


def roughness(mask):
    h, w = mask.shape
    down = sum((mask[i + 1, j] - mask[i, j]) ** 2 for i in range(h - 1) for j in range(w))
    return down + sum((mask[i, j + 1] - mask[i, j]) ** 2 for i in range(h) for j in range(w - 1))


def empirical_step(mask, on, before, variation, p, stay_keys, come_keys, eta, update):  # Thakur 2020, lines 4-11
    h, w = mask.shape
    cells = [(i, j) for i in range(h) for j in range(w)]
    lit, dark = [c for c in cells if on[c]], [c for c in cells if not on[c]]
    stay = sorted(lit, key=lambda c: stay_keys[c])[: round(len(lit) * p)]
    come = sorted(dark, key=lambda c: come_keys[c])[: round(len(dark) * (1 - p))]
    change = abs(p - before)
    new, new_on = np.zeros((h, w)), np.zeros((h, w), dtype=bool)
    for c in [*stay, *come]:
        new_on[c] = True
        new[c] = (mask[c] if on[c] else 1.0) * (p if update == "paper" else change)
    if update == "paper":
        v = roughness(new)
        for c in [*stay, *come]:
            new[c] += eta * (v - variation) * change
    else:
        v = roughness(mask)
        for c in [*stay, *come]:
            new[c] += eta * v * mask[c]
    return np.clip(new, 0, 1), new_on, p, v


def critic_loss(real, made, kind):  # hinge, or the Wasserstein distance
    if kind == "hinge":
        return np.mean([max(0.0, 1 - s) for s in real]) + np.mean([max(0.0, 1 + s) for s in made])
    return np.mean(made) - np.mean(real)


def hole_depth(mask):  # city-block distance to the nearest known pixel, one mask
    known = np.argwhere(mask > 0.5)
    far = sum(mask.shape)
    out = np.zeros(mask.shape)
    for i, j in np.ndindex(*mask.shape):
        out[i, j] = min((abs(i - y) + abs(j - x) for y, x in known), default=far)
    return out


def discounted_reconstruction(made, image, mask, discount):
    total = 0.0
    for n in range(len(made)):
        depth = hole_depth(mask[n, 0])
        for c in range(made.shape[1]):
            total += (discount**depth * np.abs(made[n, c] - image[n, c])).sum()
    return total / made.size


def saliency_box(saliency, threshold, quantile=False):  # variations; one map
    h, w = saliency.shape
    saliency, least = (saliency - saliency.min()) / (saliency.max() - saliency.min()), threshold
    if quantile:
        ordered = np.sort(saliency.ravel())
        place = threshold * (len(ordered) - 1)
        low = int(np.floor(place))
        high = min(low + 1, len(ordered) - 1)
        least = ordered[low] + (place - low) * (ordered[high] - ordered[low])
    rows = [i for i in range(h) for j in range(w) if saliency[i, j] >= least]
    columns = [j for i in range(h) for j in range(w) if saliency[i, j] >= least]
    return [min(columns), min(rows), max(columns) + 1, max(rows) + 1]


def reconstruction_mask(keep, window):  # variations; one mask
    h, w = keep.shape
    reach = window // 2
    offsets = [(i, j) for i in range(-reach, reach + 1) for j in range(-reach, reach + 1)]
    kernel = {(i, j): 1 / max(1.0, np.sqrt(i * i + j * j)) for i, j in offsets}
    total = sum(kernel.values())
    out = np.zeros((h, w))
    for y in range(h):
        for x in range(w):
            for i, j in offsets:
                if keep[y, x] == 1 and 0 <= y + i < h and 0 <= x + j < w:
                    out[y, x] += kernel[i, j] / total * (1 - keep[y + i, x + j])
    return out


def poisson(image, patch, box):  # one channel: neighbours' differences of the patch, the image's values around
    x0, y0, x1, y1 = box
    cells = [(y, x) for y in range(y0, y1) for x in range(x0, x1)]
    place = {c: n for n, c in enumerate(cells)}
    matrix, right = np.zeros((len(cells), len(cells))), np.zeros(len(cells))
    for (y, x), n in place.items():
        for other in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if not (0 <= other[0] < image.shape[0] and 0 <= other[1] < image.shape[1]):
                continue
            matrix[n, n] += 1
            right[n] += patch[y, x] - patch[other]
            if other in place:
                matrix[n, place[other]] -= 1
            else:
                right[n] += image[other]
    out = patch.copy()
    for (y, x), value in zip(cells, np.linalg.solve(matrix, right), strict=True):
        out[y, x] = value
    return out


def welch_t(a, b):
    va = sum((v - np.mean(a)) ** 2 for v in a) / (len(a) - 1)
    vb = sum((v - np.mean(b)) ** 2 for v in b) / (len(b) - 1)
    return abs(np.mean(a) - np.mean(b)) / np.sqrt(va / len(a) + vb / len(b))


def mean_over_pairs(rows, distance):
    found = [distance(rows[i], rows[j]) for i in range(len(rows)) for j in range(i)]
    return sum(found) / len(found)


def cosine_distance(a, b):
    return 1 - np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b))


def bounding_box(region):  # x0, y0, x1, y1 around every True of (h, w)
    found = [(i, j) for i in range(region.shape[0]) for j in range(region.shape[1]) if region[i, j]]
    if not found:
        return (0, 0, 0, 0)
    rows, columns = [i for i, _ in found], [j for _, j in found]
    return (min(columns), min(rows), max(columns) + 1, max(rows) + 1)


def overlap_of_boxes(a, b):
    wide = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    tall = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return wide * tall / (areas[0] + areas[1] - wide * tall)


def misses(box, truths, overlap=0.5):  # weakly supervised localisation, one image
    if not truths:
        return np.nan
    return 0.0 if any(overlap_of_boxes(box, t) > overlap for t in truths) else 1.0


def share_outside(mask, inside):  # FIDO, Figure 8, one image
    cells = [(i, j) for i in range(mask.shape[0]) for j in range(mask.shape[1])]
    if not inside.any():
        return np.nan
    total = sum(mask[c] for c in cells)
    if total == 0:
        return sum(not inside[c] for c in cells) / len(cells)
    return sum(mask[c] for c in cells if not inside[c]) / total


def enlarged(image, box):  # bilinear, pixel centres on pixel centres' grid; (3, h, w)
    x0, y0, x1, y1 = box
    part = image[:, y0:y1, x0:x1]
    _, height, width = image.shape
    out = np.zeros_like(image)
    for i in range(height):
        for j in range(width):
            y = min(max((i + 0.5) * part.shape[1] / height - 0.5, 0), part.shape[1] - 1)
            x = min(max((j + 0.5) * part.shape[2] / width - 0.5, 0), part.shape[2] - 1)
            top, left = int(y), int(x)
            low, right = min(top + 1, part.shape[1] - 1), min(left + 1, part.shape[2] - 1)
            for weight, a, b in (
                ((1 - y + top) * (1 - x + left), top, left), ((1 - y + top) * (x - left), top, right),
                ((y - top) * (1 - x + left), low, left), ((y - top) * (x - left), low, right),
            ):  # fmt: skip
                out[:, i, j] += weight * part[:, a, b]
    return out


def flipping(saliency, image, fill, score, steps):  # FIDO, Figure 10, one image: normalised log-odds
    h, w = saliency.shape
    order = sorted(range(h * w), key=lambda k: -saliency[k // w, k % w])
    scores = []
    for step in range(steps + 1):
        mask = np.ones((h, w))
        for k in order[: round(step * h * w / steps)]:
            mask[k // w, k % w] = 0
        scores.append(score(mask * image + (1 - mask) * fill(image, mask)))
    return [(s - scores[-1]) / (scores[0] - scores[-1]) for s in scores]


def mean_ranks(values):  # 1 for the smallest; equal values share the mean of their places
    return np.array([sum(v < w for v in values) + (sum(v == w for v in values) + 1) / 2 for w in values], float)


def spearman(a, b):  # two maps of any shape
    x, y = mean_ranks(a.flatten().tolist()), mean_ranks(b.flatten().tolist())
    x, y = x - x.mean(), y - y.mean()
    return (x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum())


def largest_relative_change(mask, others):  # Yeh et al. 2019, over given images near by, relative
    size = np.sqrt((mask**2).sum())
    return max(np.sqrt(((other - mask) ** 2).sum()) / size for other in others)


def exchange(saliency, image, fill, score, steps, inserting):  # RISE, one image: what is seen in is the most salient
    h, w = saliency.shape
    order = sorted(range(h * w), key=lambda k: -saliency[k // w, k % w])
    scores = []
    for step in range(steps + 1):
        chosen = np.zeros((h, w))
        for k in order[: round(step * h * w / steps)]:
            chosen[k // w, k % w] = 1
        shown = chosen if inserting else 1 - chosen
        scores.append(score(shown * image + (1 - shown) * fill(image, shown)))
    return scores, np.trapezoid(scores, dx=1 / steps)


def points_at(saliency, inside, distance, counts=None):  # Zhang 2016, one image; several maxima count alike
    h, w = saliency.shape
    cells = [(i, j) for i in range(h) for j in range(w)]
    counts = np.ones((h, w), dtype=bool) if counts is None else counts
    objects = [c for c in cells if inside[c] and counts[c]]
    if not objects:
        return np.nan
    hits = []
    for i, j in (c for c in cells if saliency[c] == saliency.max()):
        hit = any(np.hypot(i - a, j - b) <= distance for a, b in objects)
        if hit or counts[i, j]:
            hits.append(float(hit))
    return np.mean(hits) if hits else np.nan


def energy_on(mask, inside):  # Wang 2020, one image
    cells = [(i, j) for i in range(mask.shape[0]) for j in range(mask.shape[1])]
    if not inside.any():
        return np.nan
    total = sum(mask[c] for c in cells)
    if total == 0:
        return inside.sum() / mask.size
    return sum(mask[c] for c in cells if inside[c]) / total


def gini_index(values):  # Chalasani 2020, Eq. for G(v)
    v = sorted(abs(x) for x in values.flatten().tolist())
    d, norm = len(v), sum(v)
    if norm == 0:
        return 0.0
    return 1 - 2 * sum(v[k - 1] / norm * (d - k + 0.5) / d for k in range(1, d + 1))


def map_entropy(values):  # Bhatt 2020, nats
    v = [abs(x) for x in values.flatten().tolist()]
    total = sum(v)
    shares = [x / total for x in v] if total else [1 / len(v)] * len(v)
    return -sum(p * np.log(p) for p in shares if p > 0)


def masking_matrix(images, masks, labels, logits, fill, rows):  # Stalder 2022, Table 1; `rows`: the classes shown
    size = len(rows)
    total, counts = np.zeros((size, 1 + size)), np.zeros(size)
    for image, own, present in zip(images, masks, labels, strict=True):
        for r in range(size):
            if not present[r]:
                continue
            counts[r] += 1
            total[r, 0] += softmax(logits(image))[rows[r]]
            for c in range(size):
                for t in range(1, 10):
                    keep = (own[c] > t / 10).astype(float)
                    seen = keep * image + (1 - keep) * fill
                    total[r, 1 + c] += softmax(logits(seen))[rows[r]] / 9
    with np.errstate(invalid="ignore"):
        return total / counts[:, None], counts


def mean_curve(rows, method, column):
    found = np.array([row["curves"][column] for row in rows if row["method"] == method and "curves" in row], float)
    return found.sum(0) / len(found)
