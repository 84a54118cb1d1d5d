"""The constants' rows of the Explainer paper's Table 2, against a computation by hand from the PNG files."""

import numpy as np
import pytest
import yaml
from PIL import Image

from explainer.cli.evaluate import evaluate
from tests.support import trees
from tests.support.shipped import NAMES, content_of

SIDE = 32
SMALL = ["--explanandum.network=explainer.networks.small.small_cnn", "--explanandum.network_args={width: 4}",
         "--explanandum.num_classes=20",
         f"--data.init_args.image_size={SIDE}", "--data.init_args.num_workers=0", "--evaluation.report.gallery=0",
         "--evaluation.report.page=false"]  # fmt: skip


def shares(folder, names):
    """Of each mask's pixels, how many are drawn at all: objects of any class, and the void border."""
    drawn = [np.asarray(Image.open(folder / f"{name}.png").resize((SIDE, SIDE), Image.NEAREST)) for name in names]
    return np.array([(mask != 0).mean() for mask in drawn])


@pytest.mark.parametrize("config", ["voc_vgg16_table2.yaml", "voc_resnet50_table2.yaml"])
def test_the_constants_rows_are_what_the_masks_themselves_say(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = trees.voc_tree(tmp_path / "data") / "VOCdevkit" / "VOC2007"
    names = (folder / "ImageSets" / "Segmentation" / "test.txt").read_text().split()
    first = np.asarray(Image.open(folder / "SegmentationClass" / f"{names[0]}.png")).copy()
    first[20:, 20:] = 9  # a chair, which no label of the image names
    Image.fromarray(first).save(folder / "SegmentationClass" / f"{names[0]}.png")
    whole = content_of(config)["evaluation"]["methods"]
    constants = {name: method for name, method in whole.items() if name.startswith("Constant")}
    arguments = [f"--evaluation.methods={yaml.safe_dump(constants)}", f"--data.init_args.root={tmp_path / 'data'}"]
    results = evaluate(["--config", config, *SMALL, *arguments])["results"]
    part = shares(folder / "SegmentationClass", names)
    assert results["Constant 0"]["images"] == len(part)
    want = {
        "Constant 0": (1 - part, 0 * part, part),
        "Constant 0.5": (0 * part + 0.5, 0.5 * part / (part + 0.5 * (1 - part)), 0 * part + 0.5),
        "Constant 1": (part, part, 1 - part),
    }
    for name, columns in want.items():
        got = [results[name]["scores"][key] for key in ("acc", "iou", "mae")]
        assert got == pytest.approx([float(column.mean()) for column in columns], abs=1e-6)


def test_difficult_objects_are_labels_wherever_a_table_of_voc_is_made():
    tables = [name for name in NAMES if name.startswith("voc_") and "_table" in name]
    assert len(tables) == 5
    for name in [*tables, "voc.yaml", "voc_lite0_gradients.yaml"]:
        assert content_of(name)["data"]["init_args"]["difficult"] is True, name


def test_a_table_of_the_paper_says_with_which_settings_its_methods_were_run():
    for name in ("voc_vgg16", "voc_resnet50", "coco_vgg16", "coco_resnet50"):
        settings = content_of(f"{name}_table2.yaml")["evaluation"]
        methods = settings["methods"]
        assert (settings["truth"]["void"], settings["truth"]["objects"]) == ("object", "all")
        assert methods["RISE"]["init_args"] == {"masks": 8000}
        extremal = {"areas": [0.05, 0.1, 0.2, 0.3], "score": "contrast", "choose": "smallest"}
        assert methods["EP"]["init_args"] == extremal
        blur = {"class_path": "Blur", "init_args": {"sigma": 50.0}}
        assert methods["iGOS++"]["init_args"] == {"iterations": 20, "integrated": 15, "l1": 1.0, "infill": blur}
        layer = {"layer": "features.30"} if "vgg16" in name else None
        assert methods["Grad-CAM"].get("init_args") == layer


def test_early_stopping_and_the_best_checkpoint_follow_one_criterion():
    stopped = 0
    for name in NAMES:
        content = content_of(name)
        for callback in content.get("trainer", {}).get("callbacks") or []:
            if callback["class_path"] == "EarlyStopping":
                by_score = content["model"]["class_path"] == "Classifier"
                by_score &= content["model"]["init_args"].get("best_by", "score") == "score"
                assert callback["init_args"]["monitor"] == ("val/score" if by_score else "val/loss"), name
                stopped += 1
    assert stopped >= 12
