"""The energy-based pointing game: against a slow version and by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explainer.metrics import EnergyPointing, energy_inside, proportion_outside
from tests.support import oracles
from tests.support.small_judged import judged
from tests.support.small_masks import drawn

VOID = 255
# The energy-based pointing game


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_energy_pixel_by_pixel(seed):
    mask, truth, weight = drawn(seed)
    mask[1] = 0
    got = energy_inside(mask, truth)
    for n in range(len(mask)):
        want = oracles.energy_on(mask[n, 0].numpy(), truth[n, 0].numpy() > 0)
        assert got[n].item() == pytest.approx(want, nan_ok=True)
    seen = energy_inside(mask, truth, weight)
    torch.testing.assert_close(seen + proportion_outside(mask, truth, weight), torch.ones_like(seen) + 0 * seen,
                               equal_nan=True)  # fmt: skip


def test_energy_by_hand():
    mask = torch.tensor([[[[0.2, 0.6, 0.2, 1.0]]]])
    boxes = [torch.tensor([[1.0, 0.0, 3.0, 1.0]])]
    segmentation = torch.tensor([[[[0, 1, 0, VOID]], [[1, 0, 1, VOID]], [[0, 0, 0, VOID]]]], dtype=torch.uint8)
    given_one = judged(mask, boxes=boxes, segmentation=segmentation)
    assert EnergyPointing().measure(given_one).value.item() == pytest.approx(0.8 / 2.0)
    assert EnergyPointing("segmentation").measure(given_one).value.item() == pytest.approx(0.6)
    halves = judged(torch.full((1, 1, 1, 4), 0.3), boxes=boxes)
    assert EnergyPointing().measure(halves).value.item() == pytest.approx(0.5)  # a constant map: the object's area
