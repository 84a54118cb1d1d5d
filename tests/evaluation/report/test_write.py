import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from explainer.attribution import GradCAM
from explainer.data import VOID, Batch
from explainer.evaluation import report as made
from explainer.evaluation.references import TRUTH, reference_mask
from explainer.evaluation.report import gallery
from explainer.evaluation.report.files import write_results
from explainer.evaluation.report.gallery import ALL_MADE, PictureMasks, method_gallery
from explainer.evaluation.report.wandb import beside, log_report
from explainer.evaluation.report.write import about, report
from explainer.evaluation.storage.store import ROWS
from explainer.metrics.segmentation import TruthRule
from tests.support import wandb_file
from tests.support.small_evaluation import CLASSES, FACTS, METHODS, classifier, pictures, run
from tests.support.tiny_runs import evaluation


def a_run(checkpoint=Path("checkpoints/small.ckpt"), explanandum=None, network=None, **settings):
    config = {"data": {"class_path": "explainer.data.Shapes", "init_args": {}}}
    if network is not None:
        config["explanandum"] = {"network": network}
    return SimpleNamespace(
        name="small",
        settings=evaluation(**settings),
        config=config,
        checkpoint=checkpoint,
        explanandum=explanandum,
    )


class Kept:
    """Masks of all images."""

    def read(self, method, image):
        return torch.linspace(0, 1, 256).view(1, 16, 16)


@pytest.fixture
def finished(tmp_path):
    """Folder, classifier, the first batch, and kept masks."""
    batches, network = pictures(), classifier()
    write_results(run(tmp_path, batches, explanandum=network).rows, FACTS, tmp_path)
    return tmp_path, network, batches[0], Kept()


class Never(GradCAM):
    def checked_target_mask(self, *_):
        raise AssertionError("computed again")


def test_a_finished_run_has_its_page_without_computing_anything_again(finished):
    folder, network, batch, kept = finished
    report(a_run(), network, METHODS | {"Grad-CAM": Never()}, batch, kept, folder)
    text = (folder / "report.html").read_text()
    for image in batch.id:
        assert text.count(image.replace('"', "&#34;")) > 0
    assert text.count('alt="Map of Grad-CAM') == text.count('alt="Map of Ground truth') == len(batch.id)
    assert 'alt="Map of Half' not in text  # a constant mask is not worth a picture
    assert (folder / "table.tex").is_file()


def test_a_method_that_failed_on_an_image_has_no_map_of_it(finished):
    folder, network, batch, _ = finished
    rows = [json.loads(line) for line in (folder / ROWS).read_text().splitlines()]
    failed = [
        {k: row[k] for k in ("id", "method")} | {"error": "none"}
        if (row["method"], row["id"]) == ("Box", batch.id[1])
        else row
        for row in rows
    ]
    shown = list(made.pictures(network, METHODS, batch, ALL_MADE, failed))
    assert [list(one.maps) for one in shown] == [["Ground truth", "Grad-CAM", "Box"], ["Ground truth", "Grad-CAM"]]
    assert all(note.startswith("area 0.") and "kept 0." in note for note in shown[0].notes.values())
    assert shown[0].labels.split()[0] == CLASSES[int(batch.labels[0].argmax())]


@pytest.mark.parametrize("rule", [TruthRule("object"), TruthRule(objects="all")])
def test_pictures_show_the_truth_that_is_scored(tmp_path, monkeypatch, rule):
    batch, network = pictures((3,))[0], classifier()
    batch.segmentation[:, :, 0, :4] = VOID
    batch.segmentation[:, :, 4:8, 4:8] = 1  # of classes that are no label, too
    # the pictures explain other classes than the labels, on which the truth depends
    explained = batch._replace(labels=torch.zeros_like(batch.labels))
    rows = run(tmp_path, [batch], explanandum=network, rule=rule).rows
    areas = {row["id"]: row["area"] for row in rows if row["method"] == TRUTH}
    usual = reference_mask(TRUTH, batch).mean((1, 2, 3)).tolist()
    assert list(areas.values()) != pytest.approx(usual)
    source = PictureMasks(rule=rule)
    shown = list(made.pictures(network, METHODS, explained, source, rows, batch))
    assert [one.notes[TRUTH].split(",")[0] for one in shown] == [f"area {areas[one.id]:.2f}" for one in shown]
    drawn = []
    monkeypatch.setattr(gallery, "overlay", lambda image, mask: drawn.append(mask) or Image.new("RGB", (8, 8)))
    method_gallery(network, METHODS, explained, source, batch)
    assert [float(mask.mean()) for mask in drawn[:: len(drawn) // 3]] == pytest.approx(list(areas.values()))


def test_without_images_there_is_a_page_without_a_gallery(finished):
    folder, network, batch, kept = finished
    none = Batch(batch.image[:0], batch.labels[:0], [])
    report(a_run(), network, METHODS, none, kept, folder)
    assert 'id="gallery"' not in (folder / "report.html").read_text()


def test_what_is_not_asked_for_is_not_written(finished):
    folder, network, batch, kept = finished
    report(a_run(report=False), network, METHODS, batch, kept, folder)
    assert not (folder / "report.html").exists()


def test_a_reader_is_told_what_was_judged(finished):
    said = about(a_run(split="val"), finished[1])
    assert (said.name, said.classifier, said.data, said.split) == (
        "small",
        "explainer.networks.small.small_cnn of checkpoints/small.ckpt",
        "Shapes",
        "val",
    )


def test_the_classifier_is_told_with_the_file_of_its_weights(finished):
    network = finished[1]
    name = "explainer.networks.small.small_cnn"
    of_config = a_run(explanandum=network, network="runs/tuned.ckpt")
    assert about(of_config, network).classifier == f"{name} of runs/tuned.ckpt"
    # torchvision's own weights are in no file of the reader's
    published = a_run(explanandum=network, network="resnet50")
    assert about(published, network).classifier == name


def test_wandb_has_the_same_offline(finished, monkeypatch):
    folder, network, batch, kept = finished
    monkeypatch.setenv("WANDB_MODE", "offline")
    report(a_run(wandb=True), network, METHODS, batch, kept, folder)
    logged = {}
    for _ in range(300):  # wandb's own process may still be writing
        logged = logged or wandb_file.history(folder)
        time.sleep(0 if logged else 0.1)
    assert {"methods", "report", "gallery"} <= {key.split("/")[0] for key in logged}
    (table,) = folder.rglob("methods_*.table.json")
    content = json.loads(table.read_text())
    assert [row[0] for row in content["data"]] == ["Ground truth", *METHODS]
    assert len(list(folder.rglob("report_*.html"))) == 1
    assert len(list(folder.rglob("gallery_*.png"))) == len(batch.id)


def test_the_summary_holds_every_number_and_the_table_every_interval(tmp_path):
    from tests.support.small_report import folder as made_up
    from tests.support.small_report import results, shown

    content, said = results(), {}
    page = made.write_report(made_up(tmp_path), made.About("x"), shown())
    log_report(SimpleNamespace(summary=said, log=lambda logged: said.update(logged)), content, page, shown())
    assert said["RISE/iou"] == pytest.approx(0.55)
    assert said["RISE/cost.ms"] == pytest.approx(20 * 10**4)
    assert "Constant 0.5/Flip" not in said  # it has none
    table = said["methods"]
    row = dict(zip(table.columns, next(r for r in table.data if r[0] == "RISE"), strict=True))
    assert (row["iou low"], row["iou high"]) == (pytest.approx(0.5), pytest.approx(0.6))
    assert len(said["gallery"]) == 2
    assert beside(shown()[0]).width > beside(shown()[0], wide=2).width
