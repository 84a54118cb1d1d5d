"""Pointing games, box IoU, sparseness and complexity: against slow versions and by hand."""

import math

import numpy as np
import oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_judged import judged

from explainer.errors import InputError
from explainer.functional.masking import smallest_box
from explainer.metrics import (
    BoxIoU,
    Complexity,
    EnergyPointing,
    Localisation,
    PointingGame,
    Sparseness,
    best_iou,
    energy_inside,
    entropy_of,
    gini,
    near,
    pointing_hit,
    proportion_outside,
    truth_boxes,
)

VOID = 255


def drawn(seed, count=4, sides=(6, 9), plateaus=False):
    """Masks, objects and weights; the first image is without an object."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(count, 1, *sides, generator=generator, dtype=torch.float64)
    mask = (3 * mask).round() / 3 if plateaus else mask
    truth = (torch.rand(count, 1, *sides, generator=generator) < 0.1).double()
    weight = (torch.rand(count, 1, *sides, generator=generator) < 0.8).double()
    truth[0] = 0
    return mask, truth, weight


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


# The intersection over union of boxes


def test_box_iou_against_a_slow_version():
    mask = torch.rand(40, 1, 8, 8) ** 6
    truth = [torch.tensor([[1.0, 0.0, 6.0, 7.0], [3.0, 3.0, 8.0, 8.0]])[: n % 3] for n in range(40)]
    given_ones = judged(mask, 0.5, truth)
    got = BoxIoU().measure(given_ones).value
    for n in range(40):
        box = oracles.bounding_box(mask[n, 0].numpy() > 0.5)
        overlaps = [oracles.overlap_of_boxes(box, tuple(t)) for t in truth[n].tolist()]
        assert got[n].item() == pytest.approx(max(overlaps) if overlaps else math.nan, nan_ok=True)
    error = Localisation().measure(given_ones).value
    torch.testing.assert_close(error, (got <= 0.5).float() + 0 * got, equal_nan=True)


def test_box_iou_by_hand():
    box = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 4.0, 4.0]])
    truth = [torch.tensor([[2.0, 2.0, 6.0, 6.0], [9.0, 9.0, 10.0, 10.0]])] * 2 + [torch.zeros(0, 4)]
    torch.testing.assert_close(best_iou(box, truth), torch.tensor([4 / 28, 0.0, torch.nan]), equal_nan=True)
    assert best_iou(smallest_box(torch.zeros(0, 1, 4, 4, dtype=torch.bool)), []).shape == (0,)


# Sparseness and complexity


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
