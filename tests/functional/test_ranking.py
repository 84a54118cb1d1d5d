"""The share of an image that a map ranks first."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explainer.functional.ranking import spread_shares, top_share


def slow_share(values, share, temperature):
    """One map in float64: the border lies between two neighbours in the order."""
    ordered = sorted(values.flatten())
    count = len(ordered)
    place = min(max((1 - share) * count - 0.5, 0), count - 1)
    low, part = int(place), place - int(place)
    border = ordered[low] * (1 - part) + ordered[min(low + 1, count - 1)] * part
    return 1 / (1 + np.exp(-(values - border) / (temperature * values.std())))


@pytest.mark.parametrize("share", [0.0, 0.03, 0.25, 0.5, 0.93, 1.0])
def test_shares_equal_the_definition(share):
    values = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ours = top_share(values, torch.tensor(share, dtype=torch.float64), 0.3)
    theirs = np.stack([[slow_share(m, share, 0.3) for m in row] for row in values.numpy()])
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-9, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 99), kept=st.integers(0, 30), scale=st.floats(0.1, 50), shift=st.floats(-20, 20))
def test_a_narrow_border_keeps_as_many_pixels_as_the_share_whatever_the_scale(seed, kept, scale, shift):
    order = torch.randperm(30, generator=torch.Generator().manual_seed(seed)).double().view(5, 6)
    share = torch.tensor(kept / 30, dtype=torch.float64)
    mask = top_share(scale * order + shift, share, 1e-3)
    inside = order >= 30 - kept
    # at both ends there is no neighbour to part from: the last pixel stands on the border
    sure = (mask - 0.5).abs() > 1e-6
    assert torch.equal(mask[sure] > 0.5, inside[sure])
    assert int((~sure).sum()) == (kept in (0, 30))


def test_each_map_has_a_share_of_its_own():
    values = torch.arange(16.0).view(1, 1, 4, 4).expand(3, 1, 4, 4)
    masks = top_share(values, torch.tensor([[0.25], [0.5], [0.75]]), 0.01)
    assert masks.round().sum((1, 2, 3)).tolist() == [4, 8, 12]


def test_gradients_rise_at_the_border_alone_and_a_constant_map_has_finite_ones():
    values = torch.arange(16.0).view(4, 4).requires_grad_()
    top_share(values, torch.tensor(0.5), 0.1).sum().backward()
    assert (values.grad >= 0).all()
    assert values.grad.flatten().argsort(descending=True)[:2].sort().values.tolist() == [7, 8]
    constant = torch.ones(4, 4, requires_grad=True)
    mask = top_share(constant, torch.tensor(0.5))
    mask.sum().backward()
    assert torch.equal(mask, torch.full((4, 4), 0.5))
    assert constant.grad.isfinite().all()


@given(count=st.integers(1, 40), offset=st.floats(0, 0.999))
def test_shares_lie_one_in_each_part(count, offset):
    shares = spread_shares(count, torch.tensor(offset, dtype=torch.float64))
    assert (shares * count + 1e-9).floor().tolist() == list(range(count))
