"""Sparseness and complexity: against slow versions and closed forms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explainer.metrics import Complexity, Sparseness, entropy_of, gini
from tests.support import oracles
from tests.support.small_judged import judged
from tests.support.small_masks import drawn


@given(seed=st.integers(0, 10_000), power=st.sampled_from([0.2, 1.0, 9.0]))
@settings(max_examples=10, deadline=None)
def test_gini_and_entropy_value_by_value(seed, power):
    maps = drawn(seed)[0] ** power - 0.3  # signed
    maps[1] = 0
    for function, oracle in ((gini, oracles.gini_index), (entropy_of, oracles.map_entropy)):
        want = [oracle(m.numpy()) for m in maps]
        np.testing.assert_allclose(function(maps).numpy(), want, atol=1e-12)


def test_gini_and_entropy_of_the_most_and_the_least_concise():
    maps = torch.zeros(4, 1, 5, 5)
    maps[0, 0, 2, 2], maps[1], maps[2] = 0.7, 0.7, 1.0
    maps[3, 0, :, :2] = 0.4  # 10 equal pixels of 25
    torch.testing.assert_close(gini(maps), torch.tensor([24 / 25, 0, 0, 15 / 25]))
    torch.testing.assert_close(entropy_of(maps), torch.tensor([0, math.log(25), math.log(25), math.log(10)]))
    torch.testing.assert_close(gini(7 * maps), gini(maps))
    assert Sparseness().measure(judged(maps)).value.tolist() == gini(maps).tolist()
    assert Complexity().measure(judged(maps)).value.tolist() == entropy_of(maps).tolist()


def test_single_precision_does_not_blur_large_maps():
    maps = torch.rand(1, 1, 224, 224)
    assert gini(maps).item() == pytest.approx(oracles.gini_index(maps.double().numpy()), abs=1e-6)
    assert entropy_of(maps).item() == pytest.approx(oracles.map_entropy(maps.double().numpy()), abs=1e-5)
