"""What can be read from the masks alone: chance, the rule, the marks, and the cells of a grid."""

import json
import math

import pytest
import torch

from explainer.cli.evaluate import evaluate
from explainer.data import Shapes
from explainer.evaluation.report.printers import markdown_file
from explainer.experiments.retraining.degraded import Degraded, DegradedDataset, staying
from explainer.experiments.retraining.leak import Chance, chance_level, leaks, mask_scores, warnings_of
from explainer.experiments.retraining.rank_store import Ranks, levels
from explainer.experiments.retraining.roar import mask_cells
from explainer.experiments.retraining.settings import RetrainingSettings
from explainer.experiments.retraining.tables import retraining_tables, summarise_cells
from tests.support import trees
from tests.support.small_grids import config


class Labelled:
    """A data set of labels alone."""

    def __init__(self, rows):
        self.rows = torch.tensor(rows, dtype=torch.float32)
        self.classes = tuple(range(self.rows.shape[1]))

    def __len__(self):
        return len(self.rows)

    def labels(self, index):
        return self.rows[index]


def test_chance_is_the_most_frequent_class_or_the_mean_share():
    one_label = Labelled([[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0]])
    assert chance_level(one_label, multilabel=False) == {"score": 0.75, "n": 4}
    several = Labelled([[1, 1, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0]])
    assert chance_level(several, multilabel=True) == {"score": (0.25 + 0.75) / 2, "n": 4}  # of classes that occur


def test_a_leak_is_five_points_and_three_standard_errors_above_chance():
    many, few = Chance(score=0.1, n=10**6), Chance(score=0.1, n=100)
    assert [leaks(score, many) for score in (0.05, 0.1, 0.149, 0.151, 0.9)] == [False, False, False, True, True]
    edge = 0.1 + 3 * math.sqrt(0.25 * 0.75 / 100)
    assert edge > 0.2
    assert not leaks(0.22, few)
    assert leaks(0.26, few)
    assert not leaks(1.0, Chance(score=1.0, n=50))


def rows(scores):
    return [
        {"method": "A", "mode": mode, "fraction": fraction, "seed": 0, "score": score}
        for (mode, fraction), score in scores.items()
    ]


def test_tables_mark_what_the_masks_alone_may_explain():
    given = rows({("keep", 0.1): 0.8, ("keep", 0.5): 0.7, ("remove", 0.1): 0.6, ("remove", 0.5): 0.5,
                  ("masks", 0.1): 0.9, ("masks", 0.5): 0.11})  # fmt: skip
    results = summarise_cells(given, {"A": 0.001, "B": 0.001})
    assert results["A"]["KAR"] == pytest.approx(1.5)  # the masks are no third mode
    chance = Chance(score=0.1, n=1000)
    for name in results:
        results[name]["masks"] = mask_scores(given, name, chance)
    assert results["A"]["masks"] == {"0.1": {"score": 0.9, "leaks": True}, "0.5": {"score": 0.11, "leaks": False}}
    text = markdown_file(retraining_tables(results, ["keep", "remove"], [0.1, 0.5], "title"))
    assert "| A | 1.500 † | -1.100 † | 0.400 † | 1.00 |" in text
    assert "| A | 80.0 ± 0.0 † | 70.0 ± 0.0 | 60.0 ± 0.0 † | 50.0 ± 0.0 | 90.0 † | 11.0 |" in text
    assert "read from masks 10 %" in text
    assert "clearly above chance" in text
    (sentence,) = warnings_of({name: entry["masks"] for name, entry in results.items()}, chance)
    assert sentence.startswith("A: ")
    assert "10 %: 90.0; chance 10.0" in sentence


def test_the_picture_is_where_pixels_stay_and_no_image_is_read(tmp_path):
    data = Shapes(image_size=16, train_images=4, val_images=2, test_images=2, num_workers=0)
    maps = torch.rand(4, 1, 16, 16)
    ranks = Ranks(tmp_path, "train")
    ranks.create(data.split("train").ids, 16, {"name": "A"})
    ranks.write(0, levels(maps), 0.1)
    ranks.finish([0.1, 0.2, 0.3])
    split = Degraded(data, str(tmp_path), "keep", 0.3, masks_alone=True).split("train")
    assert isinstance(split, DegradedDataset)

    def unread(index):
        raise AssertionError("an image was read")

    split.base.image = unread
    for index in range(4):
        sample = split[index]
        want = staying(levels(maps)[index], "keep", 0.3).float()
        assert torch.equal(sample.image, want.expand(3, 16, 16))
        assert sample.image.mean().item() == pytest.approx(0.3, abs=0.01)
        assert torch.equal(sample.labels, data.split("train").labels(index))


def test_one_cell_for_each_method_and_fraction_with_the_first_seed():
    settings = RetrainingSettings(methods={"A": None, "B": None}, fractions=[0.1, 0.5], seeds=[3, 4])
    names = [cell.name for cell in mask_cells(settings)]
    assert names == ["A-masks-0.1-3", "B-masks-0.1-3", "A-masks-0.5-3", "B-masks-0.5-3"]


def test_a_stored_grid_goes_on_with_the_masks_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    trees.fashion_tree(tmp_path / "fashion")
    config(tmp_path, "small_classifier")
    settings = {"methods": {"Random": {"class_path": "Random"}}, "fractions": [0.5], "seeds": [0], "modes": ["keep"]}

    def run(**options):
        experiment = {"class_path": "Retraining", "init_args": settings | options}
        name = config(tmp_path, "roar", explanandum_config="small_classifier.yaml", experiment=experiment)
        return evaluate(["--config", name])

    without = run(masks_alone=False)
    path = tmp_path / "results" / "roar" / "cells.jsonl"
    before = path.read_text()
    assert "masks" not in without["results"]["Random"]
    assert "read from masks" not in capsys.readouterr().out
    content = run()
    lines = path.read_text()
    assert lines.startswith(before)  # what was stored is read, and not trained again
    (added,) = lines.removeprefix(before).splitlines()
    assert json.loads(added)["cell"] == "Random-masks-0.5-0"
    score = content["results"]["Random"]["masks"]["0.5"]["score"]
    assert score == json.loads(added)["score"]
    assert 0 < content["chance"]["score"] <= 1
    assert content["results"]["Random"]["scores"] == without["results"]["Random"]["scores"]
    assert "read from masks 50 %" in (tmp_path / "results" / "roar" / "table.md").read_text()
