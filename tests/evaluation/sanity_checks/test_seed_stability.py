"""Stability over seeds, in closed form."""

from itertools import combinations

import numpy as np
import pytest
import torch

from explainer.attribution import SMOE, CentredBox, Constant, GradCAM, Gradient, Random
from explainer.evaluation.sanity_checks import SeedStability
from tests.support import oracles
from tests.support.small_evaluation import classifier
from tests.support.small_sanity_checks import Drawn, asked, measured, one_label


def test_stability_is_the_mean_over_pairs_of_seeds():
    method, batch = Drawn(seed=4), one_label()
    mask = method.target_mask(classifier(), batch.image, batch.labels, False)
    method.asked.clear()
    got = measured(SeedStability(3), classifier(), method, batch, mask, scaled=False).value
    assert method.asked == [(5, 8), (6, 8)]  # the mask given is that of the own seed
    assert method.seed == 4
    maps = [torch.rand(16, 16, generator=torch.Generator().manual_seed(100 * s + 8)).numpy() for s in (4, 5, 6)]
    expected = np.mean([oracles.spearman(a.astype(float), b.astype(float)) for a, b in combinations(maps, 2)])
    assert got.tolist() == pytest.approx([expected] * 3, abs=1e-6)


@pytest.mark.parametrize("method", [Gradient(), GradCAM(), CentredBox(), SMOE()], ids=lambda m: type(m).__name__)
def test_a_deterministic_method_is_stable(method):
    assert asked(SeedStability(), classifier(), method, one_label()).value.tolist() == [1.0] * 3


def test_noise_is_not_stable_and_a_constant_map_is_undefined():
    assert asked(SeedStability(), classifier(), Random(), one_label()).value.abs().max() < 0.2
    assert asked(SeedStability(), classifier(), Constant(0.5), one_label()).value.isnan().all()
