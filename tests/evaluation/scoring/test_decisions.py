"""Masks of right and of wrong decisions, and of chosen classes."""

import json

import pytest
import torch

from explainer.attribution import CentredBox, GradCAM
from explainer.errors import InputError
from explainer.evaluation.maps.class_masks import class_masks
from explainer.evaluation.names import check_classes
from explainer.evaluation.report.class_gallery import class_gallery
from explainer.evaluation.report.decisions import decision_gallery
from explainer.evaluation.report.files import write_results
from explainer.evaluation.results.decisions import decision_results, examples
from explainer.evaluation.scoring.decisions import KINDS, Decisions
from explainer.evaluation.storage.reading import read_rows
from explainer.evaluation.storage.rows import Evaluated
from explainer.functional.masking import composite
from tests.support.small_evaluation import METHODS, classifier, pictures, run


def test_every_class_is_of_the_kind_that_label_and_decision_make_it():
    explanandum, batch = classifier(), pictures((4,))[0]
    probabilities = explanandum.probabilities(explanandum(batch.image))
    threshold = float(probabilities.median())
    found = Decisions(threshold).kinds(explanandum, batch)
    for n, chosen in enumerate(found):
        for index in range(3):
            labelled, said = bool(batch.labels[n, index]), bool(probabilities[n, index] >= threshold)
            want = {(True, True): KINDS[0], (False, True): KINDS[1], (True, False): KINDS[2]}.get((labelled, said))
            assert dict(chosen).get(index) == want
    assert {kind for chosen in found for _, kind in chosen} == set(KINDS)


def test_a_single_label_classifier_decides_for_its_most_probable_class():
    explanandum, batch = classifier(multilabel=False), pictures((4,), multilabel=False)[0]
    said = explanandum(batch.image).argmax(1).tolist()
    for n, chosen in enumerate(Decisions(0.99).kinds(explanandum, batch)):
        label = int(batch.labels[n].argmax())
        want = {label: KINDS[0]} if label == said[n] else {said[n]: KINDS[1], label: KINDS[2]}
        assert dict(chosen) == want


def test_rows_say_what_a_classs_mask_keeps_and_leaves(tmp_path):
    explanandum, batches = classifier(), pictures((2, 2))
    probabilities = torch.cat([explanandum.probabilities(explanandum(b.image)) for b in batches])
    decisions = Decisions(float(probabilities.median()))
    store = run(tmp_path, batches, explanandum=explanandum, decisions=decisions)
    rows = [row for row in store.rows if row["method"] == "Grad-CAM"]
    entry, image = rows[0]["decisions"][0], batches[0].image[:1]
    index = explanandum.classes.index(entry["class"])
    mask = class_masks(explanandum, GradCAM(), image, [index])
    for key, seen in (("image", image), ("kept", composite(image, mask, explanandum.mean_colour))):
        assert entry[key] == pytest.approx(float(explanandum.probabilities(explanandum(seen))[0, index]), abs=1e-5)
    left = composite(image, 1 - mask, explanandum.mean_colour)
    assert entry["removed"] == pytest.approx(float(explanandum.probabilities(explanandum(left))[0, index]), abs=1e-5)
    assert entry["area"] == pytest.approx(float(mask.mean()), abs=1e-5)
    assert not any("decisions" in row for row in store.rows if row["method"] in ("Half", "Box", "Ground truth"))
    assert read_rows(tmp_path / "rows.jsonl", Evaluated) == store.rows
    content = write_results(store.rows, {}, tmp_path)
    assert set(content["decisions"]["Grad-CAM"]) == set(KINDS)
    assert json.loads((tmp_path / "results.json").read_text())["decisions"] == content["decisions"]
    kept = [e["kept"] for row in rows for e in row["decisions"] if e["kind"] == KINDS[1]]
    assert content["decisions"]["Grad-CAM"][KINDS[1]]["kept"] == pytest.approx(sum(kept) / len(kept))
    assert decision_results([{"method": "Box", "id": "a"}]) == {}


def test_pictures_have_a_row_an_example_and_a_row_an_image_and_method():
    explanandum, batch = classifier(), pictures((4,), side=32)[0]
    probabilities = explanandum.probabilities(explanandum(batch.image))
    decisions = Decisions(float(probabilities.median()))
    one = decision_gallery(decisions, explanandum, METHODS, batch, 1)
    two = decision_gallery(decisions, explanandum, METHODS, batch, 2)
    assert one.width == two.width
    assert two.height > 1.5 * one.height
    assert decision_gallery(decisions, explanandum, {"Box": CentredBox()}, batch, 1) is None
    classes = class_gallery(explanandum, {"Grad-CAM": GradCAM(), "Box": CentredBox()}, batch, ["cow", "cat"])
    fewer = class_gallery(explanandum, {"Grad-CAM": GradCAM()}, batch, ["cow"])
    assert classes.width / fewer.width == pytest.approx(3 / 2, abs=0.03)
    assert classes.height / fewer.height == pytest.approx(2, abs=0.1)


def test_examples_are_images_of_each_kind():
    rows = [{"id": str(n), "decisions": [{"kind": KINDS[n % 2]}]} for n in range(6)]
    assert examples(rows, 2) == ["0", "2", "1", "3"]
    assert examples(rows, 0) == []


def test_classes_to_show_are_checked():
    with pytest.raises(InputError, match=r"evaluation\.report\.class_gallery: there is no class 'cwo', only cat, cow"):
        check_classes("evaluation.report.class_gallery", ["cwo"], ["cat", "cow"])
    with pytest.raises(InputError, match="names a class twice"):
        check_classes("evaluation.report.class_gallery", ["cat", "cat"], ["cat", "cow"])
