"""Spearman's correlation against its definition, torchmetrics, and closed forms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional import spearman_corrcoef

from explainer.metrics import RankCorrelation, rank_correlation, ranks
from tests.support import oracles


@given(st.integers(0, 10**6), st.sampled_from([2, 5, 1000]))
def test_it_agrees_with_the_definition(seed, values):
    generator = np.random.default_rng(seed)
    one, other = generator.integers(values, size=(2, 1, 5, 4)).astype(np.float32)
    one[0, 0, 0], other[0, 0, 1] = values, values  # not constant
    got = rank_correlation(torch.tensor(one)[None], torch.tensor(other)[None])
    assert got.shape == (1,)
    assert got.item() == pytest.approx(oracles.spearman(one.astype(float), other.astype(float)), abs=1e-6)
    assert ranks(torch.tensor(one).flatten()[None])[0].tolist() == oracles.mean_ranks(one.flatten().tolist()).tolist()


def test_it_agrees_with_torchmetrics_on_a_batch(device):
    one, other = torch.rand(2, 3, 1, 16, 16).to(device)
    theirs = spearman_corrcoef(one.flatten(1).T, other.flatten(1).T)
    assert torch.allclose(rank_correlation(one, other), theirs, atol=1e-5)


def test_only_the_order_counts():
    one, other = torch.rand(2, 2, 1, 8, 8)
    expected = rank_correlation(one, other)
    assert torch.equal(rank_correlation(one.exp(), 3 * other - 1), expected)
    assert torch.equal(rank_correlation(-one, other), -expected)
    assert rank_correlation(one, one).tolist() == [1.0, 1.0]


def test_large_maps_of_two_values_have_the_phi_coefficient():
    one, other = torch.zeros(2, 1, 1, 300, 300)
    one[..., :200], other[..., :150, :] = 1, 1  # independent
    assert rank_correlation(one, other).item() == pytest.approx(0, abs=1e-6)
    other = torch.zeros(1, 1, 300, 300)
    other[..., :100] = 1  # inside the first: phi = (n n11 - n1 m1) / sqrt(n1 n0 m1 m0)
    assert rank_correlation(one, other).item() == pytest.approx((3 * 1 - 2 * 1) / math.sqrt(2 * 1 * 1 * 2), abs=1e-6)


def test_constant_and_broken_maps_are_undefined_and_counted():
    maps = torch.rand(3, 1, 4, 4)
    others = maps.clone()
    others[0], others[1, 0, 0, 0] = 0.3, torch.nan
    found = rank_correlation(maps, others)
    assert found.isnan().tolist() == [True, True, False]
    assert rank_correlation(others, maps).isnan().tolist() == [True, True, False]
    metric = RankCorrelation()
    metric.update(maps, others)
    assert (metric.compute().item(), metric.skipped.item()) == (1.0, 2)
