"""Results as they are computed from a dictionary a row, one after the other: slow, and what the columns must agree with.

Nothing here is shared with what it is compared with but the metrics, the draws' seed and the percentiles.
"""

import csv
import json
import statistics
from collections import Counter

import torch

from explainer.evaluation.references import ANNOTATED, ORIGINAL
from explainer.evaluation.results.columns import FIXED
from explainer.evaluation.results.intervals import (
    FEWEST,
    MOST_WORK,
    RESAMPLES,
    holm,
    mean_average_precision,
    mean_f1,
    percentiles,
)
from explainer.evaluation.storage.rows import COSTS, Evaluated, Failed, nested
from explainer.files import conform
from explainer.files.escaping import for_csv
from explainer.metrics import MeanAveragePrecision, MeanF1

AT_ONCE = 4_000_000
DOTS = 60


def read_rows(path):
    rows = [nested(json.loads(line)) for line in path.read_bytes().splitlines()]
    conform(rows, list[Failed | Evaluated], path)
    return rows


def resumed(path):
    """What a store holds of a file: rows and failures, each image and method once."""
    rows, done, failed = [], set(), {}
    for row in read_rows(path):
        key = (row["method"], row["id"])
        if key in done:
            continue
        if "error" in row:
            failed[key] = row["error"]
            continue
        rows.append(dict(row))
        done.add(key)
        failed.pop(key, None)
    return rows, failed


def in_order(rows, methods, images):
    by_key = {(row["method"], row["id"]): row for row in rows}
    keys = [(method, image) for method in methods for image in images]
    return [by_key[key] for key in keys if key in by_key]


def draws(images, resamples=RESAMPLES, seed=0):
    generator = torch.Generator().manual_seed(seed)
    step = max(1, AT_ONCE // max(1, images))
    for start in range(0, resamples, step):
        index = torch.randint(images, (min(step, resamples - start), images), generator=generator)
        counts = torch.zeros(index.shape, dtype=torch.float64)
        yield counts.scatter_add_(1, index, torch.ones_like(counts))


def mean_intervals(values):
    values = values.double()
    if not len(values):
        return values.new_full((values.shape[1], 2), torch.nan)
    defined = (~values.isnan()).double()
    numbers = values.nan_to_num(0.0)
    estimates = []
    for counts in draws(len(values)):
        totals = counts @ numbers
        estimates.append(totals / (counts @ defined))
    return percentiles(torch.cat(estimates))


def sign_flip_p(differences, flips=9999, seed=0):
    values = differences.double().nan_to_num(0.0)
    images = len(values)
    observed = values.sum(0).abs() * (1 - 1e-12)
    if 2**images <= flips:
        bits = torch.arange(2**images)[:, None] >> torch.arange(images)
        signs = (1 - 2.0 * (bits & 1)).double()
        return ((signs @ values).abs() >= observed).double().mean(0)
    generator = torch.Generator().manual_seed(seed)
    step = max(1, AT_ONCE // images)
    extreme = torch.ones_like(observed)
    for start in range(0, flips, step):
        count = min(step, flips - start)
        signs = torch.randint(2, (count, images), generator=generator).double() * 2 - 1
        extreme += ((signs @ values).abs() >= observed).sum(0)
    return extreme / (flips + 1)


def column_of(rows, column):
    values = []
    for row in rows:
        value = row.get("area") if column == "area" else row.get("scores", {}).get(column)
        values.append(torch.nan if value is None else value)
    return torch.tensor(values, dtype=torch.float64)


def mean(values):
    return statistics.fmean(values) if values else None


def classification(answers):
    if not answers:
        return {}
    if "probabilities" in answers[0]:
        scores = torch.tensor([answer["probabilities"] for answer in answers])
        labels = torch.zeros(scores.shape, dtype=torch.long)
        for index, answer in enumerate(answers):
            labels[index, answer["labels"]] = 1
        if not labels.any():
            return {"mAP": None, "F1": None, "probability": None}
        count = labels.shape[1]
        return {
            "mAP": float(MeanAveragePrecision(count)(scores, labels)),
            "F1": float(MeanF1(count)(scores, labels)),
            "probability": float(scores[labels > 0].mean()),
        }
    labelled = [answer for answer in answers if answer["labels"]]
    if not labelled:
        return {"accuracy": None, "probability": None}
    return {
        "accuracy": statistics.fmean(answer["predicted"] in answer["labels"] for answer in labelled),
        "probability": statistics.fmean(answer["probability"] for answer in labelled),
    }


def classification_intervals(answers, count):
    if not any(answer["labels"] for answer in answers):
        return {}
    if "probabilities" not in answers[0]:
        values = []
        for answer in answers:
            if answer["labels"] and answer["probability"] is not None:
                values.append((float(answer["predicted"] in answer["labels"]), answer["probability"]))
            else:
                values.append((torch.nan, torch.nan))
        accuracy, of_label = mean_intervals(torch.tensor(values, dtype=torch.float64)).tolist()
        return {"accuracy": accuracy, "probability": of_label}
    scores = torch.tensor([answer["probabilities"] for answer in answers], dtype=torch.float64)
    labels = torch.zeros(scores.shape, dtype=torch.bool)
    for index, answer in enumerate(answers):
        labels[index, answer["labels"]] = True
    of_labels, owned = (scores * labels).sum(1), labels.sum(1).double()
    f1, probability = [], []
    for counts in draws(len(answers)):
        f1.append(mean_f1(scores, labels, counts))
        probability.append((counts @ of_labels) / (counts @ owned))
    estimates = {"F1": torch.cat(f1), "probability": torch.cat(probability)}
    resamples = min(RESAMPLES, int(MOST_WORK / (scores.numel() * max(1, count))))
    if resamples >= FEWEST:
        every = [mean_average_precision(scores, labels, counts) for counts in draws(len(answers), resamples)]
        estimates["mAP"] = torch.cat(every)
    return {name: percentiles(values[:, None])[0].tolist() for name, values in estimates.items()}


def summarise(rows, metrics=(), alphas=None, failed=None):
    alphas, failed = alphas or {}, failed or {}
    columns = [*FIXED, *metrics, "area"]
    methods = dict.fromkeys([*(row["method"] for row in rows), *failed])
    results = {}
    for method in methods:
        of_method = [row for row in rows if row["method"] == method]
        entry = {"images": len(of_method), "interval": {}, "failed": len(failed.get(method, {}))}
        if method != ORIGINAL:
            add_masks(entry, of_method, columns)
            if metrics:
                entry["no_region"] = sum(row.get("no_region", False) for row in of_method)
                entry["level"] = alphas.get(method)
        entry["kept"] = classification([row["kept"] for row in of_method])
        for part in ("kept", "removed"):
            answers = [row[part] for row in of_method if part in row]
            for name, ends in classification_intervals(answers, 2 * len(methods)).items():
                entry["interval"][f"{part}.{name}"] = ends
        results[method] = entry
    return results


def add_masks(entry, rows, columns):
    table = torch.stack([column_of(rows, column) for column in columns], 1)
    ends = mean_intervals(table).tolist()
    means, counts, intervals = {}, {}, {}
    for index, column in enumerate(columns):
        values = [value for value in table[:, index].tolist() if value == value]
        means[column], counts[column] = mean(values), len(values)
        if values:
            intervals[column] = ends[index]
    entry["scores"] = {column: value for column, value in means.items() if column != "area"}
    entry["area"], entry["n"], entry["interval"] = means["area"], counts, intervals
    entry["constant"] = sum(row["constant"] for row in rows)
    entry["broken"] = sum(row.get("broken", False) for row in rows)
    entry["removed"] = classification([row["removed"] for row in rows])
    costs = {key: [row["cost"][key] for row in rows if row.get("cost", {}).get(key) is not None] for key in COSTS}
    seconds = mean(costs["seconds"])
    entry["cost"] = {
        "passes": mean(costs["passes"]),
        "ms": None if seconds is None else 1000 * seconds,
        "memory": max(costs["memory"], default=None),
    }


def pairs(rows, columns):
    by_method = {}
    for row in rows:
        if row["method"] not in (ORIGINAL, *ANNOTATED):
            by_method.setdefault(row["method"], {})[row["id"]] = row
    images = list(dict.fromkeys(row["id"] for row in rows))
    compared = []
    for column, description in columns.items():
        values = {}
        for method, of_images in by_method.items():
            values[method] = column_of([of_images.get(image, {}) for image in images], column)
        means = {m: float(v.double().nanmean()) for m, v in values.items() if not v.isnan().all()}
        if not means:
            continue
        best = (max if description["higher_is_better"] else min)(means, key=lambda method: means[method])
        for method in means:
            differences = (values[method] - values[best]).double()
            if method != best and not differences.isnan().all():
                compared.append((column, method, best, differences))
    if not compared:
        return {}
    table = torch.stack([differences for *_, differences in compared], 1)
    means, intervals, p = table.nanmean(0).tolist(), mean_intervals(table).tolist(), sign_flip_p(table).tolist()
    comparisons = {}
    for index, (column, method, best, _) in enumerate(compared):
        entry = {"against": best, "difference": means[index], "interval": intervals[index], "p": p[index]}
        comparisons.setdefault(column, {})[method] = entry
    for of_column in comparisons.values():
        corrected = holm([entry["p"] for entry in of_column.values()])
        for entry, value in zip(of_column.values(), corrected):
            entry["p"] = value
    return comparisons


def write_per_image(path, rows, columns):
    lines = [["id", "method", *columns, "area", "seconds", "constant"]]
    for row in rows:
        if row["method"] != ORIGINAL:
            scores = [row["scores"].get(column, "") for column in columns]
            seconds = row.get("cost", {}).get("seconds", "")
            lines.append([row["id"], row["method"], *scores, row["area"], seconds, row["constant"]])
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        csv.writer(file).writerows([for_csv(cell) for cell in line] for line in lines)


def rows_of_report(path, asked):
    """What a page is made from: of rows of an image and method the last, in the place of the first."""
    rows = [nested(json.loads(line)) for line in path.read_bytes().splitlines()]
    last = {(row["method"], row["id"]): row for row in rows if row["method"] in asked}
    return list(last.values())


def mean_curves(rows, methods, column):
    curves, lengths = {}, Counter()
    for row in rows:
        curve = (row.get("curves") or {}).get(column)
        if curve and row["method"] in methods:
            curves.setdefault(row["method"], []).append(curve)
    for method in curves:
        lengths.update(len(curve) for curve in curves[method])
    usual = lengths.most_common(1)[0][0] if lengths else 0
    means = {}
    for method in methods:
        alike = [curve for curve in curves.get(method, []) if len(curve) == usual]
        if alike:
            means[method] = [statistics.fmean(values) for values in zip(*alike)]
    return means


def dots(rows, method, column):
    """The values of evenly chosen images that a page draws."""
    values = []
    for row in rows:
        value = row.get("scores", {}).get(column)
        if row["method"] == method and value is not None:
            values.append(value)
    if len(values) <= DOTS:
        return values
    return [values[number * len(values) // DOTS] for number in range(DOTS)]


def odd_maps(rows, method, key):
    return [row["id"] for row in rows if row["method"] == method and row.get(key)]
