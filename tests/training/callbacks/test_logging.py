import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from explainer.cli.train import train
from explainer.data import Shapes
from explainer.errors import InputError
from explainer.tracking import logged_in
from explainer.training.callbacks import Tracker
from explainer.training.callbacks.mask_gallery import validation_images, wandb_masks
from tests.support.tiny_runs import classifier_config, data, explainer_config, trainer
from tests.support.wandb_file import history, rows

TERMS = ("loss", "classification", "entropy", "bound", "target_area", "non_target_area", "tv")


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A run with everything that shows it, in a folder of its own."""
    folder, before = tmp_path_factory.mktemp("watched"), Path.cwd()
    os.chdir(folder)
    try:
        classifier_config()
        options = trainer(logger=None, log_every_n_steps=2)
        train(["--config", explainer_config(gallery={"images": 3, "every_n_steps": 5}, trainer=options)])
    finally:
        os.chdir(before)
    return folder


def test_every_loss_term_is_a_curve(watched):
    logged = history(watched / "runs" / "tiny")
    for term in TERMS:
        assert len(logged[f"train/{term}"]) == 8, term  # two epochs of eight steps, every second one
        assert len(logged[f"val/{term}"]) == 2, term
    weights = dict.fromkeys(TERMS, 1.0) | {"tv": 1.0, "target_area": 0.1, "non_target_area": 0.3}
    total = sum(weights[t] * logged[f"train/{t}"][0] for t in TERMS if t != "loss")
    assert logged["train/loss"][0] == pytest.approx(total, abs=1e-4)


def test_scores_of_the_masks_are_curves(watched):
    logged = history(watched / "runs" / "tiny")
    for name in ("acc", "iou", "mae"):
        assert len(logged[f"val/{name}"]) == 2
        assert all(0 <= v <= 1 for v in logged[f"val/{name}"])
    assert logged["val/acc"][0] + logged["val/mae"][0] == pytest.approx(1, abs=1e-5)
    assert len(logged["val/sal"]) == 2


def test_gallery_is_a_picture_in_the_folder_and_in_wandb(watched):
    run = watched / "runs" / "tiny"
    files = sorted(p.name for p in (run / "gallery").iterdir())
    assert files == [f"step_{n:07d}.png" for n in (0, 5, 8, 10, 15, 16)]
    sizes = {Image.open(run / "gallery" / f).size for f in files}
    assert len(sizes) == 1  # the same images again and again
    logged = history(run)
    assert len(logged["gallery/path"]) == 6
    pictures = list(run.rglob("media/images/gallery*.png"))
    assert len(pictures) == 6
    assert list(run.rglob("media/images/mask/*.png"))  # class masks that can be switched on and off


@pytest.mark.parametrize("count", [255, 1000])
def test_wandb_shows_masks_of_any_number_of_classes(count):
    classes, side = tuple(f"class {n}" for n in range(count)), 16
    masks = torch.zeros(2, count, side, side)
    masks[0, count - 1, :8] = 0.95
    masks[0, 3, 8:12] = 0.6
    masks[1].view(count, -1)[:, : min(count, side * side)].fill_diagonal_(1.0)  # a pixel each
    first, second = (picture._masks for picture in wandb_masks(torch.rand(2, 3, side, side), masks, classes))
    assert list(first) == [f"mask above {threshold}" for threshold in (0.1, 0.3, 0.5, 0.7, 0.9)]
    for layer, third in (("mask above 0.1", "class 3"), ("mask above 0.5", "class 3"), ("mask above 0.7", "none")):
        shown, names = np.asarray(Image.open(first[layer]._path)), first[layer]._val["class_labels"]
        for row, name in ((0, f"class {count - 1}"), (9, third), (14, "none")):
            assert names[int(shown[row, 0])] == name
    last = second["mask above 0.9"]
    shown, names = np.asarray(Image.open(last._path)), last._val["class_labels"]
    assert names[int(shown[0, 0])] == "class 0"
    assert names[int(shown[-1, -1])] == ("another class" if count > 255 else "none")


def test_the_gallery_changes_nothing(watched, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    classifier_config()
    train(["--config", explainer_config()])  # without a gallery
    states = [
        torch.load(folder / "runs" / "tiny" / "last.ckpt", weights_only=True)["state_dict"]
        for folder in (watched, tmp_path)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*(s.values() for s in states), strict=True))


def test_offline_run_tells_how_to_send_it(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    tracker = Tracker("name", tmp_path, mode="offline")
    tracker.log_metrics({"x": 1.0}, step=0)
    tracker.finalize("success")
    assert f"`wandb sync {tmp_path}" in caplog.text
    first = (tmp_path / "wandb_id").read_text()
    assert Tracker("name", tmp_path, resume=True, mode="offline").version == first
    assert Tracker("name", tmp_path, resume=False, mode="offline").version != first


def test_credentials_are_never_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    assert not logged_in()
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert logged_in()


def test_without_a_logger_nothing_is_logged(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(["--config", classifier_config(data=data(train_images=8, val_images=4))])
    assert not list(tmp_path.rglob("*.wandb"))


def test_unreadable_validation_images_are_passed_over(monkeypatch):
    dataset = Shapes(image_size=32, val_images=4).split("val")
    whole = dataset.image

    def image(index):
        if index != 2:
            raise OSError("truncated")
        return whole(index)

    monkeypatch.setattr(dataset, "image", image)
    with pytest.warns(UserWarning, match="skipping"):
        images, labels = validation_images(dataset, 4)
    assert len(images) == len(labels) == 1
    monkeypatch.setattr(dataset, "image", lambda index: image(0))
    with pytest.raises(InputError, match="none of 4 validation images"):
        validation_images(dataset, 4)


def test_whether_masks_tell_classes_apart_is_a_curve(watched):
    logged = history(watched / "runs" / "tiny")
    for name in ("own", "others", "area"):
        assert len(logged[f"val/{name}"]) == 2
        assert all(0 <= v <= 1 for v in logged[f"val/{name}"])
    difference = logged["val/own"][0] - logged["val/others"][0]
    assert logged["val/separation"][0] == pytest.approx(difference, abs=1e-5)
    assert logged["val/score"][0] == pytest.approx(difference - logged["val/area"][0], abs=1e-5)
    values = zip(*(logged[f"val/{name}"] for name in ("own", "removed", "area", "essence")), strict=True)
    for own, removed, area, essence in values:
        assert 0 < essence <= min(own, 1 - removed, 1 - area)


def test_the_learning_rate_is_a_curve(watched):
    rates = history(watched / "runs" / "tiny")["train/learning_rate"]
    assert len(rates) == 8
    assert all(rate > 0 for rate in rates)


def test_pictures_stand_beside_the_scalars_of_their_moment(watched):
    """Every row of the history that has a picture of a step has a step that scalars have too."""
    (path,) = (watched / "runs" / "tiny").rglob("run-*.wandb")
    steps = {"gallery": set(), "train/loss": set(), "val/loss": set()}
    for row in rows(path):
        for key in steps:
            if any(name == key or name.startswith(f"{key}/") for name in row):
                steps[key].add(row["trainer/global_step"])
    assert steps["val/loss"] <= steps["gallery"]  # a gallery at the end of each validation, under its step
    assert steps["gallery"] - steps["val/loss"] == {0, 4, 9, 14}  # before the first, the fifth, tenth and fifteenth


def test_the_table_of_probabilities_names_classes(watched):
    logged = history(watched / "runs" / "tiny")
    assert logged["class probabilities/_type"][0] == "table-file"
    assert logged["class probabilities/ncols"][0] == 6
