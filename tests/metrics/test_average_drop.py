"""Average drop and increase: against a slow version, and by hand."""

import pytest
import torch

from explainer.metrics import AverageDrop, AverageIncrease, relative_drop
from tests.support import removal_oracles
from tests.support.small_judged import judged


def test_both_against_a_slow_version():
    mask = torch.rand(5, 1, 6, 7, dtype=torch.float64)
    image = torch.rand(5, 3, 6, 7, dtype=torch.float64)
    given_ones = judged(mask, image=image, fill=lambda images, masks: torch.full_like(images, 0.6))
    drop, increase = (metric().measure(given_ones).value for metric in (AverageDrop, AverageIncrease))
    for n in range(5):
        m, x = mask[n, 0].numpy(), image[n, 0].numpy()
        want = removal_oracles.drop_and_increase(x.mean(), (m * x + (1 - m) * 0.6).mean())
        assert (drop[n].item(), increase[n].item()) == pytest.approx(want)


def test_by_hand():
    assert relative_drop(torch.tensor([0.5, 0.5]), torch.tensor([0.0, 0.6])).tolist() == [1.0, 0.0]
    image = torch.ones(2, 3, 4, 4)
    mask = torch.ones(2, 1, 4, 4)
    mask[0, :, :1] = 0  # a quarter of the red is gone
    given_ones = judged(mask, image=image)
    assert AverageDrop().measure(given_ones).value.tolist() == [0.25, 0.0]
    assert AverageIncrease().measure(given_ones).value.tolist() == [0.0, 0.0]  # as much is no more
