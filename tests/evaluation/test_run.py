import csv
import json
import math

import numpy as np
import pytest
import torch

from explainer.attribution import Attribution, CentredBox, Constant
from explainer.data import Batch
from explainer.errors import InputError
from explainer.evaluation.references import BOXES, ORIGINAL, TRUTH, check_free
from explainer.evaluation.report.files import write_results
from explainer.evaluation.report.gallery import method_gallery
from explainer.evaluation.report.printers import to_markdown, to_terminal
from explainer.evaluation.report.summary_table import caption, summary_table
from explainer.evaluation.results.columns import FIXED, columns_of
from explainer.evaluation.results.summary import classification, summarise
from explainer.evaluation.scoring.metrics import Judge
from explainer.evaluation.targets import Targets
from explainer.metrics import Localisation
from explainer.metrics.segmentation import TruthRule
from tests.support.small_evaluation import METHODS, classifier, pictures, run, timeless


def test_scores_agree_with_a_slow_evaluation_of_one_image(tmp_path, device):
    explanandum, batch = classifier().to(device), pictures((1,))[0]
    row = next(r for r in run(tmp_path, [batch], explanandum=explanandum, device=device).rows if r["method"] == "Box")
    mask = CentredBox(0.3).mask(batch.image)[0, 0].double().numpy()
    known = batch.segmentation[0, 0].numpy() != 255
    truth = batch.segmentation[0, 0].numpy()[known] == 1  # class 0 is the only label
    shown = mask[known]
    assert row["scores"]["acc"] == pytest.approx((shown == truth).mean(), abs=1e-6)
    assert row["scores"]["mae"] == pytest.approx((shown != truth).mean(), abs=1e-6)
    assert row["scores"]["iou"] == pytest.approx((shown * truth).sum() / np.maximum(shown, truth).sum(), abs=1e-6)
    assert row["area"] == pytest.approx(mask.mean(), abs=1e-6)
    colour = explanandum.mean_colour.cpu()
    kept = batch.image * torch.tensor(mask).float() + colour * (1 - torch.tensor(mask).float())
    logits = explanandum(kept.to(device))[0].double().cpu().numpy()
    softmax = np.exp(logits) / np.exp(logits).sum()
    assert row["scores"]["sal"] == pytest.approx(math.log(max(mask.mean(), 0.05)) - math.log(softmax[0]), abs=1e-4)
    assert row["kept"]["probabilities"] == pytest.approx(list(1 / (1 + np.exp(-logits))), abs=1e-4)
    removed = batch.image + colour - kept
    logits = explanandum(removed.to(device))[0].double().cpu().numpy()
    assert row["removed"]["probabilities"] == pytest.approx(list(1 / (1 + np.exp(-logits))), abs=1e-4)


def test_undefined_scores_are_left_out_and_counted(tmp_path):
    results = summarise(run(tmp_path, pictures()).rows)
    box = results["Box"]
    assert box["images"] == 6
    assert (box["n"]["acc"], box["n"]["iou"], box["n"]["mae"], box["n"]["sal"]) == (5, 4, 5, 5)
    assert results["Half"]["constant"] == 6
    assert box["constant"] == 0
    half = results["Half"]
    assert (half["scores"]["acc"], half["scores"]["mae"], half["area"]) == (0.5, 0.5, 0.5)


def test_the_ground_truth_scores_perfectly(tmp_path):
    truth = summarise(run(tmp_path, pictures()).rows)[TRUTH]
    assert tuple(truth["scores"][name] for name in ("acc", "iou", "mae")) == (1.0, 1.0, 0.0)


def test_true_boxes_are_a_reference_where_there_are_any(tmp_path):
    first, second, third = pictures(segmented=False)
    boxes = [torch.tensor([[0.0, 2, 3, 10, 7], [2.0, 0, 0, 16, 16]]), torch.zeros(0, 5)]  # class 2 is not labelled
    batches = [first._replace(boxes=boxes), second, third]
    store = run(tmp_path, batches, true_boxes=True, judge=Judge({"WSL": Localisation()}))
    columns = columns_of({"WSL": Localisation()})
    content = write_results(store.rows, {"metrics": {"WSL": {}}}, tmp_path, columns=columns)
    box = content["results"][BOXES]
    assert (box["images"], box["area"], box["scores"]["WSL"]) == (1, pytest.approx(8 * 4 / 256), 0)
    assert box["scores"]["acc"] is None
    assert "the bounding box left out" in to_markdown(summary_table(content))
    assert BOXES not in content["pairs"].get("WSL", {})
    assert BOXES not in summarise(run(tmp_path / "without", batches).rows)


def test_a_method_has_no_references_name():
    with pytest.raises(InputError, match="'Bounding box' is the name of a reference"):
        check_free(["RISE", BOXES])


def test_true_boxes_stand_beside_the_ground_truth(tmp_path):
    results = summarise(run(tmp_path, pictures(), true_boxes=True).rows)
    assert results[BOXES]["images"] == results[TRUTH]["n"]["iou"]  # no box where nothing of a label is segmented
    assert results[BOXES]["area"] >= results[TRUTH]["area"]


def test_images_without_segmentation_keep_saliency_and_classification(tmp_path):
    content = write_results(run(tmp_path, pictures(segmented=False)).rows, {}, tmp_path)
    assert TRUTH not in content["results"]
    box = content["results"]["Box"]
    assert [box["scores"][name] for name in ("acc", "iou", "mae")] == [None, None, None]
    assert math.isfinite(box["scores"]["sal"])
    assert 0 <= box["kept"]["F1"] <= 1
    header = to_markdown(summary_table(content)).splitlines()[0]
    assert "Sal" in header
    assert "Acc" not in header  # a column without any value is left out


def test_unreadable_images_make_smaller_and_empty_batches(tmp_path):
    empty = Batch(torch.zeros(0, 3, 1, 1), torch.zeros(0, 1), [])
    batches = pictures((2, 1))
    got = run(tmp_path / "a", [batches[0], empty, batches[1]])
    assert timeless(got.rows) == timeless(run(tmp_path / "b", batches).rows)


def test_single_label_classification(tmp_path):
    batches = pictures(multilabel=False)
    explanandum = classifier(multilabel=False)
    results = summarise(run(tmp_path, batches, explanandum=explanandum).rows)
    image, labels = torch.cat([b.image for b in batches]), torch.cat([b.labels for b in batches])
    probabilities = explanandum(image).softmax(1)
    said = results[ORIGINAL]["kept"]
    assert said["accuracy"] == pytest.approx((probabilities.argmax(1) == labels.argmax(1)).float().mean().item())
    assert said["probability"] == pytest.approx(probabilities[labels > 0].mean().item(), abs=1e-4)
    assert "accuracy masked ↑" in [heading.text for heading in summary_table({"results": results}).columns]


def average_precision(scores, truth):
    """Mean precision at the ranks of the positives (no ties)."""
    order = np.argsort(-scores)
    hits = truth[order]
    return sum(hits[: k + 1].mean() for k in np.flatnonzero(hits)) / hits.sum()


def test_multi_label_classification_agrees_with_slow_versions():
    generator = np.random.default_rng(0)
    scores, truth = generator.random((30, 4)).round(5), generator.random((30, 4)) < 0.3
    truth[:, 3] = False  # a class without images
    scores[:, 3] = 0.1
    said = [{"labels": np.flatnonzero(t).tolist(), "probabilities": p.tolist()} for p, t in zip(scores, truth)]
    got = classification(said)
    assert got["mAP"] == pytest.approx(np.mean([average_precision(scores[:, c], truth[:, c]) for c in range(3)]))
    f1 = []
    for c in range(3):
        found = scores[:, c] > 0.5
        f1.append(2 * (found & truth[:, c]).sum() / (found.sum() + truth[:, c].sum()))
    assert got["F1"] == pytest.approx(np.mean(f1))
    assert got["probability"] == pytest.approx(scores[truth].mean())


def test_classification_without_any_label():
    assert set(classification([{"labels": [], "probabilities": [0.2, 0.3]}]).values()) == {None}
    assert set(classification([{"labels": [], "predicted": 0, "probability": None}]).values()) == {None}


def test_seconds_leave_out_the_first_call(tmp_path, monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr("explainer.evaluation.maps.cost.time.perf_counter", lambda: next(clock))

    class Counted(Constant):
        calls = 0

        def checked_target_mask(self, *arguments):
            Counted.calls += 1
            return super().checked_target_mask(*arguments)

    rows = run(tmp_path, pictures((2, 2)), {"Counted": Counted(0.5)}).rows
    assert Counted.calls == 3  # one warms up
    assert {r["cost"]["seconds"] for r in rows if r["method"] == "Counted"} == {0.5}  # a tick for two images


def test_what_masks_cost_is_in_rows_and_results(tmp_path):
    methods = {"Grad-CAM": METHODS["Grad-CAM"], "Box": CentredBox()}
    rows = run(tmp_path, pictures((2, 2), multilabel=False), methods).rows
    results = summarise(rows)
    assert {r["cost"]["passes"] for r in rows if r["method"] == "Grad-CAM"} == {1.0}  # once an image and label
    assert results["Grad-CAM"]["cost"]["passes"] == 1
    assert results["Box"]["cost"]["passes"] == 0
    assert results["Box"]["cost"]["ms"] > 0
    assert set(results["Box"]["cost"]) == {"passes", "ms", "memory"}


def test_written_files(tmp_path):
    rows = run(tmp_path, pictures()).rows
    content = write_results(rows, {"split": "test"}, tmp_path)
    assert json.loads((tmp_path / "results.json").read_text(), parse_constant=pytest.fail) == content
    with (tmp_path / "per_image.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 3 * 6 + len([r for r in rows if r["method"] == TRUTH])
    assert {row["id"] for row in table} == {f'image {n}, "{n}"' for n in range(6)}
    mine = [float(row["acc"]) for row in table if row["method"] == "Box" and row["acc"]]
    assert np.mean(mine) == pytest.approx(content["results"]["Box"]["scores"]["acc"])


def test_the_best_of_each_column_is_marked_without_the_ground_truth():
    entry = {"images": 2, "n": {"acc": 2}, "kept": {"mAP": 0.5}, "removed": {"mAP": 0.1}, "constant": 0}
    numbers = {
        TRUTH: (1.0, 1.0, 0.0, -3.0, 0.9, 0.1), "Good": (0.8, 0.5, 0.2, -1.0, 0.7, 0.2),
        "Bad": (0.7, 0.6, 0.3, 2.0, 0.8, 0.3), "None": (None,) * 6,
    }  # fmt: skip
    results = {ORIGINAL: {"images": 2, "kept": {"mAP": 0.9}}}
    for name, values in numbers.items():
        results[name] = entry | {"scores": dict(zip(FIXED, values, strict=True))} | {"area": 0.1, "cost": {"ms": None}}
    table = summary_table({"results": results}, "title")
    starred = {(row.name, head.label[:3]) for row in table.rows for head, cell in zip(table.columns, row.cells, strict=True)
               if cell.mark == "best"}  # fmt: skip
    assert starred == {
        ("Good", "Acc"),
        ("Bad", "IoU"),
        ("Good", "MAE"),
        ("Good", "Sal"),
        ("Bad", "Ins"),
        ("Good", "Del"),
    }
    assert [heading.arrow for heading in table.columns[:6]] == ["↑", "↑", "↓", "↓", "↑", "↓"]
    assert to_terminal(table).row_count == 4
    lines = to_markdown(table).splitlines()
    assert {line.count("|") for line in lines if line.startswith("|")} == {len(table.columns) + 2}


def test_the_gallery_has_a_row_an_image_and_a_column_a_method():
    batch = pictures((2,), side=32)[0]
    picture = method_gallery(classifier(), METHODS, batch)
    fewer = method_gallery(classifier(), {"Half": METHODS["Half"], "Box": METHODS["Box"]}, batch)
    lower = method_gallery(classifier(), METHODS, pictures((1,), side=32)[0])
    assert picture.width / fewer.width == pytest.approx(4 / 3, abs=0.02)  # constant masks are left out
    assert picture.height / lower.height == pytest.approx(2, abs=0.15)
    unsegmented = method_gallery(classifier(), METHODS, batch._replace(segmentation=None))
    assert unsegmented.width < picture.width


@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
def test_what_the_classifier_says_can_be_explained_in_place_of_the_labels(tmp_path, threshold):
    explanandum, batches = classifier(), pictures((2, 2))
    targets = Targets("predicted", threshold)
    rows = run(tmp_path, batches, explanandum=explanandum, targets=targets).rows
    said = [explanandum.probabilities(explanandum(batch.image)) for batch in batches]
    predicted = [b._replace(labels=(p >= threshold).float()) for b, p in zip(batches, said, strict=True)]
    of_predicted = run(tmp_path / "predicted", predicted, explanandum=explanandum).rows
    of_labels = run(tmp_path / "labels", batches, explanandum=explanandum).rows
    want = {r["id"]: r for r in of_predicted if r["method"] == "Grad-CAM"}
    labels = {r["id"]: r for r in of_labels if r["method"] == "Box"}
    for row in rows:
        if row["method"] == "Grad-CAM":
            assert (row["area"], row["scores"]["sal"]) == (want[row["id"]]["area"], want[row["id"]]["scores"]["sal"])
        if row["method"] == "Box":  # looks at no class: compared with the labelled objects as ever
            assert [row["scores"][name] for name in ("acc", "iou")] == [
                labels[row["id"]]["scores"][name] for name in ("acc", "iou")
            ]
    if threshold == 1.0:
        assert (torch.cat(said) < 1).all()
        assert {r["area"] for r in rows if r["method"] == "Grad-CAM"} == {0.0}
        assert {r["scores"]["sal"] for r in rows if r["method"] == "Grad-CAM"} == {None}


def test_a_caption_says_what_the_truth_is_and_what_is_explained(tmp_path):
    rows = run(tmp_path, pictures(), rule=TruthRule("object", "all"), targets=Targets("predicted")).rows
    usual = write_results(rows, {}, tmp_path)["results"]
    assert "; truth: the labelled objects, void pixels left out" in caption(usual)
    assert "explained" not in caption(usual)
    facts = {"void": "object", "objects": "all", "targets": ["predicted", 0.5]}
    published = caption(write_results(rows, facts, tmp_path)["results"])
    assert "; truth: all segmented objects, void pixels counted as object" in published
    assert "; explained: the classes predicted with at least 0.5" in published


# What must not pass unnoticed.


@pytest.mark.parametrize("void", ["ignore", "object"])
def test_images_without_segmentation_are_no_ground_truth(tmp_path, void):
    rows = [r for r in run(tmp_path, pictures(), rule=TruthRule(void)).rows if r["method"] == TRUTH]
    assert [r["id"][6] for r in rows] == ["0", "1", "2", "4", "5"]
    assert {(r["scores"]["acc"], r["scores"]["mae"]) for r in rows} == {(1.0, 0.0)}
    without_object = {"4"} if void == "ignore" else set()  # its void border counts as object otherwise
    assert {r["id"][6] for r in rows if r["scores"]["iou"] is None} == without_object
    assert {r["scores"]["iou"] for r in rows} - {None} == {1.0}


def test_a_batch_without_any_label(tmp_path):
    batch = pictures((2,))[0]
    rows = run(tmp_path, [batch._replace(labels=torch.zeros(2, 3))]).rows
    assert [r["area"] for r in rows if r["method"] == "Grad-CAM"] == [0.0, 0.0]
    assert [r["scores"]["sal"] for r in rows if r["method"] == "Grad-CAM"] == [None, None]


def test_masks_that_are_not_finite_count_as_empty_and_constant(tmp_path):
    class Diverged(Constant):
        def mask(self, image):
            return torch.full_like(image[:, :1], float("nan"))

    results = summarise(run(tmp_path, pictures(), {"Diverged": Diverged(), "Zero": Constant(0.0)}).rows)
    assert results["Diverged"]["constant"] == 6
    assert (results["Diverged"]["broken"], results["Zero"]["broken"]) == (6, 0)
    assert timeless(results["Diverged"] | {"broken": 0}) == timeless(results["Zero"])
    assert "6 of Diverged" in caption(results)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_one_classs_map_that_is_not_finite_is_empty_and_named(tmp_path, value):
    class Half(Attribution):
        """Of images with two labels, the map of the second is not finite."""

        def maps(self, explanandum, image, target):
            maps = image[:, :1].clone()
            maps[target == 2, :, 0, 0] = value
            return maps

    batch = pictures((6,))[0]
    rows = [r for r in run(tmp_path, [batch], {"Half": Half()}).rows if r["method"] == "Half"]
    assert [r["broken"] for r in rows] == (batch.labels[:, 2] > 0).tolist()
    both = [r for r, two in zip(rows, (batch.labels[:, 2] > 0) & (batch.labels.sum(1) > 1), strict=True) if two]
    assert both
    assert all(r["area"] > 0 for r in both)  # the other class's map stands


def test_no_readable_image_is_said_in_one_line(tmp_path):
    with pytest.raises(InputError, match="none of the images could be read"):
        write_results(run(tmp_path, []).rows, {}, tmp_path)
