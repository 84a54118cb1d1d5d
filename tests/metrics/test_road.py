"""ROAD: against a slow version, and by hand."""

import pytest
import torch

from explainer.errors import InputError
from explainer.infill import Constant, Local, NoisyLinear
from explainer.metrics import ROAD, scores_after_removal
from tests.support import removal_oracles
from tests.support.small_judged import judged


def red(picture):
    return picture[0].mean()


@pytest.mark.parametrize("fill", [Constant((0.2, 0.2, 0.2)), Local(3)])
@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_both_orders_against_a_slow_version(fill, batch_size):
    mask = torch.rand(3, 1, 5, 6, dtype=torch.float64)
    image = torch.rand(3, 3, 5, 6, dtype=torch.float64)
    metric = ROAD((0.1, 0.5, 0.9), fill, batch_size=batch_size)
    found = metric.measure(judged(mask, image=image)).value

    def slow(x, shown):
        filled = fill(torch.from_numpy(x)[None], torch.from_numpy(shown)[None, None])
        return filled.expand(1, 3, 5, 6)[0].numpy()

    for n in range(3):
        want = removal_oracles.road(mask[n, 0].numpy(), image[n].numpy(), slow, red, (0.1, 0.5, 0.9))
        assert found[n].item() == pytest.approx(want, abs=1e-7)


def test_the_right_order_is_worth_most_and_its_opposite_as_much_less():
    """Half of the image is red, and black stands for what is gone."""
    image = torch.zeros(1, 3, 4, 4)
    image[:, 0, :2] = 1
    metric = ROAD((0.5,), Constant((0.0, 0.0, 0.0)))
    right = judged(image[:, :1].clone(), image=image)
    assert metric.measure(right).value.item() == pytest.approx(0.5)
    assert metric.measure(right._replace(mask=1 - right.mask)).value.item() == pytest.approx(-0.5)
    constant = torch.full((1, 1, 4, 4), 0.5)
    assert metric.measure(right._replace(mask=constant)).value.item() == 0


def test_the_noise_is_one_for_all_pictures_and_depends_on_the_seed():
    mask, image = torch.rand(2, 1, 8, 8), torch.rand(2, 3, 8, 8)
    given_ones = judged(mask, image=image)
    infill = NoisyLinear(noise=0.3)
    first = ROAD(infill=infill).measure(given_ones).value
    assert torch.equal(ROAD(infill=infill).measure(given_ones).value, first)
    torch.testing.assert_close(ROAD(infill=infill, batch_size=1).measure(given_ones).value, first)
    assert not torch.equal(ROAD(infill=infill, seed=1).measure(given_ones).value, first)


def test_the_first_pixels_are_gone():
    place = torch.arange(16.0).view(1, 1, 4, 4)
    seen = []

    def score(pictures, owner):
        seen.append(pictures)
        return pictures.mean((1, 2, 3))

    scores_after_removal(place, torch.ones(1, 3, 4, 4), lambda x, m: torch.zeros_like(x), score, (0.25,))
    assert seen[0][0, 0].tolist() == [[1.0] * 4] * 3 + [[0.0] * 4]


def test_numbers_out_of_range():
    with pytest.raises(InputError, match="ROAD: fractions must not be empty"):
        ROAD(())
    with pytest.raises(InputError, match="ROAD: fractions"):
        ROAD((0.5, 1.5))
    with pytest.raises(InputError, match="ROAD: batch_size must be positive"):
        ROAD(batch_size=0)
    with pytest.raises(InputError, match="ROAD: seed"):
        ROAD(seed=-1)
