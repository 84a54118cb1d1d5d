"""Infidelity: against a slow version, closed forms, and the squares themselves."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explainer.errors import InputError
from explainer.metrics import Infidelity, infidelity, random_squares
from tests.support import removal_oracles
from tests.support.small_judged import judged


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("score", ["probability", "log_odds"])
def test_against_a_slow_version(scaled, score):
    mask = torch.rand(3, 1, 9, 10, dtype=torch.float64)
    mask[2] = 0
    image = torch.rand(3, 3, 9, 10, dtype=torch.float64)
    metric = Infidelity(6, scaled=scaled, score=score, batch_size=4)
    given_ones = judged(mask, image=image, fill=lambda images, masks: 0.1 * images)
    found = metric.measure(given_ones).value
    squares = random_squares(6, (9, 10), 0.1, 0.5, torch.Generator().manual_seed(0))[:, 0].numpy()
    factor = 20 if score == "log_odds" else 1
    for n in range(3):
        want = removal_oracles.infidelity(
            mask[n, 0].numpy(), image[n].numpy(), squares, lambda x, m: 0.1 * x, lambda x: factor * x[0].mean(), scaled
        )
        assert found[n].item() == pytest.approx(want)


def test_a_map_of_what_each_pixel_is_worth_has_none_whatever_its_unit():
    """The score is the sum of red, black stands for what is gone: red itself is the right map."""
    image = torch.rand(1, 3, 12, 12, dtype=torch.float64)
    for unit in (1.0, 0.01):
        found = Infidelity().measure(judged(unit * image[:, :1], image=image)).value
        assert found.item() == pytest.approx(0, abs=1e-20)
    whole = judged(image[:, :1] / 144, image=image)
    assert Infidelity(scaled=False).measure(whole).value.item() == pytest.approx(0, abs=1e-20)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_no_factor_is_better_than_the_one_that_is_taken(seed):
    generator = torch.Generator().manual_seed(seed)
    predicted, fall = torch.rand(2, 2, 8, generator=generator, dtype=torch.float64)
    best = infidelity(predicted, fall)
    assert (best <= fall.square().mean(1) + 1e-12).all()
    for factor in (0.5, 0.9, 1.0, 1.1, 2.0):
        assert (best <= infidelity(factor * predicted, fall, scaled=False) + 1e-12).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 20), st.integers(2, 20))
def test_squares_lie_within_the_image_and_are_as_large_as_they_should_be(seed, height, width):
    squares = random_squares(5, (height, width), 0.2, 0.6, torch.Generator().manual_seed(seed))
    assert squares.shape == (5, 1, height, width)
    for square in squares[:, 0].numpy():
        rows, columns = np.nonzero(square)
        side = np.ptp(rows) + 1
        assert np.ptp(columns) + 1 == side
        assert square.sum() == side**2
        assert max(1, 0.2 * min(height, width) - 0.5) <= side <= max(1, 0.6 * min(height, width) + 0.5)


def test_numbers_out_of_range():
    for wrong in ({"samples": 0}, {"batch_size": 0}, {"smallest": -1}, {"smallest": 0.5, "largest": 0.4},
                  {"largest": 2}, {"score": "logit"}, {"seed": -1}):  # fmt: skip
        with pytest.raises(InputError, match="metric Infidelity"):
            Infidelity(**wrong)
