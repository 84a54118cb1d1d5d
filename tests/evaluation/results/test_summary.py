"""Results by columns are those of a dictionary a row, to the bit: tests/support/plain_results.py computes them so."""

import json

import numpy as np
import pytest

from explainer.evaluation.references import ORIGINAL, TRUTH
from explainer.evaluation.report.curve_panels import mean_curves
from explainer.evaluation.report.files import per_image
from explainer.evaluation.report.measures import measures
from explainer.evaluation.report.page import odd_maps, read_results
from explainer.evaluation.results import intervals
from explainer.evaluation.results.columns import FIXED
from explainer.evaluation.results.summary import pairs, summarise
from explainer.evaluation.run import in_order
from explainer.evaluation.storage.rows import Evaluated
from explainer.evaluation.storage.store import Store
from explainer.files import write_csv
from tests.support import plain_results

METHODS = ("Grad-CAM", "=RISE", "Never", "Half")
METRICS = {"Flip": {}, "n": {}}
IMAGES = 150


def answer(draw, labels, multilabel):
    if multilabel:
        return {"labels": labels, "probabilities": draw.random(4).round(5).tolist()}
    probability = round(float(draw.random()), 5) if labels else None
    return {"labels": labels, "predicted": int(draw.integers(4)), "probability": probability}


def lines(multilabel):
    """Rows as they come from several processes: in no order, with failures that were tried again."""
    draw = np.random.default_rng(7)
    rows = []
    for number in range(IMAGES):
        labels = np.flatnonzero(draw.random(4) < 0.3).tolist() if multilabel else [number % 4][: number % 5]
        image = {"id": f"{number}, ä"}
        rows.append(image | {"method": ORIGINAL, "kept": answer(draw, labels, multilabel)})
        for method in (TRUTH, *METHODS):
            if method == "Never" or (method == "=RISE" and number % 9 == 0):
                rows.append(image | {"method": method, "error": f"RuntimeError: {number}"})
                continue
            if method == "=RISE" and number % 11 == 0:
                rows.append(image | {"method": method, "error": "tried again"})
            scores = dict(zip((*FIXED, "Flip"), draw.random(7, dtype=np.float32).astype(float).tolist()))
            scores |= {"iou": None if number % 3 else scores["iou"], "insertion": None, "n": number % 2}
            row = {"method": method, "scores": scores, "area": float(draw.random())}
            row |= {"cost": {"seconds": float(draw.random()), "passes": 2.0, "memory": None}, "constant": number == 5}
            row |= {"broken": method == "Half" and number < 3, "no_region": number % 7 == 0}
            for part in ("kept", "removed"):
                row[part] = answer(draw, labels, multilabel)
            if number % 2:
                row["curves"] = {"Flip": draw.random(3 + (number == 3)).round(5).tolist()}
            rows.append(image | row)
    kinds = draw.permutation(len(rows))
    ordered = [rows[number] for number in kinds if "error" in rows[number]]
    return ordered + [rows[number] for number in kinds if "error" not in rows[number]]


def same(one, other):
    """Equal to the last bit, in the same order."""
    return json.dumps(one) == json.dumps(other)


@pytest.mark.parametrize("multilabel", [False, True])
def test_results_are_those_of_dictionaries_to_the_bit(tmp_path, multilabel, monkeypatch):
    monkeypatch.setattr("explainer.evaluation.storage.reading._PIECE", 20_000)  # several blocks
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in lines(multilabel)))
    (tmp_path / "fingerprint.json").write_text('{"methods": {}}')
    plain_rows, plain_failed = plain_results.resumed(path)
    store = Store(tmp_path, {}, Evaluated)
    assert same(list(store.rows), plain_rows)
    assert {(m, i): e for m, errors in store.failed.items() for i, e in errors.items()} == plain_failed
    order = [ORIGINAL, TRUTH, *METHODS], [f"{number}, ä" for number in range(IMAGES - 10)]
    wanted = plain_results.in_order(plain_rows, *order)
    rows = in_order(store.rows, *order)
    assert same(list(rows), wanted)
    alphas = {"Half": {"alpha": 2.0}}
    results = summarise(rows, METRICS, alphas, store.failed)
    assert same(results, plain_results.summarise(wanted, METRICS, alphas, store.failed))
    described = FIXED | {"Flip": FIXED["mae"], "n": FIXED["acc"]}
    compared = pairs(rows, described)
    assert {"acc", "iou", "Flip", "n"} <= set(compared)
    assert same(compared, plain_results.pairs(wanted, described))
    write_csv(tmp_path / "ours.csv", per_image(rows, [*FIXED, *METRICS]))
    plain_results.write_per_image(tmp_path / "plain.csv", wanted, [*FIXED, *METRICS])
    assert (tmp_path / "ours.csv").read_bytes() == (tmp_path / "plain.csv").read_bytes()
    # the page
    (tmp_path / "results.json").write_text(json.dumps({"results": results, "columns": described}))
    content, of_page = read_results(tmp_path)
    of_plain_page = plain_results.rows_of_report(path, results)
    assert same(list(of_page), of_plain_page)
    names = list(results)
    assert same(mean_curves(of_page, names, "Flip"), plain_results.mean_curves(of_plain_page, names, "Flip"))
    assert [(o.method, o.images) for o in odd_maps(content, of_page)] == [
        (name, images)
        for name in names
        for key in ("broken", "constant")
        if (images := plain_results.odd_maps(of_plain_page, name, key))
    ]
    assert repr(measures(content, of_page)) == repr(measures(content, of_plain_page))


@pytest.mark.parametrize("held", [0, 10**9])
def test_draws_are_those_of_before_whether_they_are_held_or_not(monkeypatch, held):
    monkeypatch.setattr(intervals, "_HELD", held)
    for images, at_once in ((1, 100), (7, 100), (300, 1000)):
        monkeypatch.setattr(intervals, "_AT_ONCE", at_once)
        wanted = list(plain_results.draws(images, 50, seed=2))
        for _ in range(2):
            got = list(intervals.draws(images, 50, seed=2))
            assert np.array_equal(np.concatenate(got), np.concatenate(wanted))
