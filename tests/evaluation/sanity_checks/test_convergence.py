"""Convergence over parts of a budget, in closed form."""

import numpy as np
import pytest
import torch

from explainer.attribution import RISE, Gradient
from explainer.evaluation.sanity_checks import Convergence
from explainer.metrics import ProportionOutside
from tests.support import oracles
from tests.support.small_evaluation import classifier
from tests.support.small_sanity_checks import Drawn, asked, one_label


def test_convergence_is_the_mean_over_parts_of_the_budget():
    method, batch = Drawn(steps=16), one_label()
    found = asked(Convergence((0.5, 0.125, 0.25)), classifier(), method, batch, scaled=False)
    assert method.asked[1:] == [(0, 2), (0, 4), (0, 8)]
    maps = [torch.rand(16, 16, generator=torch.Generator().manual_seed(n)).numpy().astype(float) for n in (2, 4, 8, 16)]
    expected = [oracles.spearman(m, maps[-1]) for m in maps[:-1]]
    assert found.curve[0].tolist() == pytest.approx(expected, abs=1e-5)
    assert found.value[0].item() == pytest.approx(np.mean(expected), abs=1e-5)
    assert Convergence().points(classifier(), method, batch.image) == ["1/8", "1/4", "1/2"]
    assert method.steps == 16


def test_a_constant_early_map_counts_as_no_agreement():
    found = asked(Convergence((0.125,)), classifier(), Drawn(), one_label(), scaled=False)
    assert found.value.tolist() == [0.0] * 3


def test_methods_without_a_budget_have_no_convergence():
    assert asked(Convergence(), classifier(), Gradient(), one_label()).value.isnan().all()
    assert Convergence().points(classifier(), Gradient(), one_label().image) == []


def test_convergence_of_another_metric():
    explanandum, batch = classifier(), one_label()
    inside = torch.zeros(3, 3, 16, 16, dtype=torch.uint8)
    inside[:, :, :8] = 1
    batch = batch._replace(segmentation=inside)
    one = Convergence((0.25, 0.5), ProportionOutside("segmentation", binary=False))
    method = RISE(8, grid=3)
    found = asked(one, explanandum, method, batch)
    expected = []
    for masks in (2, 4, 8):
        mask = RISE(masks, grid=3).target_mask(explanandum, batch.image, batch.labels)
        expected.append((mask[:, :, 8:].sum((1, 2, 3)) / mask.sum((1, 2, 3))).tolist())
    assert torch.allclose(found.curve, torch.tensor(expected).T, atol=1e-5)
    assert torch.allclose(found.value, found.curve.mean(1))
    assert one.higher_is_better is False
    assert one.points(explanandum, method, batch.image) == ["1/4", "1/2", "1"]
    assert one.settings["metric"] == {"class": "ProportionOutside", "truth": "segmentation", "binary": False}
