"""Bootstrap intervals and paired tests, against slow versions, closed forms and simulation."""

import math

import numpy as np
import pytest
import torch

from explainer.evaluation.references import ORIGINAL, TRUTH
from explainer.evaluation.report.files import write_results
from explainer.evaluation.report.printers import to_markdown, to_terminal
from explainer.evaluation.report.summary_table import summary_table
from explainer.evaluation.results import intervals
from explainer.evaluation.results.columns import FIXED
from explainer.evaluation.results.intervals import (
    against_best,
    classification_intervals,
    draws,
    holm,
    mean_average_precision,
    mean_f1,
    mean_intervals,
    sign_flip_p,
)
from explainer.evaluation.results.summary import classification, pairs, summarise
from tests.support import interval_oracles
from tests.support.small_evaluation import pictures, run


def test_intervals_agree_with_slow_resampling():
    values = torch.randn(12, 2, dtype=torch.float64)
    values[[0, 5], 1] = torch.nan
    counts = torch.cat(list(draws(12, 200, seed=3)))
    got = mean_intervals(values, 200, seed=3)
    for column in (0, 1):
        wanted = interval_oracles.bootstrap_interval(values[:, column].numpy(), counts.numpy())
        assert got[column].tolist() == pytest.approx(wanted)


def test_draws_are_with_replacement_and_the_same_for_a_seed(monkeypatch):
    counts = torch.cat(list(draws(50, 400, seed=1)))
    assert counts.shape == (400, 50)
    assert (counts.sum(1) == 50).all()
    assert float((counts == 0).double().mean()) == pytest.approx((1 - 1 / 50) ** 50, abs=0.01)
    assert torch.equal(counts, torch.cat(list(draws(50, 400, seed=1))))
    assert not torch.equal(counts, torch.cat(list(draws(50, 400, seed=2))))
    monkeypatch.setattr(intervals, "_AT_ONCE", 500)
    assert torch.cat(list(draws(50, 401, seed=1))).shape == (401, 50)


def test_intervals_of_columns_without_values_and_of_one_image():
    values = torch.tensor([[torch.nan, 2.0]])
    got = mean_intervals(values)
    assert got[0].isnan().all()
    assert got[1].tolist() == [2, 2]
    assert mean_intervals(torch.zeros(0, 3)).isnan().all()


@pytest.mark.parametrize("skewed", [False, True])
def test_95_percent_intervals_hold_the_mean_in_about_95_percent_of_samples(skewed):
    generator = torch.Generator().manual_seed(11)
    samples = torch.randn(60, 500, generator=generator, dtype=torch.float64)
    truth = 0.0
    if skewed:
        samples, truth = samples.exp(), math.exp(0.5)
    ends = mean_intervals(samples, 400)  # a sample a column
    inside = float(((ends[:, 0] <= truth) & (truth <= ends[:, 1])).double().mean())
    assert (0.82 if skewed else 0.91) <= inside <= 0.98  # the percentile interval of a skewed mean is known to be short


def test_scores_of_images_that_count_several_times_agree_with_repeating_them():
    generator = np.random.default_rng(0)
    scores, truth = generator.random((9, 4)).round(1), generator.random((9, 4)) < 0.4  # with ties
    truth[:, 3] = False
    counts = torch.cat(list(draws(9, 20)))
    arguments = torch.tensor(scores), torch.tensor(truth), counts
    for ours, slow in ((mean_average_precision, interval_oracles.average_precision), (mean_f1, interval_oracles.f1)):
        wanted = [interval_oracles.mean_over_classes(slow, scores, truth, often.numpy()) for often in counts]
        np.testing.assert_allclose(ours(*arguments), wanted)


@pytest.mark.parametrize("multilabel", [True, False])
def test_classification_intervals_are_around_what_classification_says(multilabel):
    generator = np.random.default_rng(1)
    said = []
    for n in range(60):
        labels = np.flatnonzero(generator.random(4) < 0.4).tolist() if multilabel else [n % 4][: n % 5]
        row = {"labels": labels, "probabilities": generator.random(4).round(5).tolist()}
        if not multilabel:
            of_label = 0.3 + 0.01 * (n % 7) if labels else None
            row = {"labels": labels, "predicted": n % 3, "probability": of_label}
        said.append(row)
    values, ends = classification(said), classification_intervals(said)
    assert set(values) == set(ends) == ({"mAP", "F1", "probability"} if multilabel else {"accuracy", "probability"})
    for name, (low, high) in ends.items():
        assert low < values[name] < high, name


def test_without_labels_there_is_no_interval_and_a_large_table_has_none_of_map(monkeypatch):
    assert classification_intervals([{"labels": [], "probabilities": [0.1, 0.2]}]) == {}
    assert classification_intervals([{"labels": [], "predicted": 1, "probability": None}]) == {}
    said = [{"labels": [n % 2], "probabilities": [0.5, 0.6]} for n in range(10)]
    monkeypatch.setattr(intervals, "MOST_WORK", 2 * 10 * 300)
    assert "mAP" in classification_intervals(said, 1)
    assert set(classification_intervals(said, 2)) == {"F1", "probability"}


def test_sign_flips_agree_with_taking_all_of_them():
    differences = torch.randn(9, 3, dtype=torch.float64) + 0.5
    differences[[2, 7], 1] = torch.nan
    known = [[d for d in column.tolist() if d == d] for column in differences.T]
    wanted = [interval_oracles.sign_flip_p(column) for column in known]
    assert sign_flip_p(differences).tolist() == pytest.approx(wanted)
    drawn = sign_flip_p(differences, flips=500)  # fewer than 2⁹
    assert drawn.tolist() == pytest.approx(wanted, abs=0.1)
    assert torch.equal(drawn, sign_flip_p(differences, flips=500))
    assert sign_flip_p(torch.zeros(5, 1)).item() == sign_flip_p(torch.zeros(50, 1)).item() == 1
    assert sign_flip_p(torch.ones(200, 1)).item() == 1e-4


def test_p_values_of_methods_that_are_alike_are_even():
    generator = torch.Generator().manual_seed(5)
    p = sign_flip_p(torch.randn(40, 500, generator=generator), 399)
    for level in (0.05, 0.2, 0.5):
        assert float((p <= level).double().mean()) == pytest.approx(level, abs=0.07)


def test_holms_correction():
    for p in ([0.01, 0.04, 0.03], [0.2], [0.5, 0.001, 0.02, 0.02], [0.6, 0.9]):
        np.testing.assert_allclose(holm(p), interval_oracles.holm(p), atol=6e-4)
    assert holm([]) == []


@pytest.mark.parametrize("up", [True, False])
def test_every_method_is_compared_with_the_best_on_common_images(up):
    sign = 1 if up else -1
    generator = torch.Generator().manual_seed(2)
    base = torch.rand(30, generator=generator, dtype=torch.float64)
    noise = 0.001 * torch.randn(30, generator=generator)
    close = base + noise - noise.mean()
    worse = base - sign * (0.5 + 0.1 * torch.rand(30, generator=generator))
    worse[:10] = torch.nan
    values = {"worse": worse, "best": base + sign * 0.0002, "close": close, "none": torch.full((30,), torch.nan)}
    got = against_best({"x": values, "other": {"one": base}, "nothing": {}}, {"x": up, "other": up, "nothing": up})
    assert set(got) == {"x"}  # there is nothing to compare elsewhere
    got = got["x"]
    assert set(got) == {"worse", "close"}
    assert {entry["against"] for entry in got.values()} == {"best"}
    wanted = float((worse - values["best"])[10:].mean())
    assert got["worse"]["difference"] == pytest.approx(wanted)
    low, high = got["worse"]["interval"]
    assert low < wanted < high
    assert low * high > 0
    assert got["worse"]["p"] == pytest.approx(2 * 1e-4)  # Holm, of two
    assert got["close"]["p"] > 0.05
    assert against_best({}, {}) == {}


# In the results


def test_results_hold_intervals_and_pairs(tmp_path):
    rows = run(tmp_path, pictures((4, 4, 4))).rows
    content = write_results(rows, {}, tmp_path)
    for method, entry in content["results"].items():
        if method != ORIGINAL:
            for column, (low, high) in entry["interval"].items():
                value = {**entry, **entry["scores"]}.get(column.split(".")[0])
                value = value[column.split(".")[1]] if isinstance(value, dict) else value
                assert low - 1e-9 <= value <= high + 1e-9 or column.endswith(("mAP", "F1"))
            assert set(entry["interval"]) >= {c for c in FIXED if entry["scores"][c] is not None}
    assert set(content["columns"]) == {"acc", "iou", "mae", "sal"}
    assert content["columns"]["acc"] == FIXED["acc"]
    for column, compared in content["pairs"].items():
        known = {m: e["scores"][column] for m, e in content["results"].items() if m not in (ORIGINAL, TRUTH)}
        best = (max if FIXED[column]["higher_is_better"] else min)(known, key=known.get)
        assert {entry["against"] for entry in compared.values()} == {best}
        assert set(compared) == set(known) - {best}
        assert all(0 < entry["p"] <= 1 for entry in compared.values())


def test_the_order_of_the_methods_changes_nothing(tmp_path):
    rows = run(tmp_path, pictures()).rows
    by_method = sorted(rows, key=lambda row: row["method"])
    assert by_method != rows
    assert pairs(rows, FIXED) == pairs(by_method, FIXED)
    assert summarise(rows) == summarise(by_method)


def test_tables_show_intervals_and_what_cannot_be_told_apart(tmp_path):
    content = write_results(run(tmp_path, pictures()).rows, {}, tmp_path)
    results = content["results"]
    plain, full = (to_markdown(summary_table(content, intervals=shown)) for shown in (False, True))
    low, high = results["Box"]["interval"]["acc"]
    line = next(line for line in full.splitlines() if line.startswith("| Box"))
    assert f"{100 * results['Box']['scores']['acc']:.2f} [{100 * low:.1f}, {100 * high:.1f}]" in line
    assert "[" not in plain
    assert "~ not told from the best" in full  # six images tell little
    assert " ~ |" in plain
    table = to_terminal(summary_table(content, "t", intervals=True))
    assert any("±" in str(cell) for column in table.columns for cell in column.cells)
