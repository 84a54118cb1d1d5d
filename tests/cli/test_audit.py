import json

import numpy as np
import pytest

from explainer.__main__ import main
from explainer.data.shapes import CLASSES as SHAPES
from tests.support.small_checkpoints import CLASSES, save_classifier, save_explainer
from tests.support.trees import photo


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_explainer(tmp_path_factory.mktemp("explainer") / "x.ckpt", multilabel=False)


@pytest.fixture
def photos(tmp_path):
    for number in range(18):
        photo(tmp_path / "photos" / CLASSES[number % 3] / f"{number}.png", number)
    return tmp_path / "photos"


def audit(*arguments):
    return main(["audit", *map(str, arguments), "--device", "cpu", "--workers", "0"])


def test_a_folder_is_audited(checkpoint, photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert audit(photos, "--ckpt_path", checkpoint, "--out", out, "--masked") == 0
    printed = capsys.readouterr()
    assert f"written to {out}: audit.html" in printed.out
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    assert len({row["id"] for row in rows}) == 18
    assert all(row["labels"] == [row["id"].split("/")[0]] for row in rows)
    assert {"kept", "removed"} <= set(rows[0])
    with np.load(out / "masks.npz", allow_pickle=False) as arrays:
        assert len(arrays["masks"]) == len(rows)
    # again: what is there is read
    before = (out / "masks.npz").stat().st_mtime_ns
    assert audit(photos, "--ckpt_path", checkpoint, "--out", out, "--masked") == 0
    assert (out / "masks.npz").stat().st_mtime_ns == before
    # other settings would be other masks
    assert audit(photos, "--ckpt_path", checkpoint, "--out", out) == 2
    assert "choose another folder (--out)" in capsys.readouterr().err


def test_a_broken_photograph_is_named_and_the_status_says_so(checkpoint, photos, tmp_path, capsys):
    (photos / "cat/broken.jpg").write_bytes(b"no picture")
    assert audit(photos, "--ckpt_path", checkpoint, "--out", tmp_path / "out") == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert "broken.jpg" in line
    assert "broken.jpg" in (tmp_path / "out/audit.html").read_text()


def test_two_classifiers_are_compared(checkpoint, photos, tmp_path):
    out = tmp_path / "out"
    assert audit(photos, "--ckpt_path", checkpoint, "--versus", checkpoint, "--out", out) == 0
    assert json.loads((out / "versus.json").read_text())["distance"] == 0
    assert (out / "versus/rows.jsonl").is_file()


def test_a_method_explains_any_classifier(photos, tmp_path, capsys):
    classifier = save_classifier(tmp_path / "c.ckpt", multilabel=False)
    out = tmp_path / "out"
    assert audit(photos, "--method", "GradCAM", "--network", classifier, "--limit", "10", "--out", out) == 0
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    assert len({row["id"] for row in rows}) == 10
    assert "GradCAM" in (out / "audit.html").read_text()


def test_a_method_explains_the_explainer_s_classifier(checkpoint, photos, tmp_path):
    assert audit(photos, "--method", "GradCAM", "--ckpt_path", checkpoint, "--out", tmp_path / "out") == 0


def test_a_config_s_data_set_is_audited(tmp_path):
    checkpoint = save_explainer(tmp_path / "shapes.ckpt", SHAPES, multilabel=False)
    config = tmp_path / "data.yaml"
    config.write_text(
        "data: {class_path: PlantedShapes, init_args: {image_size: 32, val_images: 6, num_workers: 0, "
        "shortcut: {kind: mark}}}\n"
    )
    assert audit(config, "--ckpt_path", checkpoint, "--out", tmp_path / "out", "--split", "val") == 0
    rows = [json.loads(line) for line in (tmp_path / "out/rows.jsonl").read_text().splitlines()]
    assert all(row["object"] is not None for row in rows if row["area"] > 0)


@pytest.mark.parametrize(("arguments", "words"), [
    (["photos", "--versus", "x.ckpt", "--method", "RISE"], "--versus compares two Explainers"),
    (["photos", "--network", "resnet18"], "--network is for a method"),
    (["photos", "--limit", "0"], "must be at least 1"),
    (["photos", "--seed", "-1"], "must be at least 0"),
    (["photos", "--split", "all"], "invalid choice"),
    ([], "required: data"),
])  # fmt: skip
def test_bad_options_are_one_line(arguments, words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["audit", *arguments])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_what_cannot_be_audited_is_one_line(checkpoint, photos, tmp_path, capsys):
    assert audit(tmp_path / "missing", "--ckpt_path", checkpoint, "--out", tmp_path / "a") == 2
    assert audit(photos, "--ckpt_path", tmp_path / "missing.ckpt", "--out", tmp_path / "b") == 2
    assert audit(photos, "--method", "Nonsense", "--ckpt_path", checkpoint, "--out", tmp_path / "c") == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(lines) == 3
    assert all(line.startswith("error: ") for line in lines)
