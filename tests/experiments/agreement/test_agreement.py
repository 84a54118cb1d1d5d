"""Agreement with a known truth: Kendall's tau against slow and foreign versions, and whole runs on written results."""

import json
import math

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from explainer.cli.evaluate import evaluate
from explainer.errors import InputError
from explainer.evaluation.results.kendall import resampled_means, tau_b
from explainer.experiments.agreement.measure import Judgement, agreements
from explainer.experiments.agreement.read import Columns, read_evaluation, read_retraining
from explainer.experiments.agreement.run import Agreement
from explainer.experiments.agreement.show import ordered

METHODS = ["A", "B", "C", "D", "E"]
IMAGES = 12


def slow_tau(x, y):
    """Pair by pair, from Kendall's definition."""
    together, of_x, of_y = 0, 0, 0
    for i in range(len(x)):
        for j in range(i):
            s, t = np.sign(x[i] - x[j]), np.sign(y[i] - y[j])
            together, of_x, of_y = together + s * t, of_x + s * s, of_y + t * t
    return together / math.sqrt(of_x * of_y) if of_x * of_y else math.nan


@given(values=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=9))
@settings(max_examples=60, deadline=None)
def test_tau_is_what_kendalls_definition_says(values):
    x, y = (torch.tensor(column, dtype=torch.float64) for column in zip(*values, strict=True))
    np.testing.assert_allclose(tau_b(x[None], y[None])[0].item(), slow_tau(x.tolist(), y.tolist()), atol=1e-12)


def test_tau_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    generator = torch.Generator().manual_seed(3)
    x = torch.randint(6, (20, 15), generator=generator).double()
    y = torch.randint(6, (20, 15), generator=generator).double()
    want = [stats.kendalltau(a, b).statistic for a, b in zip(x.numpy(), y.numpy(), strict=True)]
    np.testing.assert_allclose(tau_b(x, y).numpy(), want, atol=1e-12)


def test_tau_leaves_out_what_has_no_value_and_knows_no_order_of_equal_values():
    nan = torch.nan
    x = torch.tensor([[1.0, 2.0, nan, 3.0], [1.0, 1.0, 1.0, 1.0], [1.0, nan, nan, 2.0], [nan, nan, nan, 2.0]])
    y = torch.tensor([[5.0, 6.0, 0.0, 7.0], [1.0, 2.0, 3.0, 4.0], [4.0, 1.0, 1.0, 3.0], [1.0, 2.0, 3.0, 4.0]])
    assert tau_b(x, y).nan_to_num(9.0).tolist() == [1.0, 9.0, -1.0, 9.0]


def test_means_of_resampled_images_are_means_and_the_same_images_for_all():
    values = torch.rand(3, 10, dtype=torch.float64)
    values[1, :4] = torch.nan
    means = resampled_means(values, 400)
    assert means.shape == (400, 3)
    torch.testing.assert_close(means.nanmean(0), values.nanmean(1), atol=0.05, rtol=0)
    twice = resampled_means(torch.stack([values[0], 2 * values[0]]), 50)
    torch.testing.assert_close(twice[:, 1], 2 * twice[:, 0])


def columns(**values):
    return Columns(METHODS, {name: torch.as_tensor(v, dtype=torch.float64) for name, v in values.items()}, ["down"])


def test_a_column_that_is_the_truth_in_other_units_agrees_wholly_and_its_reverse_not_at_all():
    truth = torch.arange(5.0)[:, None] + 0.3 * torch.rand(5, IMAGES)
    one = Judgement(columns(truth=truth, same=3 * truth - 7, down=-truth, flat=torch.ones(5, IMAGES)))
    found = agreements([one, one], "truth", 100)
    assert set(found) == {"same", "down", "flat"}
    assert found["same"]["tau"] == found["same"]["interval"][0] == found["same"]["interval"][1] == 1
    assert found["down"]["tau"] == -1
    assert (found["same"]["higher_is_better"], found["down"]["higher_is_better"]) == (True, False)
    assert found["flat"]["tau"] is None
    assert found["flat"]["interval"] is None
    assert found["same"]["by_classifier"] == [1, 1]
    assert found["same"]["deviation"] == 0
    assert (found["same"]["methods"], found["same"]["draws"]) == (5, IMAGES)


def test_the_interval_holds_what_other_images_say_and_narrows_with_their_number():
    generator = torch.Generator().manual_seed(0)

    def noisy(images):
        truth = torch.arange(5.0)[:, None] + 2 * torch.randn(5, images, generator=generator)
        return Judgement(columns(truth=truth, other=truth + 6 * torch.randn(5, images, generator=generator)))

    widths = []
    for images in (10, 1000):
        (found,) = agreements([noisy(images)], "truth", 300).values()
        low, high = found["interval"]
        assert low <= found["tau"] <= high
        assert found["deviation"] is None
        widths.append(high - low)
    assert widths[1] < widths[0]


def test_retrainings_are_compared_with_the_truth_of_their_own_classifier():
    truth = torch.arange(5.0)[:, None].expand(5, IMAGES)
    up = Judgement(columns(truth=truth), columns(ROAR=torch.arange(5.0)[:, None].expand(5, 2)))
    down = Judgement(columns(truth=truth), columns(ROAR=-torch.arange(5.0)[:, None].expand(5, 2)))
    without = Judgement(columns(truth=truth))
    found = agreements([up, down, without], "truth", 50)["ROAR"]
    assert found["by_classifier"] == [1, -1]
    assert found["tau"] == 0
    assert found["deviation"] == pytest.approx(math.sqrt(2))
    assert found["draws"] == 2


# Whole runs


def write_evaluation(folder, seed):
    """Rows of five methods, whose truth is their place; and of references, which are no methods."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    lines = []
    for m, method in enumerate(["Original image", "Ground truth", *METHODS]):
        for n in range(IMAGES):
            row = {"id": f"i{n}", "method": method, "kept": {"labels": [0], "predicted": 0, "probability": 0.5}}
            if m:
                noise = 0.2 * generator.standard_normal()
                scores = {"Parts": m + noise, "up": 2.0 * m, "error": -3.0 * m, "none": None}
                row |= {"scores": scores, "area": 0.1, "cost": {}, "constant": False, "broken": False}
                row["removed"] = row["kept"]
            lines.append(json.dumps(row))
    generator.shuffle(lines)
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
    description = {"percent": False, "label": "", "paper": "", "meaning": "", "formula": "", "range": ""}
    described = {name: description | {"higher_is_better": name != "error"} for name in ("Parts", "up", "error", "none")}
    results = {method: {} for method in ("Original image", "Ground truth", *METHODS)}
    (folder / "results.json").write_text(json.dumps({"columns": described, "results": results}))


def write_grid(folder):
    """Two fractions, two seeds; the best method keeps most and leaves least; one line is torn."""
    folder.mkdir(parents=True)
    lines = [json.dumps({"fingerprint": {}})]
    for m, method in enumerate(METHODS[:4]):
        for mode in ("keep", "remove"):
            for fraction in (0.1, 0.3):
                for seed in (0, 1):
                    score = 0.5 + 0.1 * m if mode == "keep" else 0.5 - 0.1 * m
                    cell = {"cell": "c", "method": method, "mode": mode, "fraction": fraction, "seed": seed}
                    lines.append(json.dumps(cell | {"score": score}))
    (folder / "cells.jsonl").write_text("\n".join(lines) + '\n{"cell": "to')


def test_finished_results_are_read_compared_and_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for seed in (0, 1):
        write_evaluation(tmp_path / "results" / f"e{seed}", seed)
    write_grid(tmp_path / "results" / "g0")
    init_args = {"evaluations": {"one": ["e0", "e1"]}, "retrainings": {"one": ["g0"]}, "resamples": 60}
    experiment = {"class_path": "Agreement", "init_args": init_args}
    data = {"class_path": "PlantedShapes", "init_args": {"image_size": 32, "num_workers": 0}}
    (tmp_path / "trust.yaml").write_text(yaml.safe_dump({"experiment": experiment, "data": data}))
    content = evaluate(["--config", "trust.yaml"])
    found = content["results"]["one"]
    assert set(found) == {"up", "error", "KAR", "ROAR", "SUM"}
    for name in found:
        assert found[name]["tau"] == 1, name
    assert (found["up"]["methods"], found["ROAR"]["methods"]) == (5, 4)
    assert len(found["up"]["by_classifier"]) == 2
    assert len(found["ROAR"]["by_classifier"]) == 1
    out = tmp_path / "results" / "trust"
    assert json.loads((out / "results.json").read_text())["results"]["one"]["up"]["tau"] == 1
    assert "| up | 1.000 [1.000, 1.000] |" in (out / "table.md").read_text()
    assert (out / "agreement.png").stat().st_size > 5000
    assert "one (2 classifiers)" in capsys.readouterr().out


def test_columns_are_read_turned_and_without_references(tmp_path):
    write_evaluation(tmp_path / "e", 0)
    read = read_evaluation(tmp_path / "e", ["C", "A"])
    assert read.methods == ["C", "A"]
    assert read.turned == ["error"]
    assert read.values["error"].tolist() == [[12.0] * IMAGES, [6.0] * IMAGES]
    assert set(read.values) == {"Parts", "up", "error"}
    assert set(read_evaluation(tmp_path / "e").methods) == set(METHODS)


def test_a_method_without_one_of_its_cells_has_no_sum(tmp_path):
    write_grid(tmp_path / "g")
    path = tmp_path / "g" / "cells.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:1] + lines[2:-1]) + "\n")  # the first cell of A, and the torn one
    read = read_retraining(tmp_path / "g", METHODS)
    assert read.values["KAR"].isnan().tolist() == [[True, False], *[[False, False]] * 3, [True, True]]
    assert read.values["ROAR"][1].tolist() == pytest.approx([-0.8, -0.8])


def test_what_cannot_be_used_is_refused(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        Agreement({})
    with pytest.raises(InputError, match="more grids"):
        Agreement({"a": ["x"]}, {"b": ["y"]})
    with pytest.raises(InputError, match="evaluations"):
        Agreement({"a": ["x", "x"]})
    with pytest.raises(InputError, match="is the truth"):
        Agreement({"a": ["x"]}, leave_out=["Parts"])
    with pytest.raises(InputError, match=r"no .*results.json"):
        read_evaluation(tmp_path / "nothing")
    write_evaluation(tmp_path / "e", 0)
    with pytest.raises(InputError, match="no method 'Z'"):
        read_evaluation(tmp_path / "e", ["Z"])
    with pytest.raises(InputError, match="no column 'Truth'"):
        Agreement({"a": ["e"]}, truth="Truth", root=str(tmp_path))._judgements("a")
    write_grid(tmp_path / "g")
    with pytest.raises(InputError, match="no finished cell"):
        read_retraining(tmp_path / "g", ["Z"])


def test_the_order_of_the_table_is_that_of_the_mean_over_groups():
    groups = {"a": {"x": {"tau": 0.1}, "y": {"tau": 0.5}}, "b": {"x": {"tau": 0.9}, "z": {"tau": None}}}
    assert ordered(groups) in (["x", "y", "z"], ["y", "x", "z"])
    groups["b"]["y"] = {"tau": 0.9}
    assert ordered(groups) == ["y", "x", "z"]
