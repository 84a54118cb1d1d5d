"""The pointing game: against a slow version and by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explainer.errors import InputError
from explainer.metrics import EnergyPointing, PointingGame, near, pointing_hit, truth_boxes
from tests.support import oracles
from tests.support.small_judged import judged
from tests.support.small_masks import drawn

# The pointing game


@pytest.mark.parametrize("distance", [0.0, 1.0, 1.5, 2.9])
@given(seed=st.integers(0, 10_000), plateaus=st.booleans())
@settings(max_examples=6, deadline=None)
def test_pointing_pixel_by_pixel(distance, seed, plateaus):
    mask, truth, weight = drawn(seed, plateaus=plateaus)
    for counts in (None, weight):
        got = pointing_hit(mask, truth, distance, counts)
        for n in range(len(mask)):
            own = None if counts is None else counts[n, 0].numpy() > 0
            want = oracles.points_at(mask[n, 0].numpy(), truth[n, 0].numpy() > 0, distance, own)
            assert got[n].item() == pytest.approx(want, nan_ok=True)
    assert got[0].isnan()


def test_pointing_by_hand():
    mask, truth = torch.zeros(1, 1, 7, 7), torch.zeros(1, 1, 7, 7)
    mask[0, 0, 0, 0] = 1
    truth[0, 0, 3, 4] = 1  # 5 pixels away
    assert [pointing_hit(mask, truth, d).item() for d in (0.0, 4.99, 5.0, 50.0)] == [0, 0, 1, 1]
    mask[0, 0, 3, 4] = 1  # a second maximum, on the object
    assert pointing_hit(mask, truth, 0.0).item() == 0.5
    assert pointing_hit(torch.full_like(mask, 0.3), truth, 0.0).item() == pytest.approx(1 / 49)  # chance


def test_a_maximum_on_void_counts_only_as_a_hit():
    truth, weight = torch.tensor([[[[1.0, 0, 0, 0]]]]), torch.tensor([[[[1.0, 0, 0, 1]]]])
    for place, want in enumerate([1.0, 1.0, math.nan, 0.0]):
        mask = torch.eye(4)[place].view(1, 1, 1, 4)
        assert pointing_hit(mask, truth, 1.0, weight).item() == pytest.approx(want, nan_ok=True)


def test_the_disc_is_round_and_does_not_wrap():
    point = torch.zeros(1, 1, 9, 9)
    point[0, 0, 4, 0] = 1
    found = near(point, 3.0)[0, 0]
    want = [[(i - 4) ** 2 + j**2 <= 9 for j in range(9)] for i in range(9)]
    assert found.tolist() == want


def test_the_tolerance_is_scaled_to_the_judged_image():
    mask, segmentation = torch.zeros(1, 1, 30, 50), torch.zeros(1, 3, 30, 50, dtype=torch.uint8)
    mask[0, 0, 10, 10] = 1
    segmentation[0, 0, 10, 13:] = 1  # 3 pixels of 50 away: 30 of an original of 500
    given_one = judged(mask, segmentation=segmentation, boxes=truth_boxes(segmentation, torch.eye(3)[:1]))
    for truth in ("boxes", "segmentation"):
        hits = {(tolerance, side): PointingGame(tolerance, side, truth).measure(given_one).value.item()
                for tolerance, side in [(15, 500), (29, 500), (30, 500), (2.9, None), (3, None)]}  # fmt: skip
        assert list(hits.values()) == [0, 0, 1, 0, 1]


def test_any_labelled_object_will_do():
    mask = torch.zeros(3, 1, 8, 8)
    mask[0, 0, 2, 2] = mask[1, 0, 6, 6] = mask[2, 0, 2, 6] = 1
    boxes = [torch.tensor([[1.0, 1, 4, 4], [5, 5, 8, 8]])] * 3
    assert PointingGame(0).measure(judged(mask, boxes=boxes)).value.tolist() == [1, 1, 0]


# Bad input


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PointingGame(-1.0), "metric PointingGame: tolerance must be at least 0, got -1.0"),
        (lambda: PointingGame(math.nan), "tolerance must be at least 0, got nan"),
        (lambda: PointingGame(side=0), "metric PointingGame: side must be positive, got 0"),
        (lambda: PointingGame(truth="box"), "metric PointingGame: truth is 'boxes' or 'segmentation', got 'box'"),
        (lambda: EnergyPointing("mask"), "metric EnergyPointing: truth is 'boxes' or 'segmentation', got 'mask'"),
    ],
)
def test_settings_that_cannot_be(make, words):
    with pytest.raises(InputError, match=words):
        make()
