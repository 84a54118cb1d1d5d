"""Activation statistics against slow versions, the paper's Table 3, and each other."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explainer.functional import activation_statistics as statistics
from explainer.functional.activation_statistics import combine, gamma_scale, normal_cdf, smoe_scale, standard_deviation

EPSILON = 1e-6


# Slow versions, one column at a time, from the equations; distributions by integrating their density.


def smoe(x):  # Eq. 1
    x = x + EPSILON
    r = len(x)
    return sum(x) / r * (math.log2(sum(x) / r) - sum(math.log2(v) for v in x) / r)


def gamma(x):  # the maximum of the likelihood over the shape, by bisection of Eq. 10's condition
    x = x + EPSILON
    s = math.log(x.mean()) - np.log(x).mean()
    digamma = lambda k: float(torch.tensor(k, dtype=torch.float64).digamma())  # noqa: E731
    low, high = 1e-9, 1e9
    for _ in range(200):
        k = math.sqrt(low * high)
        low, high = (k, high) if math.log(k) - digamma(k) > s else (low, k)
    return x.mean() / k


def shannon(x):
    p = (x + EPSILON) / (x + EPSILON).sum()
    return -sum(q * math.log2(q) for q in p)


def log_normal(x):
    mu, sigma = np.log(x + EPSILON).mean(), np.log(x + EPSILON).std()
    t = np.linspace(mu - 12 * sigma, mu + 12 * sigma, 200_001)
    density = np.exp(-((t - mu) ** 2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))  # of ln x
    entropy = np.trapezoid(density * (-np.log(density + 1e-300) + t), t) / math.log(2)
    return np.trapezoid(density * np.exp(t), t), entropy


def truncated_normal(x):
    mu, sigma = x.mean(), x.std()
    t = np.linspace(0, max(mu, 0) + 12 * sigma, 400_001)
    density = np.exp(-((t - mu) ** 2) / (2 * sigma**2))
    density = density / np.trapezoid(density, t)
    mean = np.trapezoid(density * t, t)
    entropy = -np.trapezoid(density * np.log2(density + 1e-300), t)
    return mean, math.sqrt(np.trapezoid(density * (t - mean) ** 2, t)), entropy


SLOW = {
    "smoe_scale": smoe, "gamma_scale": gamma, "shannon_entropy": shannon, "mean": np.mean, "standard_deviation": np.std,
    "log_normal_mean": lambda x: log_normal(x)[0], "log_normal_entropy": lambda x: log_normal(x)[1],
    "truncated_normal_mean": lambda x: truncated_normal(x)[0],
    "truncated_normal_std": lambda x: truncated_normal(x)[1],
    "truncated_normal_entropy": lambda x: truncated_normal(x)[2],
}  # fmt: skip


@pytest.mark.parametrize("name", SLOW)
@pytest.mark.parametrize("channels", [3, 8, 13])
def test_statistics_agree_with_the_slow_versions(name, channels):
    draw = np.random.default_rng(channels)
    columns = draw.gamma(1.5, 1.0, (6, channels)) + 0.05
    if name.startswith("truncated"):
        columns = columns - draw.uniform(0, 2.5, (6, 1))
    activation = torch.from_numpy(columns.T.copy()).view(1, channels, 2, 3)
    got = getattr(statistics, name)(activation)
    assert got.shape == (1, 1, 2, 3)
    np.testing.assert_allclose(got.flatten().numpy(), [SLOW[name](c) for c in columns], rtol=2e-5, atol=1e-8)
    single = getattr(statistics, name)(activation.float())
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.numpy(), got.numpy(), rtol=3e-4, atol=1e-5)


@pytest.mark.parametrize(("pair", "mean", "deviation", "scale"), [
    ((0.5, 1), 0.75, 0.25, 0.064), ((1, 2), 1.5, 0.5, 0.127), ((2, 4), 3, 1, 0.255), ((2, 3), 2.5, 0.5, 0.074),
    ((0.6125, 1.8375), 1.225, 0.6125, 0.254),
])  # fmt: skip
def test_the_papers_table_3(pair, mean, deviation, scale):
    column = torch.tensor(pair).float().repeat(4).view(1, 8, 1, 1)
    assert statistics.mean(column).item() == pytest.approx(mean)
    assert standard_deviation(column).item() == pytest.approx(deviation)
    assert round(smoe_scale(column).item(), 3) == scale


def ranks(values):
    return values.flatten().double().argsort().argsort().double()


def spearman(a, b):
    return float(torch.corrcoef(torch.stack([ranks(a), ranks(b)]))[0, 1])


def test_smoe_orders_as_the_iterative_gamma_scale_only_where_the_means_differ():
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        activation = torch.randn(1, 64, 40, 40, generator=generator).relu() * torch.rand(1, 1, 40, 40)
        assert spearman(smoe_scale(activation), gamma_scale(activation)) >= 0.999
    noise = torch.randn(1, 64, 40, 40, generator=generator).relu()  # one scale everywhere: not equivalent after all
    assert 0.98 < spearman(smoe_scale(noise), gamma_scale(noise)) < 0.999


@pytest.mark.parametrize("name", SLOW)
def test_constant_and_extreme_columns_are_finite(name):
    for value in (0.0, 1.0, 1e-20, 1e4):
        got = getattr(statistics, name)(torch.full((1, 16, 2, 2), value))
        assert got.isfinite().all(), value
    spiky = torch.zeros(1, 16, 1, 1)
    spiky[0, 3] = 100
    assert getattr(statistics, name)(spiky).isfinite().all()


def test_smoe_of_equal_channels_is_zero():
    for value in (0.0, 0.3, 7.0, 1000.0):
        assert abs(smoe_scale(torch.full((1, 7, 1, 1), value, dtype=torch.float64)).item()) < 1e-12 * max(1, value)


@given(seed=st.integers(0, 10_000), factor=st.floats(0.1, 50))
@settings(max_examples=25, deadline=None)
def test_smoe_grows_with_the_activation_and_ignores_the_order_of_channels(seed, factor):
    activation = torch.rand(1, 9, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1
    scale = smoe_scale(activation)
    assert (scale > 0).all()
    torch.testing.assert_close(smoe_scale(activation * factor), scale * factor, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(smoe_scale(activation[:, torch.randperm(9)]), scale)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_truncated_normal_far_below_and_far_above_the_cut(seed):
    before = torch.randn(1, 12, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    above = before + 50  # nothing is cut off
    torch.testing.assert_close(statistics.truncated_normal_mean(above), above.mean(1, keepdim=True))
    torch.testing.assert_close(statistics.truncated_normal_std(above), above.std(1, correction=0, keepdim=True))
    below = before - 50  # an exponential tail is left
    assert (statistics.truncated_normal_mean(below) < 0.1).all()
    assert statistics.truncated_normal_entropy(below).isfinite().all()


def test_normal_cdf_of_each_map():
    maps = torch.randn(3, 1, 5, 6, dtype=torch.float64) * torch.tensor([1.0, 100.0, 1e-3]).view(3, 1, 1, 1)
    got = normal_cdf(maps)
    for n in range(3):
        values = maps[n].flatten().numpy()
        z = (values - values.mean()) / values.std(ddof=1)
        want = [0.5 * (1 + math.erf(v / math.sqrt(2))) for v in z]
        np.testing.assert_allclose(got[n].flatten().numpy(), want, atol=1e-12)
    for constant in (0.0, 0.1, 1234.5):
        assert (normal_cdf(torch.full((1, 1, 7, 7), constant)) == 0.5).all()
    assert normal_cdf(torch.ones(1, 1, 1, 1)).item() == 0.5


def test_combined_map_is_the_weighted_mean_of_squashed_then_upsampled_maps():
    maps = [torch.rand(2, 1, 8, 8), torch.rand(2, 1, 2, 2)]
    up = torch.nn.functional.interpolate(normal_cdf(maps[1]), (8, 8), mode="bilinear", align_corners=False)
    torch.testing.assert_close(combine(maps, (1, 3), (8, 8)), (normal_cdf(maps[0]) + 3 * up) / 4)


@pytest.mark.parametrize("weights", [(1,), (0, 0), (1, -1), (1, 2, 3)])
def test_weights_that_are_no_weights(weights):
    with pytest.raises(ValueError, match="weights"):
        combine([torch.rand(1, 1, 4, 4)] * 2, weights, (8, 8))


@pytest.mark.parametrize("name", statistics.LOGARITHMIC)
def test_epsilon_is_the_papers_or_as_given(name):
    """The paper adds 1e-6, the public code 1e-7."""
    function = getattr(statistics, name)
    activation = torch.rand(1, 13, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    activation[activation < 0.3] = 0
    assert torch.equal(function(activation), function(activation, epsilon=1e-6))
    assert not torch.equal(function(activation), function(activation, epsilon=1e-7))
    shifted = function(activation + (1e-7 - 1e-9), epsilon=1e-9)
    torch.testing.assert_close(function(activation, epsilon=1e-7), shifted)
    single = function(torch.zeros(1, 16, 2, 2), epsilon=statistics.SMALLEST_EPSILON)
    assert single.isfinite().all()
    for wrong in (0.0, -1e-6, 1e-12, 2.0, math.nan):
        with pytest.raises(ValueError, match="epsilon must lie between 1e-09 and 1"):
            function(activation, epsilon=wrong)


def test_the_gamma_scale_grows_with_s_as_in_the_papers_figure_6():
    """Columns of one mean: k falls as s grows, so both scales grow."""
    spread = torch.linspace(0.05, 0.95, 40, dtype=torch.float64)
    columns = torch.stack([1 - spread, 1 + spread]).view(1, 2, 1, 40)
    for scale in (smoe_scale(columns), gamma_scale(columns)):
        assert (scale.diff(dim=-1) > 0).all()


def test_the_papers_prior_weights():
    assert statistics.PRIOR_WEIGHTS == (0.18, 0.15, 0.37, 0.4, 0.72)
