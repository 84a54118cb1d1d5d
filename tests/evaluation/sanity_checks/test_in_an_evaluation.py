"""Sanity checks in an evaluation: their columns, their settings, and a config that builds them."""

import json
import math

import numpy as np
import pytest
import torch

from explainer.attribution import Constant, Gradient, Random
from explainer.cli.evaluate import evaluate
from explainer.data.shapes import CLASSES as SHAPES
from explainer.errors import InputError
from explainer.evaluation.facts import method_facts
from explainer.evaluation.names import check_methods
from explainer.evaluation.report.files import write_results
from explainer.evaluation.results.columns import columns_of
from explainer.evaluation.results.summary import summarise
from explainer.evaluation.sanity_checks import Convergence, Randomisation, SeedStability
from explainer.evaluation.scoring.metrics import Answers, Judge
from explainer.metrics import ProportionOutside
from tests.support.shipped import content_of
from tests.support.small_checkpoints import save_explainer
from tests.support.small_evaluation import FACTS, classifier, pictures, run, timeless
from tests.support.small_sanity_checks import EVERY, one_label
from tests.support.tiny_runs import evaluation, explainer_config


def test_columns_join_the_rows(tmp_path):
    probes = {"Stable": SeedStability(2), "Random": Randomisation(blocks=2)}
    judge = Judge({"Outside": ProportionOutside()})
    batches = pictures()
    methods = {"Gradient": Gradient(), "Half": Constant(0.5)}
    rows = run(tmp_path / "a", batches, methods, checks=probes, judge=judge).rows
    plain = run(tmp_path / "b", batches, methods, judge=judge).rows
    mine = [row for row in rows if row["method"] == "Gradient"]
    assert [row["scores"]["Stable"] for row in mine] == [1.0] * 4 + [None, 1.0]
    assert all(len(row["curves"]["Random"]) == 2 for row in mine if row["scores"]["Random"] is not None)
    assert all(row["scores"]["Random"] == pytest.approx(np.mean(row["curves"]["Random"]), abs=1e-4) for row in mine[:4])
    for row, other in zip(rows, plain, strict=True):
        without = {key: value for key, value in row.items() if key != "curves"}
        without["scores"] = {name: value for name, value in row.get("scores", {}).items() if name not in probes}
        assert timeless(without) == timeless({"scores": {}} | other)
    results = summarise(rows, ["Outside", *probes])
    assert (results["Gradient"]["scores"]["Stable"], results["Gradient"]["n"]["Stable"]) == (1.0, 5)
    assert (results["Half"]["scores"]["Stable"], results["Half"]["n"]["Stable"]) == (None, 0)
    assert results["Ground truth"]["n"]["Random"] == 0  # nothing to run again


def test_only_the_named_methods_are_probed(tmp_path):
    methods, probes = {"Gradient": Gradient(), "Noise": Random()}, {"Stable": SeedStability(2)}
    rows = run(tmp_path, pictures(), methods, checks=probes, checked=["Noise"]).rows
    facts = FACTS | {"probes": {"Stable": {}}}
    results = write_results(rows, facts, tmp_path, columns=columns_of(probes))["results"]
    assert (results["Gradient"]["n"]["Stable"], results["Noise"]["n"]["Stable"]) == (0, 6)
    whole = method_facts(evaluation(probes=probes), {})
    assert method_facts(evaluation(probes=probes, probed=["Noise"]), {}) == whole | {"probed": ["Noise"]}
    with pytest.raises(
        InputError, match=r"evaluation\.sanity_checks\.methods: there is no method 'RISE', only Gradient, Noise"
    ):
        check_methods("evaluation.sanity_checks.methods", ["RISE"], methods)


def test_probes_without_metrics_are_written(tmp_path):
    rows = run(tmp_path, pictures(), {"Gradient": Gradient()}, checks={"Stable": SeedStability(2)}).rows
    facts = FACTS | {"probes": {"Stable": {"class": "SeedStability"}}}
    content = write_results(rows, facts, tmp_path)
    assert content["results"]["Gradient"]["scores"]["Stable"] == 1.0
    assert "Stable" in (tmp_path / "per_image.csv").read_text().splitlines()[0]


def test_the_ground_truth_has_nothing_to_run_again():
    batch = one_label()
    seen = Judge({}).judged(classifier(), "Ground truth", torch.rand(3, 1, 16, 16), batch)
    assert Judge({"A": SeedStability()})(seen) == [Answers({"A": None}, {})] * 3


def test_settings_are_in_the_fingerprint_only_when_used():
    assert "probes" not in method_facts(evaluation(), {})
    metric = ProportionOutside()
    settings = evaluation(probes={**EVERY, "outside": Convergence((0.5,), metric)})
    facts = json.loads(json.dumps(method_facts(settings, {})))["probes"]
    assert facts["stability"] == {"class": "SeedStability", "higher_is_better": True, "runs": 2}
    assert facts["cascading"]["blocks"] == 2
    assert facts["convergence"]["fractions"] == [0.5]
    assert facts["outside"]["metric"]["class"] == "ProportionOutside"
    assert facts["outside"]["higher_is_better"] is False


def test_a_config_builds_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    path = save_explainer(tmp_path / "checkpoints" / "tiny.ckpt", SHAPES)
    probes = {
        "Stability": {"class_path": "SeedStability", "init_args": {"runs": 2}},
        "Randomised": {"class_path": "Randomisation", "init_args": {"blocks": 1}},
        "Masker": {"class_path": "Randomisation", "init_args": {"network": "masker", "blocks": 1}},
        "Retrained": {"class_path": "Retrained", "init_args": {"checkpoint": path}},
        "Outside at 1/2": {"class_path": "Convergence", "init_args": {
            "fractions": [0.5], "metric": {"class_path": "explainer.metrics.ProportionOutside"}}},
    }  # fmt: skip
    methods = {"Box": {"class_path": "CentredBox"}, "RISE": {"class_path": "RISE", "init_args": {"masks": 2}}}
    data = {
        "class_path": "Shapes",
        "init_args": {"image_size": 32, "batch_size": 2, "num_workers": 0, "test_images": 2},
    }
    evaluation = {"methods": methods, "probes": probes, "gallery": 0, "device": "cpu"}
    explainer_config("tiny", data=data, evaluation=evaluation)
    results = evaluate(["--config", "tiny.yaml"])["results"]
    assert results["Box"]["scores"]["Randomised"] == 1.0
    assert results["Box"]["scores"]["Masker"] is None
    assert results["Explainer"]["scores"]["Randomised"] == 1.0
    assert results["Explainer"]["scores"]["Retrained"] == 1.0
    assert results["Explainer"]["scores"]["Masker"] < 1
    assert math.isfinite(results["RISE"]["scores"]["Outside at 1/2"])
    header = (tmp_path / "results" / "tiny" / "table.md").read_text().splitlines()[0]
    assert "Stability ↑" in header
    assert "Outside at 1/2 ↓" in header
    assert evaluate(["--config", "tiny.yaml"])["results"] == results


def test_the_config_of_the_sanity_check_differs_in_what_it_must():
    ours, theirs = (content_of(name) for name in ("shapes_small.yaml", "shapes_small_randomised.yaml"))
    ours["model"]["init_args"]["explanandum"]["randomise_seed"] = 0
    ours["model"]["init_args"]["masker"]["encoder_weights"] = None
    assert ours == theirs
