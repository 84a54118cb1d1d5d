"""A paper's numbers beside ours: in results.json, the tables and the report, and in no fingerprint."""

import json
import math
from typing import get_args

import pytest
import yaml

from explainer.cli.parser import ExplainerCLI
from explainer.errors import InputError
from explainer.evaluation.facts import method_facts
from explainer.evaluation.report import About
from explainer.evaluation.report.files import write_results
from explainer.evaluation.report.page import page
from explainer.evaluation.report.printers import markdown_file, to_markdown, to_terminal
from explainer.evaluation.report.summary_table import summary_table
from explainer.evaluation.report.tables import report_tables
from explainer.evaluation.results.published import Published, check_columns, published_rows
from explainer.experiments.retraining.layer_masked import MaskStatistic
from explainer.experiments.retraining.layer_tables import (
    ScaleScores,
    difference_score,
    information_score,
    layer_tables,
    plot_layers,
    published_by_scale,
)
from explainer.experiments.retraining.layers import LayerRetraining
from explainer.experiments.retraining.roar import Retraining
from explainer.experiments.retraining.tables import retraining_tables
from explainer.metrics import BoxIoU
from tests.support.shipped import content_of
from tests.support.small_evaluation import METHODS, pictures, run
from tests.support.tiny_runs import evaluation

PAPER = Published("A. Author, 2020, Table 1", {"Box": {"acc": 61.25, "sal": -0.85}, "Theirs": {"iou": 30}}, "VOC")


@pytest.fixture
def content(tmp_path):
    return write_results(run(tmp_path, pictures()).rows, {}, tmp_path, published=PAPER)


def test_results_hold_the_numbers_and_whose_they_are(content, tmp_path):
    assert json.loads((tmp_path / "results.json").read_text())["published"] == {
        "source": "A. Author, 2020, Table 1", "where": "VOC",
        "rows": {"Box": {"acc": 61.25, "sal": -0.85}, "Theirs": {"iou": 30}},
    }  # fmt: skip
    assert content["matrix"] is None


def test_tables_show_them_in_marked_rows_that_are_never_the_best(content):
    text = to_markdown(summary_table(content))
    header, lines = text.splitlines()[0], text.splitlines()
    count = header.count("|")
    (box,) = (line for line in lines if line.startswith("| Box (paper) |"))
    assert box.count("|") == count
    cells = dict(zip(header.split(" | "), box.split(" | "), strict=True))
    assert cells["Acc ↑"] == "61.25"
    assert cells["Sal ↓"] == "−0.85"
    assert cells["IoU ↑"] == "–"
    assert "| Theirs (paper) | – | 30 |" in text
    assert "(paper): printed by A. Author, 2020, Table 1 (VOC), not measured here" in text
    ours = [line for line in lines if "(paper)" not in line]
    plain = to_markdown(summary_table(content | {"published": None})).splitlines()
    assert [line for line in ours if line.startswith("| ")] == [line for line in plain if line.startswith("| ")]
    table = to_terminal(summary_table(content, "t"))
    assert table.row_count == len(content["results"]) - 1 + 2
    assert "not measured here" in str(table.caption)


def test_the_report_shows_them_beside_ours_and_below(content):
    text = page(content, [], About("run"))
    assert "paper 61.25" in text
    assert "Published by A. Author, 2020, Table 1, VOC; not measured here" in text
    (quality, *_) = report_tables(content)
    assert [row.name for row in quality.published] == ["Theirs"]


def test_a_matrix_is_marked_and_in_parts_of_one(tmp_path):
    paper = Published("A. Author, 2020", where="VOC", classes=["cat"], matrix={"Explainer": [[72.78, 60.5]]})
    content = write_results(run(tmp_path, pictures()).rows, {}, tmp_path, published=paper)
    assert content["published"] is None  # no row of numbers
    one = content["matrix"]["Explainer (paper)"]
    assert (one["classes"], one["values"]) == (["cat"], [[0.7278, 0.605]])
    text = page(content, [], About("run"))
    assert "Explainer (paper)" in text
    assert "Published by A. Author, 2020, VOC; not measured here." in text
    assert (tmp_path / "matrix.csv").read_text().splitlines() == [
        "method,class,images,none,cat,none low,none high,cat low,cat high",
        "Explainer (paper),cat,,0.7278,0.605,,,,",
    ]  # fmt: skip


def test_a_matrix_of_another_shape_is_refused():
    for rows in ([[1, 2]], [[1, 2, 3]], [[1, 2, 3], [1, 2]]):
        with pytest.raises(InputError, match=r"published.matrix: 'A' needs 2 rows, one a class, of 3 numbers"):
            Published("x", classes=["a", "b"], matrix={"A": rows})


def test_an_unknown_column_is_named_with_those_there_are():
    wrong = Published("x", {"RISE": {"accuracy": 50.0}})
    with pytest.raises(
        InputError, match=r"evaluation.report.published: 'RISE' has the column 'accuracy', .* acc, .* area"
    ):
        evaluation(published=wrong)
    with pytest.raises(InputError, match=r"experiment.init_args.published: .* KAR, ROAR, SUM, KAR 10 %"):
        Retraining(published=wrong)
    with pytest.raises(InputError, match=r"experiment.init_args.published: .* D, I, KAR L1"):
        LayerRetraining(published=wrong)
    with pytest.raises(InputError, match="'KAR L3'"):
        LayerRetraining(published=Published("x", {"mean": {"KAR L3": 1.0}}), scales=[1, 2])
    check_columns(None, [], "k")
    evaluation(published=Published("x", {"RISE": {"Box": 50.0, "area": 0.1}}), metrics={"Box": BoxIoU()})


def test_they_are_no_part_of_the_fingerprint():
    """Results stay valid when a number beside them is corrected."""
    settings = evaluation(published=PAPER)
    assert method_facts(settings, METHODS) == method_facts(evaluation(), METHODS)


def test_columns_that_a_table_lacks_leave_their_rows_out():
    assert published_rows({"rows": {"a": {"x": 1}, "b": {"y": 2.5}}}, ["y", "z"]) == [["b", "2.5", "–"]]
    assert published_rows(None, ["y"]) == []


def test_retraining_tables_show_them_too():
    ours = {"A": {"KAR": 1.5, "ROAR": -1.0, "SUM": 0.5, "seconds": 0.001, "scores": {"keep": {}}}}
    paper = Published("P", {"A": {"SUM": 1.3, "KAR 10 %": 63.25}, "B": {"KAR": 3.6}}).content()
    tables = retraining_tables(ours, ["keep"], [0.1], "t", paper)
    assert [to_terminal(t).row_count for t in tables] == [3, 2]
    text = markdown_file(tables)
    assert "| A (paper) | – | – | 1.3 | – |" in text
    assert "| A (paper) | 63.25 |" in text
    assert text.rstrip().endswith("(paper): printed by P, not measured here.")
    ours = {"mean": {"keep": [0.5], "remove": [0.4], "D": 0.1, "I": 0.1}}
    tables = layer_tables(ours, [1], "t", Published("P", {"mean": {"D": 1.29, "ROAR L1": 52.66}}).content())
    assert [to_terminal(t).row_count for t in tables] == [2, 2]
    text = markdown_file(tables)
    assert "| mean (paper) | 1.29 | – |" in text
    assert "| mean (paper) | – | 52.66 |" in text


def published(name):
    content = content_of(name)
    return (content["experiment"]["init_args"] if "experiment" in content else content["evaluation"]["report"])[
        "published"
    ]


def test_a_config_gives_them_and_an_unknown_column_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = {"model": {"class_path": "Classifier", "init_args": {"explanandum": {
        "network": "explainer.networks.small.small_cnn", "num_classes": 3}}}, "data": {"class_path": "Shapes"},
        "evaluation": {"as_it_is": True, "methods": {"Random": {"class_path": "Random"}},
                       "report": {"published": {"source": "P", "rows": {"Random": {"acc": 50}}}}}}  # fmt: skip
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    cli = ExplainerCLI(["--config", "mine.yaml"], evaluating=True)
    cli.build()
    assert cli.evaluation.report.published == Published("P", {"Random": {"acc": 50}})
    config["evaluation"]["report"]["published"]["rows"]["Random"]["Acc"] = 50
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(InputError, match="'Acc'"):
        ExplainerCLI(["--config", "mine.yaml"], evaluating=True).build()


@pytest.mark.parametrize("run", ["voc_vgg16", "voc_resnet50"])
def test_the_explainers_table_2_adds_up(run):
    """Acc and MAE of a binary truth are 100 together; the paper's for COCO are not."""
    rows = published(f"{run}_table2.yaml")["rows"]
    assert len(rows) == 10
    for numbers in rows.values():
        assert numbers["acc"] + numbers["mae"] == pytest.approx(100, abs=0.005)
    assert rows["Constant 1"]["iou"] == rows["Constant 1"]["acc"]  # both the share of the object


def test_the_explainers_table_1_has_one_column_without_a_mask():
    paper = published("voc_vgg16_table1.yaml")
    assert set(paper["matrix"]) == {"Explainer", "Grad-CAM", "RISE", "RTIS"}
    assert {tuple(row[0] for row in rows) for rows in paper["matrix"].values()} == {(20.57, 70.52, 72.78, 58.0, 69.37)}
    right = [row[1 + n] for n, row in enumerate(paper["matrix"]["Explainer"])]
    assert right == [15.29, 62.92, 60.55, 57.6, 71.01]


def test_the_smoe_papers_table_5_gives_its_table_2():
    """KAR, ROAR and SUM of all eight methods are sums of the scores at the five fractions."""
    rows = published("imagenet_resnet50_roar.yaml")["rows"]
    assert len(rows) == 12
    assert len([numbers for numbers in rows.values() if "SUM" in numbers]) == 8
    for numbers in rows.values():
        kar, roar = ([v for k, v in numbers.items() if k.startswith(f"{name} ")] for name in ("KAR", "ROAR"))
        assert (len(kar), len(roar)) == (5, 5)
        if "SUM" in numbers:
            assert sum(kar) / 100 == pytest.approx(numbers["KAR"], abs=0.006)
            assert -sum(roar) / 100 == pytest.approx(numbers["ROAR"], abs=0.006)
            assert (sum(kar) - sum(roar)) / 100 == pytest.approx(numbers["SUM"], abs=0.006)


def test_random_pixels_are_the_same_kept_and_removed():
    numbers = published("imagenet_resnet50_roar.yaml")["rows"]["Random"]
    for fraction in (10, 30, 50, 70, 90):
        assert numbers[f"KAR {fraction} %"] == numbers[f"ROAR {100 - fraction} %"]


def test_the_small_grid_has_the_same_table_2():
    large, small = (published(f"{name}_roar.yaml")["rows"] for name in ("imagenet_resnet50", "fashion_mnist_small"))
    for name, numbers in small.items():
        assert numbers == {column: large[name][column] for column in ("KAR", "ROAR", "SUM")}


STATISTICS = [name for name in get_args(MaskStatistic) if name != "random"]
WRONG_D = {
    "shannon_entropy": 1.550, "log_normal_mean": 1.086, "log_normal_entropy": 1.364, "truncated_normal_mean": 1.502,
    "truncated_normal_std": 1.552, "truncated_normal_entropy": 1.551,
}  # fmt: skip
"""What ImageNet's part of Table 4 gives where Table 1 prints another D; docs/reference/tables.md lists them."""


@pytest.mark.parametrize("data", ["", ", Places", ", COWC"])
def test_the_smoe_papers_table_4_gives_its_table_1(data):
    """All I, in nats, and all D but six of ImageNet's."""
    rows = published("imagenet_resnet50_layers.yaml")["rows"]
    chance = ScaleScores(*parts(rows[f"random{data}"]))
    for name in STATISTICS:
        numbers = rows[f"{name}{data}"]
        assert information_score(*parts(numbers), chance) * math.log(2) == pytest.approx(numbers["I"], abs=0.0055)
        found = difference_score(*parts(numbers), chance)
        if not data and name in WRONG_D:
            assert found == pytest.approx(WRONG_D[name], abs=0.001)
            assert abs(found - numbers["D"]) > 0.007
        else:
            assert found == pytest.approx(numbers["D"], abs=0.0065)


def parts(numbers):
    return tuple([numbers[f"{mode} L{scale}"] / 100 for scale in range(1, 6)] for mode in ("KAR", "ROAR"))


@pytest.mark.parametrize("name", STATISTICS)
def test_the_smoe_papers_averages_are_those_of_its_three_sets(name):
    rows = published("imagenet_resnet50_layers.yaml")["rows"]
    for column in ("D", "I"):
        three = [rows[f"{name}{data}"][column] for data in ("", ", Places", ", COWC")]
        # what is printed is cut off rather than rounded in places
        assert sum(three) / 3 == pytest.approx(rows[f"{name}, mean of the three sets"][column], abs=0.0075)


def test_the_smoe_papers_best_and_worst_are_in_its_table_4():
    """So that a digit copied wrongly shows: the last two rows of each part of Table 4."""
    rows = published("imagenet_resnet50_layers.yaml")["rows"]
    columns = [f"{mode} L{scale}" for mode in ("KAR", "ROAR") for scale in range(1, 6)]
    best = {
        "": (56.61, 51.02, 51.25, 47.21, 63.00, 44.48, 42.74, 35.44, 33.88, 18.07),
        ", Places": (50.05, 45.67, 46.39, 41.45, 53.53, 41.97, 43.69, 38.85, 39.68, 26.88),
        ", COWC": (66.37, 63.78, 73.29, 65.68, 80.65, 42.76, 43.45, 43.89, 60.69, 57.98),
    }
    worst = {
        "": (50.66, 32.28, 50.57, 42.54, 61.18, 57.20, 68.22, 44.42, 38.18, 22.88),
        ", Places": (45.96, 35.87, 45.92, 37.57, 50.62, 52.21, 57.91, 48.83, 42.43, 29.12),
        ", COWC": (59.52, 46.05, 70.89, 60.21, 78.77, 48.98, 71.02, 46.69, 68.31, 59.89),
    }
    for data in best:
        for column, high, low in zip(columns, best[data], worst[data], strict=True):
            values = [rows[f"{name}{data}"][column] for name in STATISTICS]
            extremes = (max(values), min(values)) if column.startswith("KAR") else (min(values), max(values))
            assert extremes == (high, low)


def test_the_smoe_papers_figure_4_is_drawn_from_its_table_4():
    """SMOE Scale differs most at the first scales; the mean over the sets is D's."""
    paper = published("imagenet_resnet50_layers.yaml")
    lines = published_by_scale(paper)
    assert set(lines) == set(STATISTICS)
    assert max(lines, key=lambda name: lines[name][0]) == "smoe_scale"
    assert sum(lines["smoe_scale"]) == pytest.approx(1.40, abs=0.01)
    figure = plot_layers({}, [1, 2, 3, 4, 5], paper)
    assert [len(axis.get_lines()) for axis in figure.axes] == [1, 10]  # with the line of random masks
