"""Trainings of several configs and seeds as cells: a table of their checkpoints and test scores."""

import json
from pathlib import Path

import pytest

from explainer.cli.evaluate import evaluate
from explainer.cli.train import train
from explainer.errors import InputError
from explainer.experiments.trainings.run import Trainings, runs_table, scores_table, summarise_runs
from tests.support import tiny_runs


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def seeds(**options):
    arguments = {"configs": ["tiny.yaml"], "seeds": [0, 1], "options": {"trainer.max_epochs": 1}} | options
    return tiny_runs.write(
        "seeds", {"data": tiny_runs.data(), "experiment": {"class_path": "Trainings", "init_args": arguments}}
    )


def test_explainers_of_two_seeds_are_trained_and_tested_and_their_classifier_once(here):
    tiny_runs.classifier_config()
    tiny_runs.explainer_config()
    content = evaluate(["--config", seeds()])
    assert Path("checkpoints/tiny_classifier.ckpt").is_file()
    assert [run["checkpoint"] for run in content["runs"]] == [f"checkpoints/seeds/tiny-{seed}.ckpt" for seed in (0, 1)]
    assert "checkpoints/seeds/tiny-1.ckpt" in (here / "results/seeds/table.md").read_text()
    first, second = (run["scores"] for run in content["runs"])
    assert first != second
    loss = content["results"]["tiny"]["loss"]
    assert loss["mean"] == pytest.approx((first["loss"] + second["loss"]) / 2)
    assert loss["n"] == 2
    # as train.py trains it by itself
    alone = train(["--config", "tiny.yaml", "--seed_everything=1", "--trainer.max_epochs=1", "--name", "alone"])
    (scores,) = alone.trainer.test(
        alone.model, datamodule=alone.datamodule, ckpt_path="checkpoints/alone.ckpt", weights_only=True, verbose=False
    )
    assert second == {key.removeprefix("test/"): value for key, value in scores.items()}
    # what is done is not trained again
    (here / "checkpoints/seeds/tiny-0.ckpt").unlink()
    assert evaluate(["--config", seeds(seeds=[0])])["runs"] == content["runs"][:1]
    assert not (here / "checkpoints/seeds/tiny-0.ckpt").exists()
    with pytest.raises(InputError, match="cells with another options"):
        evaluate(["--config", seeds(options={"trainer.max_epochs": 2})])
    tiny_runs.explainer_config(gallery={"images": 1})
    with pytest.raises(InputError, match="cells with another configs"):
        evaluate(["--config", seeds()])


def test_a_config_that_is_not_there_is_refused_first(here):
    with pytest.raises(InputError, match=r"no config lost\.yaml"):
        evaluate(["--config", seeds(configs=["lost.yaml"])])
    assert not (here / "checkpoints").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"configs": []}, "experiment.init_args.configs is empty"),
        ({"seeds": []}, "experiment.init_args.seeds is empty"),
        ({"configs": ["a.yaml", "b/a.yaml"]}, "experiment.init_args.configs"),
        ({"seeds": [1, 1]}, "experiment.init_args.seeds"),
        ({"seeds": [-1]}, "experiment.init_args.seeds"),
    ],
)
def test_wrong_settings_are_named(arguments, words):
    with pytest.raises(InputError, match=words):
        Trainings(**({"configs": ["a.yaml"], "seeds": [0]} | arguments))


def test_the_table_by_hand():
    rows = [
        {"cell": f"{config}-{seed}", "config": config, "seed": seed, "checkpoint": f"{config}{seed}.ckpt", "scores": scores}
        for config, seed, scores in [("a", 0, {"loss": 1.0}), ("a", 1, {"loss": 2.0}), ("b", 0, {"loss": 4.0, "acc": 0.5})]
    ]  # fmt: skip
    results = summarise_runs(rows)
    assert results["a"]["loss"] == pytest.approx({"mean": 1.5, "deviation": 0.5**0.5, "n": 2})
    assert results["b"]["acc"] == {"mean": 0.5, "deviation": 0.0, "n": 1}
    table = scores_table(results, "t")
    assert [heading.label for heading in table.columns] == ["loss", "acc"]
    assert [[cell.text for cell in row.cells] for row in table.rows] == [
        ["1.5000 ± 0.7071 (2)", "–"], ["4.0000 ± 0.0000 (1)", "0.5000 ± 0.0000 (1)"],
    ]  # fmt: skip
    runs = runs_table(rows, "t")
    assert [cell.text for cell in runs.rows[0].cells] == ["0", "1.0000", "–", "a0.ckpt"]
    assert json.dumps(results)
