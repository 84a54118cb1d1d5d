"""What a search leaves behind."""

import csv

import yaml

from explainer.training.searching.results import draw, nested, sweep_of, write_best, write_table
from explainer.training.searching.settings import Range, Search
from explainer.training.searching.study import Tried

SPACE = {"model.a.tv": Range(0.1, 10.0), "model.lr": Range(0.0, 1.0, log=False)}
TRIALS = [
    Tried(0, {"model.a.tv": 1.0, "model.lr": 0.5}, 0.25, {"val/score": 0.25, "val/iou": 0.5}, False, ""),
    Tried(1, {"model.a.tv": 2.0, "model.lr": 0.25}, 0.75, {"val/score": 0.75, "val/iou": 0.625}, True, ""),
    Tried(3, {"model.a.tv": 4.0, "model.lr": 0.125}, None, {}, False, "NonFiniteLossError: tv"),
]


def test_the_table_has_a_row_a_trial(tmp_path):
    write_table(tmp_path / "trials.csv", TRIALS, "val/score")
    with (tmp_path / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["training"] for row in rows] == ["0", "1", "3"]
    assert [row["val/score"] for row in rows] == ["0.25", "0.75", ""]
    assert rows[1]["model.a.tv"] == "2.0"
    assert rows[1]["ended early"] == "True"
    assert rows[2]["error"] == "NonFiniteLossError: tv"


def test_the_best_settings_are_a_config(tmp_path):
    write_best(tmp_path / "best.yaml", "voc", TRIALS[1], "val/score")
    text = (tmp_path / "best.yaml").read_text()
    assert text.startswith("# The best of a search: val/score 0.7500.")
    assert yaml.safe_load(text) == {"name": "voc", "model": {"a": {"tv": 2.0}, "lr": 0.25}}
    assert nested({}) == {}


def test_the_sweep_is_the_same_search():
    sweep = sweep_of("voc.yaml", Search(trials=7, epochs=2, higher_is_better=False), SPACE, "val/loss")
    assert sweep["metric"] == {"name": "val/loss", "goal": "minimize"}
    assert sweep["run_cap"] == 7
    assert sweep["parameters"]["model.lr"] == {"distribution": "uniform", "min": 0.0, "max": 1.0}
    assert sweep["command"][3:] == ["--config", "voc.yaml", "--trainer.max_epochs=2", "${args}"]
    assert sweep["early_terminate"] == {"type": "hyperband", "min_iter": 1}
    assert "early_terminate" not in sweep_of("voc.yaml", Search(prune_after=None), SPACE, "val/loss")


def test_the_picture_has_a_panel_a_setting_and_one_of_the_overlap(tmp_path):
    figure = draw(TRIALS, SPACE, "val/score", "val/iou")
    headings = [panel.get_xlabel() for panel in figure.axes if panel.axison]
    assert headings == ["tv", "lr", "val/score"]
    points = figure.axes[2].collections[0].get_offsets()
    assert points.tolist() == [[0.25, 0.5], [0.75, 0.625]]  # the failed one has none
    figure.savefig(tmp_path / "trials.png")
