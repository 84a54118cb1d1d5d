"""A whole ROAR and KAR grid, small."""

import json
import math

import pytest
import yaml
from PIL import Image

from explainer.cli.evaluate import evaluate
from explainer.cli.parser import ExplainerCLI
from explainer.cli.prerequisites import prerequisites, train_missing
from explainer.cli.train import train
from explainer.data import Shapes
from explainer.errors import InputError
from explainer.evaluation.report.printers import markdown_file
from explainer.experiments.retraining.tables import plot, retraining_tables, summarise_cells
from tests.support import trees
from tests.support.small_grids import config


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trees.fashion_tree(tmp_path / "fashion")
    config(tmp_path, "small_classifier")
    return tmp_path


def grid(folder, **options):
    methods = {"SMOE": {"class_path": "SMOE"}, "Random": {"class_path": "Random"}}
    settings = {"methods": methods, "fractions": [0.1, 0.5], "seeds": [0], "modes": ["keep", "remove"]}
    return config(
        folder,
        "small_roar",
        explanandum_config="small_classifier.yaml",
        experiment={"class_path": "Retraining", "init_args": settings | options},
    )


def test_an_explainer_among_the_methods_is_trained_first(here):
    """The published grid of Fashion-MNIST: its Explainer has a config, so a missing checkpoint is no error."""
    asked = []
    arguments = ["--config", "fashion_mnist_small_roar.yaml", "--data.init_args.root", str(here / "fashion")]
    cli = ExplainerCLI(arguments, evaluating=True)
    configs = [step.config for step in prerequisites(cli)]
    assert configs == ["fashion_mnist_small_classifier.yaml", "fashion_mnist_small.yaml"]
    with pytest.raises(InputError, match=r"no checkpoints/fashion_mnist_small_classifier\.ckpt"):  # nothing was trained
        train_missing(cli, asked.append)
    (training,) = asked
    assert training[1].endswith("configs/train/fashion_mnist_small_classifier.yaml")
    assert training[2:] == ["--name", "fashion_mnist_small_classifier", *arguments[2:]]


def test_an_explainer_without_a_config_must_be_there(here):
    lost = {"class_path": "Explainer", "init_args": {"checkpoint": "checkpoints/lost.ckpt"}}
    name = grid(here, methods={"Lost": lost})
    with pytest.raises(InputError, match=r"checkpoints/lost\.ckpt"):
        evaluate(["--config", name])


def test_a_training_does_not_need_the_methods_of_the_grid(here):
    lost = {"class_path": "Explainer", "init_args": {"checkpoint": "checkpoints/lost.ckpt"}}
    cli = train(["--config", grid(here, methods={"Lost": lost}), "--trainer.fast_dev_run=true"])
    assert cli.config.experiment.init_args.methods["Lost"].init_args.checkpoint == "checkpoints/lost.ckpt"


def test_a_grid_is_run_shown_and_not_run_twice(here, capsys):
    name = grid(here)
    content = evaluate(["--config", name])
    out = here / "results" / "small_roar"
    assert {p.name for p in out.iterdir()} >= {"results.json", "cells.jsonl", "table.md", "retraining.png", "ranks"}
    for method in ("SMOE", "Random"):
        width, height = Image.open(out / "degraded" / f"{method}.png").size
        assert width > 5 * 100  # an image and two fractions, kept and removed
        assert height > 6 * 100
    assert set(content["results"]) == {"SMOE", "Random"}
    for entry in content["results"].values():
        kar = sum(s["mean"] for s in entry["scores"]["keep"].values())
        roar = sum(s["mean"] for s in entry["scores"]["remove"].values())
        assert (entry["KAR"], entry["ROAR"], entry["SUM"]) == pytest.approx((kar, -roar, kar - roar))
    assert "KAR 10 %" in capsys.readouterr().out
    assert not list((here / "checkpoints" / "small_roar").glob("*.ckpt"))  # of cells, none is kept
    rows = (out / "cells.jsonl").read_text()
    assert len(rows.splitlines()) == 1 + 8 + 4  # the fingerprint, the cells, and those of the masks alone
    torn = rows[: rows.rstrip().rfind("\n") + 20]  # killed while the last line was written
    (out / "cells.jsonl").write_text(torn)
    again = evaluate(["--config", name])
    assert again["results"] == content["results"]
    assert sorted((out / "cells.jsonl").read_text().splitlines()) == sorted(rows.splitlines())


def test_cells_of_another_grid_are_refused(here):
    evaluate(["--config", grid(here, fractions=[0.5], modes=["keep"])])
    with pytest.raises(InputError, match="cells with another trainer"):
        evaluate(["--config", grid(here, fractions=[0.5], modes=["keep"]), "--trainer.max_epochs=2"])
    (here / "fashion_two").symlink_to(here / "fashion")
    with pytest.raises(InputError, match="ranks of another fingerprint"):
        evaluate(["--config", grid(here), "--data.init_args.root", "fashion_two"])


def test_the_infill_of_a_grid_reaches_its_cells_and_its_fingerprint(here):
    local = {"class_path": "Local", "init_args": {"window": 5}}
    evaluate(["--config", grid(here, fractions=[0.5], modes=["keep"], infill=local)])
    for path in (here / "results/small_roar/configs").glob("*-keep-*.yaml"):
        assert yaml.safe_load(path.read_text())["data"]["init_args"]["infill"]["class_path"].endswith("Local")
    with pytest.raises(InputError, match="cells with another infill"):
        evaluate(["--config", grid(here, fractions=[0.5], modes=["keep"])])


def test_a_fraction_that_is_none(here):
    with pytest.raises((InputError, SystemExit)):
        evaluate(["--config", grid(here, fractions=[1.5])])


def test_a_grid_needs_a_classifier_whose_maps_are_judged(here):
    methods = {"Random": {"class_path": "Random"}}
    with pytest.raises(InputError, match="explanandum_config"):
        evaluate(
            [
                "--config",
                config(here, "alone", experiment={"class_path": "Retraining", "init_args": {"methods": methods}}),
            ]
        )


def test_failed_cells_are_in_the_table_and_the_status_is_not_0(here, monkeypatch, capsys):
    def some_fail(cells, work, arguments, folders, launcher, **options):
        with folders.results.open("a") as file:
            for cell in cells[1:]:
                file.write(json.dumps({"cell": cell.name} | cell.facts | {"score": 0.5}) + "\n")
        return {cells[0].name: "RuntimeError: no memory"}

    monkeypatch.setattr("explainer.experiments.retraining.roar.run_cells", some_fail)
    with pytest.raises(SystemExit) as stopped:
        evaluate(["--config", grid(here)])
    assert stopped.value.code == 1
    said = capsys.readouterr().out
    assert "keep-0.1-0: RuntimeError: no memory" in said
    assert "failed" in (here / "results" / "small_roar" / "table.md").read_text()


def test_sums_by_hand():
    rows = [
        {"method": "A", "mode": mode, "fraction": fraction, "seed": seed, "score": score}
        for mode, fraction, seed, score in [
            ("keep", 0.1, 0, 0.5), ("keep", 0.1, 1, 0.7), ("keep", 0.9, 0, 0.9), ("keep", 0.9, 1, 0.9),
            ("remove", 0.1, 0, 0.8), ("remove", 0.1, 1, 0.8), ("remove", 0.9, 0, 0.1), ("remove", 0.9, 1, 0.3),
        ]
    ]  # fmt: skip
    got = summarise_cells(rows, {"A": 0.002, "B": 0.1})
    assert (got["A"]["KAR"], got["A"]["ROAR"], got["A"]["SUM"]) == pytest.approx((1.5, -1.0, 0.5))
    assert got["A"]["scores"]["keep"]["0.1"] == pytest.approx({"mean": 0.6, "deviation": math.sqrt(0.02), "n": 2})
    assert got["B"]["SUM"] is None
    tables = retraining_tables(got, ["keep", "remove"], [0.1, 0.9], "title")
    assert [len(t.rows) for t in tables] == [2, 2]
    text = markdown_file(tables)
    assert "| A | 1.500 | -1.000 | 0.500 | 2.00 |" in text
    assert "60.0 ± 14.1" in text
    assert len(plot(got, ["keep", "remove"], [0.1, 0.9]).axes) == 2


def test_a_grid_works_on_several_labels_too(here):
    shapes = {"class_path": "Shapes", "init_args": {"image_size": 32, "batch_size": 8, "num_workers": 0,
              "train_images": 16, "val_images": 8, "test_images": 8}}  # fmt: skip
    assert Shapes.multilabel
    config(here, "small_classifier", data=shapes)
    content = evaluate(["--config", config(
        here, "shapes_roar", explanandum_config="small_classifier.yaml", data=shapes,
        experiment={"class_path": "Retraining", "init_args": {
            "methods": {"Gradient": {"class_path": "Gradient"}}, "fractions": [0.3], "seeds": [0],
            "published": {"source": "P", "rows": {"Gradient": {"KAR": 3.5, "ROAR 30 %": 60.28}}}}},
    )])  # fmt: skip
    assert 0 <= content["results"]["Gradient"]["KAR"] <= 1
    assert content["published"]["rows"]["Gradient"] == {"KAR": 3.5, "ROAR 30 %": 60.28}
    text = (here / "results" / "shapes_roar" / "table.md").read_text()
    assert "| Gradient (paper) | 3.5 | – | – | – |" in text
    assert "| Gradient (paper) | – | 60.28 |" in text
