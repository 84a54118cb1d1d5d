"""evaluate.py makes alternate explanations: whole runs, small."""

import csv
import json
from pathlib import Path

import pytest
import yaml
from PIL import Image

from explainer.cli.evaluate import evaluate
from explainer.cli.train import train
from explainer.data.shapes import CLASSES
from explainer.errors import InputError
from explainer.experiments.variations import loop as variations
from tests.support.small_checkpoints import save_explainer
from tests.support.small_generators import save_generator
from tests.support.small_infills import save_inpainter
from tests.support.tiny_runs import grouped

NUMBERS = ("accuracy", "score", "t_score", "diversity", "loss")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_explainer(tmp_path / "explainer.ckpt", CLASSES, multilabel=False)
    save_generator(tmp_path / "generator.ckpt", 8)
    save_generator(tmp_path / "classes.ckpt", 8, CLASSES)
    return tmp_path


def config(name="small_variations", evaluation=None, every=False, **options):
    latent = {"checkpoint": "generator.ckpt", "count": 4, "steps": 2}
    of_classes = latent | {"checkpoint": "classes.ckpt", "zoom": 0.5}
    colours = {"infill": {"class_path": "RandomColour"}, "count": 3}
    sources = {"Latent": {"class_path": "LatentSearch", "init_args": latent}}
    sources |= {
        "Latent": {"class_path": "LatentSearch", "init_args": of_classes},
        "Colours": {"class_path": "CompletedVariations", "init_args": colours},
    } if every else {}  # fmt: skip
    data = {"image_size": 32, "batch_size": 4, "num_workers": 0, "test_images": 6}
    content = {
        "model": {"class_path": "Classifier", "init_args": {"explanandum": {"network": "explainer.ckpt"}}},
        "data": {"class_path": "Shapes", "init_args": data},
        "evaluation": grouped({"as_it_is": True, "limit": 2 if every else 1, "device": "cpu"} | (evaluation or {})),
        "experiment": {"class_path": "Variations", "init_args": {
            "sources": sources, "alphas": [1.0, 0.5] if every else [0.5], "shown": 3,
            "method": {"class_path": "CentredGaussian"}} | options},
    }  # fmt: skip
    Path(f"{name}.yaml").write_text(yaml.safe_dump(content))
    return f"{name}.yaml"


def rows(folder):
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


def test_a_run_has_numbers_and_pictures_and_is_not_made_twice(here, capsys, monkeypatch):
    name = config(every=True)
    content = evaluate(["--config", name])
    out = here / "results" / "small_variations"
    assert {"results.json", "table.md", "per_image.csv", "sizes.png", "rows.jsonl"} <= {p.name for p in out.iterdir()}
    assert json.loads((out / "results.json").read_text()) == content
    assert set(content["results"]) == {"Latent", "Colours"}
    for source, sizes in content["results"].items():
        assert set(sizes) == {"1", "0.5"}
        for entry in sizes.values():
            assert entry["images"]["done"] == 2
            assert 0 <= entry["accuracy"] <= 1
            assert (entry["loss"] is None) == (source == "Colours")
    pictures = sorted(out.glob("*/*.png"))
    assert len(pictures) == 2 * (2 * 2 * 2 + 1)
    assert all(min(Image.open(p).size) > 100 for p in pictures)
    assert "| Latent | 0.5 | 2 |" in (out / "table.md").read_text()
    found = list(csv.DictReader((out / "per_image.csv").open()))
    assert len(found) == 2 * 2 * 2
    assert {r["status"] for r in found} == {"done"}
    whole = rows(out)
    for row in whole:
        x0, y0, x1, y1 = row["box"]
        assert row["area"] == pytest.approx((x1 - x0) * (y1 - y0) / 32**2)
    lines = (out / "rows.jsonl").read_bytes()
    (out / "rows.jsonl").write_bytes(lines[: lines.rstrip().rfind(b"\n") + 9])  # killed while the last line was written
    again = evaluate(["--config", name])
    for a, b in zip(whole, rows(out), strict=True):
        assert {k: v for k, v in a.items() if k != "seconds"} == {k: v for k, v in b.items() if k != "seconds"}
    assert again["results"].keys() == content["results"].keys()
    monkeypatch.setattr(variations, "vary_one", None)  # nothing is left to do
    evaluate(["--config", name])
    assert "Latent" in capsys.readouterr().out


def test_the_explainer_of_a_checkpoint_says_where_the_box_is(here):
    content = evaluate(
        ["--config", config(method=None, evaluation={"as_it_is": False}), "--ckpt_path", "explainer.ckpt"]
    )
    assert content["facts"]["saliency"]["class"] == "Explainer"
    assert evaluate(["--config", config("plain", method=None)])["facts"]["saliency"]["class"] == "GradCAM"


def test_another_setting_needs_another_folder_and_more_sizes_do_not(here):
    evaluate(["--config", config(alphas=[0.5])])
    assert set(evaluate(["--config", config(alphas=[0.7, 0.5])])["results"]["Latent"]) == {"0.7", "0.5"}
    with pytest.raises(InputError, match="another threshold"):
        evaluate(["--config", config(threshold=0.6)])
    save_generator(here / "generator.ckpt", 8, width=4)
    with pytest.raises(InputError, match="another method 'Latent'"):
        evaluate(["--config", config()])


def test_a_constant_map_has_no_box_and_the_run_says_so(here, capsys):
    content = evaluate(["--config", config(method={"class_path": "Constant"})])
    assert content["results"]["Latent"]["0.5"]["images"] == {"done": 0, "no box": 1, "full box": 0, "no class": 0}
    assert content["results"]["Latent"]["0.5"]["accuracy"] is None
    assert capsys.readouterr().out.count("the saliency map is constant, there is no box") == 1


def test_a_box_of_the_whole_image_is_varied_where_it_is_smaller(here):
    content = evaluate(["--config", config(method={"class_path": "Random"}, threshold=0.01, alphas=[1.0, 0.5])])
    sizes = content["results"]["Latent"]
    assert sizes["1"]["images"]["full box"] == 1
    assert sizes["0.5"]["images"]["done"] == 1


def test_no_accepted_variation_is_said_and_the_best_is_shown(here, capsys, monkeypatch):
    refuse = lambda before, after, *_: after[:, 0] > 2  # noqa: E731
    monkeypatch.setattr(variations, "accepted", refuse)
    content = evaluate(["--config", config()])
    assert content["results"]["Latent"]["0.5"]["without"] == 1
    assert content["results"]["Latent"]["0.5"]["score"] is None
    assert capsys.readouterr().out.count("no accepted variation of") == 1
    assert len(list((here / "results" / "small_variations").glob("*/Latent_0.5.png"))) == 1


def test_an_image_in_which_no_class_is_found(here, capsys, monkeypatch):
    monkeypatch.setattr(variations, "explained_class", lambda *_: None)
    content = evaluate(["--config", config()])
    assert content["results"]["Latent"]["0.5"]["images"]["no class"] == 1
    assert "the classifier finds no class present" in capsys.readouterr().out


def test_what_cannot_be_used_is_said_before_any_work(here, monkeypatch):
    monkeypatch.setattr(variations, "explain", None)
    Path("generator.ckpt").unlink()
    with pytest.raises(InputError, match=r"no file generator\.ckpt"):
        evaluate(["--config", config()])
    save_explainer(here / "generator.ckpt")
    with pytest.raises(InputError, match="kind 'explainer', but 'generator'"):
        evaluate(["--config", config()])
    save_generator(here / "generator.ckpt", 8, ("cat", "dog"))
    with pytest.raises(InputError, match="generates 2 classes"):
        evaluate(["--config", config()])
    for wrong in ({"alphas": [0.0]}, {"threshold": 2.0}, {"shown": 0}):
        with pytest.raises(InputError, match="must"):
            evaluate(["--config", config(**wrong)])


def test_an_in_fill_of_another_image_size_is_refused_before_any_work(here, monkeypatch):
    monkeypatch.setattr(
        "explainer.experiments.variations.run.vary_images", lambda *arguments: pytest.fail("the work has begun")
    )
    save_inpainter(here / "ca.ckpt", image_size=64, classes=CLASSES)
    infill = {"class_path": "CAInfill", "init_args": {"checkpoint": "ca.ckpt"}}
    sources = {"CA": {"class_path": "CompletedVariations", "init_args": {"infill": infill}}}
    with pytest.raises(InputError, match=r"in-fill 'CA': .*trained on images of 64×64, these are 32×32"):
        evaluate(["--config", config(sources=sources)])
    assert not list((here / "results").rglob("rows.jsonl"))


def test_there_is_nothing_to_train(here):
    with pytest.raises(InputError, match=r"evaluate\.py takes this config"):
        train(["--config", config()])


def test_curves_that_a_kill_left_out_are_drawn_and_never_half(here, monkeypatch):
    name = config()
    evaluate(["--config", name])
    (curves,) = (here / "results" / "small_variations").glob("*/sizes.png")
    wanted = curves.read_bytes()
    curves.unlink()  # killed between the last row and the picture
    evaluate(["--config", name])
    assert curves.read_bytes() == wanted
    assert not list(curves.parent.glob(".*"))
