"""The class-specific masking matrix in the harness: from class masks to results.json."""

import csv
import json

import numpy as np
import pytest
import torch

from explainer.attribution import Attribution, Constant, Explainer, GradCAM, Random
from explainer.errors import InputError
from explainer.evaluation.maps.class_masks import class_masks
from explainer.evaluation.maps.make import MaskMaker
from explainer.evaluation.report import About
from explainer.evaluation.report.class_matrix import matrix_table
from explainer.evaluation.report.files import write_results
from explainer.evaluation.report.heat_map import heat_maps
from explainer.evaluation.report.page import page
from explainer.evaluation.report.printers import to_markdown
from explainer.evaluation.results.class_matrix import matrices, told_apart
from explainer.evaluation.scoring.class_matrix import ClassMatrix, class_matrix
from tests.support.small_checkpoints import save_explainer
from tests.support.small_evaluation import CLASSES, FACTS, METHODS, classifier, pictures, run, timeless

SHOWN = ["cow", "cat"]


class Stripe(Attribution):
    """A map that is high in the column of its class, and in some images has a NaN."""

    def maps(self, explanandum, image, target):
        found = image.new_zeros(len(image), 1, *image.shape[-2:])
        for n, column in enumerate(target.tolist()):
            found[n, 0, :, column] = 2.0 + image[n].mean()
            if image[n, 0, 0, 0] < 0.1:
                found[n, 0, 5, 5] = torch.nan
        return found


def by_hand(explanandum, method, batches, classes):
    """Image by image, class by class, threshold by threshold, in float64."""
    sums, counts = np.zeros((len(classes), 1 + len(classes))), np.zeros(len(classes))
    places = [CLASSES.index(name) for name in classes]
    grey = explanandum.mean_colour

    def said(image, place):
        logits = explanandum(image).double()[0].detach().numpy()
        return (np.exp(logits) / np.exp(logits).sum())[place]

    for batch in batches:
        for n in range(len(batch.id)):
            image = batch.image[n : n + 1]
            for r, row in enumerate(places):
                if batch.labels[n, row] == 0:
                    continue
                counts[r] += 1
                sums[r, 0] += said(image, row)
                for c, column in enumerate(places):
                    found = method(explanandum, image, torch.tensor([column])).detach()
                    found = found * 0 if found.isnan().any() else found
                    spread = found.max() - found.min()
                    mask = (found - found.min()) / spread if spread > 0 else found * 0
                    for level in np.arange(1, 10) / 10:
                        kept = (mask > level).float()
                        sums[r, 1 + c] += said(image * kept + grey * (1 - kept), row) / 9
    return sums / counts[:, None], counts


@pytest.mark.parametrize("method", [Stripe(), GradCAM()], ids=["stripe", "grad-cam"])
def test_the_harness_agrees_with_a_slow_version(tmp_path, method):
    explanandum, batches = classifier(), pictures()
    matrix = class_matrix(["A"], SHOWN, CLASSES, {"A": method})
    store = run(tmp_path, batches, {"A": method}, explanandum, matrix=matrix)
    (one,) = matrices(store.rows, SHOWN).values()
    want, counts = by_hand(explanandum, method, batches, SHOWN)
    np.testing.assert_allclose(one["values"], want, atol=2e-5)
    assert one["images"] == counts.tolist()
    assert (one["classes"], len(one["values"]), len(one["values"][0])) == (SHOWN, 2, 3)


def rows_with(*images):
    return [{"method": "A", "matrix": matrix} for matrix in images]


def test_intervals_and_summary_are_those_of_the_images_that_have_the_class():
    cats = torch.rand(30, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = rows_with(*({"cat": row} for row in cats.tolist()), {"dog": [0.5, 0.25, 0.75]}, {})
    (one,) = matrices(rows, ["cat", "dog"]).values()
    spread = 1.96 * cats.std(0, correction=0) / 30**0.5
    for (low, high), mean, half in zip(one["interval"][0], cats.mean(0).tolist(), spread.tolist(), strict=True):
        assert low == pytest.approx(mean - half, abs=0.25 * half)
        assert high == pytest.approx(mean + half, abs=0.25 * half)
    assert one["interval"][1] == [[0.5, 0.5], [0.25, 0.25], [0.75, 0.75]]
    own, other = (cats[:, 1].sum() + 0.75) / 31, (cats[:, 2].sum() + 0.25) / 31
    assert one["summary"]["own"][0] == pytest.approx(float(own), abs=1e-6)
    assert one["summary"]["other"][0] == pytest.approx(float(other), abs=1e-6)
    assert one["summary"]["own"][1] < own < one["summary"]["own"][2]


def test_an_image_of_two_classes_counts_once_and_one_class_alone_has_no_other():
    both = torch.tensor([[[0.2, 0.4, 0.6], [0.3, 0.5, 0.9]]])
    torch.testing.assert_close(told_apart(both), torch.tensor([[0.25, 0.65, 0.55]]))
    (one,) = matrices(rows_with({"cat": [0.5, 0.75]}), ["cat"]).values()
    assert one["summary"]["other"] == [None, None, None]
    assert to_markdown(matrix_table({"A": one})).splitlines()[-1] == "| A | 50.0 [50.0, 50.0] | 75.0 [75.0, 75.0] | – |"


@pytest.mark.parametrize("size", [1, 4, 100])
def test_class_masks_are_each_classes_own_in_the_order_asked_for(size):
    method = Stripe()
    method.batch_size = size
    masks = class_masks(classifier(), method, torch.full((3, 3, 8, 8), 0.5), [2, 0])
    assert masks.shape == (3, 2, 8, 8)
    assert masks[:, 0].nonzero()[:, 2].unique().tolist() == [2]
    assert masks[:, 1].nonzero()[:, 2].unique().tolist() == [0]
    assert masks.max() == 1
    broken = class_masks(classifier(), method, torch.zeros(1, 3, 8, 8), [2, 0])
    assert broken.abs().max() == 0


def test_an_explainers_class_masks_are_its_own_and_never_scaled(tmp_path):
    method = Explainer(save_explainer(tmp_path / "e.ckpt"))
    image = torch.rand(2, 3, 32, 32)
    masks = class_masks(classifier(), method, image, [2, 0], MaskMaker(scaled=True))
    torch.testing.assert_close(masks, method.masks(image)[:, [2, 0]])
    assert masks.max() < 1


def test_masks_are_scaled_as_elsewhere():
    half = Constant(0.5)
    assert class_masks(classifier(), half, torch.rand(1, 3, 4, 4), [0], MaskMaker(scaled=False)).unique().tolist() == [
        0.5
    ]
    assert class_masks(classifier(), half, torch.rand(1, 3, 4, 4), [0], MaskMaker(scaled=True)).unique().tolist() == [
        0.0
    ]


def test_which_methods_have_one():
    methods = METHODS | {"Noise": Random()}
    assert class_matrix(False, None, CLASSES, methods) is None
    assert class_matrix([], None, CLASSES, methods) is None
    assert class_matrix(True, None, CLASSES, methods).methods >= {"Grad-CAM"}
    assert not class_matrix(True, None, CLASSES, methods).methods & {"Half", "Box"}  # they look at no class
    assert class_matrix(["Half"], ["dog"], CLASSES, methods).places == [1]
    batch = pictures((2,))[0]
    assert class_matrix(["Half"], None, CLASSES, methods)(classifier(), "Box", Constant(0.3), batch) is None
    assert class_matrix(["Half"], None, CLASSES, methods)(classifier(), "Half", None, batch) is None


def test_bad_names_are_refused_with_those_there_are():
    with pytest.raises(
        InputError, match=r"evaluation.class_matrix.methods: there is no method 'RISE', only Grad-CAM, Half, Box"
    ):
        class_matrix(["RISE"], None, CLASSES, METHODS)
    with pytest.raises(
        InputError, match=r"evaluation.class_matrix.classes: there is no class 'bird', only cat, dog, cow"
    ):
        class_matrix(True, ["cat", "bird"], CLASSES, METHODS)
    with pytest.raises(InputError, match="names a class twice: cat, cat"):
        class_matrix(True, ["cat", "cat"], CLASSES, METHODS)
    many = [str(n) for n in range(1000)]
    with pytest.raises(
        InputError, match=r"1000 classes is too large: name at most 100 in evaluation.class_matrix.classes"
    ):
        class_matrix(True, None, many, METHODS)
    with pytest.raises(InputError, match=r"no class 'x', only 0, 1, .* 29 … \(1000\)"):
        ClassMatrix(["x"], many, [])


def test_rows_hold_the_classes_present_and_a_killed_run_goes_on(tmp_path):
    explanandum, batches = classifier(), pictures()
    settings = {"explanandum": explanandum, "matrix": class_matrix(["Grad-CAM"], SHOWN, CLASSES, METHODS)}
    facts = FACTS | {"matrix": {"classes": SHOWN}}
    whole = write_results(run(tmp_path / "a", batches, facts=facts, **settings).rows, facts, tmp_path / "a")
    run(tmp_path / "b", batches[:1], facts=facts, **settings)
    with (tmp_path / "b" / "rows.jsonl").open("a") as file:
        file.write('{"id": "torn')
    store = run(tmp_path / "b", batches, facts=facts, **settings)
    assert timeless(write_results(store.rows, facts, tmp_path / "b")) == timeless(whole)
    rows = [row for row in store.rows if row["method"] == "Grad-CAM"]
    for row, labels in zip(rows, torch.cat([b.labels for b in batches]), strict=True):
        assert set(row["matrix"]) == {name for name in SHOWN if labels[CLASSES.index(name)]}
    assert any(row["matrix"] == {} for row in rows)  # an image without any of the classes
    assert not any("matrix" in row for row in store.rows if row["method"] != "Grad-CAM")
    with pytest.raises(InputError, match="another matrix"):
        run(tmp_path / "b", batches, facts=FACTS)


def test_results_csv_and_report_show_it(tmp_path):
    facts = FACTS | {"matrix": {"classes": ["cow", "dog"]}}
    matrix = class_matrix(["Grad-CAM"], ["cow", "dog"], CLASSES, METHODS)
    batches = pictures((1,), multilabel=False)  # a cat
    batches[0].labels[0] = torch.tensor([0.0, 1.0, 0.0])
    rows = run(tmp_path, batches, facts=facts, matrix=matrix).rows
    content = write_results(rows, facts, tmp_path)
    one = json.loads((tmp_path / "results.json").read_text())["matrix"]["Grad-CAM"]
    assert one["values"][0] == [None, None, None]
    assert all(0 <= value <= 1 for value in one["values"][1])
    assert one["images"] == [0, 1]
    lines = list(csv.DictReader((tmp_path / "matrix.csv").open()))
    assert [(line["method"], line["class"], line["images"]) for line in lines] == [
        ("Grad-CAM", "cow", "0"), ("Grad-CAM", "dog", "1"),
    ]  # fmt: skip
    assert float(lines[1]["dog"]) == one["values"][1][2]
    assert lines[0]["none"] == lines[0]["dog low"] == ""
    assert float(lines[1]["dog low"]) == float(lines[1]["dog high"]) == one["values"][1][2]  # of one image
    (map_,) = heat_maps(content["matrix"])
    assert map_.columns == ["no mask", "cow", "dog"]
    assert map_.cells[0][0][0] == "–"
    text = page(content, [], About("run"))
    assert 'aria-label="Class matrix of Grad-CAM"' in text
    assert "with the class&#39;s own mask" in text
    assert write_results(run(tmp_path / "b", batches).rows, FACTS, tmp_path / "b")["matrix"] is None
    assert not (tmp_path / "b" / "matrix.csv").exists()
