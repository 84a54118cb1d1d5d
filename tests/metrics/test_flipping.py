"""The flipping curve: its in-fills, its order, and the pixels that are needed."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explainer.metrics import Flipping, SaliencyCrop, pixels_needed, remaining, removal_curve
from tests.support import oracles
from tests.support.small_judged import judged
from tests.support.small_masks import SIDE


@pytest.mark.parametrize("batch_size", [1, 7])
def test_flipping_asks_the_in_fill_at_every_step(batch_size):
    image = torch.rand(2, 3, 5, 6, dtype=torch.float64)
    maps = torch.rand(2, 1, 5, 6, dtype=torch.float64)

    def fill(images, masks):  # of what is visible
        return (images * masks).mean((1, 2, 3), keepdim=True) * 0.2

    given_one = judged(maps, image=image, fill=fill)
    found = Flipping(steps=6, batch_size=batch_size, least=1e-3).measure(given_one)
    for n in range(2):
        want = oracles.flipping(maps[n, 0].numpy(), image[n].numpy(), lambda x, m: (x * m).mean() * 0.2,
                                lambda x: 20 * x[0].mean(), 6)  # fmt: skip
        np.testing.assert_allclose(found.curve[n].numpy(), want, atol=1e-9)
        assert found.value[n].item() == pytest.approx(np.trapezoid(want, dx=1 / 6))


def test_an_in_fill_that_leaves_the_class_gives_no_curve():
    image = torch.ones(2, 3, SIDE, SIDE)
    image[1] = 0.02
    metric = Flipping(4, least=1.0)
    metric.update(judged(torch.rand(2, 1, SIDE, SIDE), image=image))
    assert (metric.compute().item(), int(metric.skipped)) == (pytest.approx(0.5), 1)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_the_right_order_flips_first(seed):
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(1, 3, 6, 6, generator=generator)
    right = image[:, :1]
    values = [
        Flipping(6, least=1e-6).measure(judged(maps, image=image)).value.item()
        for maps in (right, torch.rand(1, 1, 6, 6, generator=generator), -right)
    ]
    assert values[0] <= values[1] + 1e-5
    assert values[1] <= values[2] + 1e-5


def test_pixels_needed_by_hand():
    share = torch.tensor([[1.0, 0.9, 0.4, 0.5, 0.0], [math.nan] * 5])
    assert pixels_needed(share, torch.tensor([0.0, 0.1, 0.6, 1.0]))[0].tolist() == [0.0, 0.25, 0.5, 1.0]
    assert pixels_needed(share, torch.tensor([0.5]))[1].isnan().all()
    assert remaining(torch.tensor([[3.0, 2.5]]), 1.0).isnan().all()


def test_a_curve_with_an_in_fill_that_ignores_the_mask_is_the_plain_one():
    maps, image, other = torch.rand(2, 1, 6, 6), torch.rand(2, 3, 6, 6), torch.rand(1, 3, 1, 1)

    def mean(seen, owner):
        return seen.mean((1, 2, 3))

    plain = removal_curve(maps, image, other.expand_as(image), mean, 6)
    torch.testing.assert_close(removal_curve(maps, image, lambda i, m: other.expand_as(i), mean, 6), plain)


def test_what_decides_the_values_is_known():
    assert Flipping(4, batch_size=2, least=2.0).settings == {"steps": 4, "least": 2.0}
    assert SaliencyCrop().settings == {}
