"""Proportion outside: against a slow version and by hand."""

import numpy as np
import pytest
import torch

from explainer.metrics import ProportionOutside, inside_boxes, proportion_outside, truth_boxes
from tests.support import oracles
from tests.support.small_judged import judged
from tests.support.small_masks import SIDE, regions


@pytest.mark.parametrize("binary", [True, False])
def test_proportion_outside_pixel_by_pixel(binary):
    mask, truth = torch.rand(6, 1, 5, 7, dtype=torch.float64), regions()[:, :, :5, :7].double()
    mask = (mask > 0.6).double() if binary else mask
    mask[2] = 0
    got = proportion_outside(mask, truth)
    for n in range(6):
        want = oracles.share_outside(mask[n, 0].numpy(), truth[n, 0].numpy() > 0)
        assert got[n].item() == pytest.approx(want, nan_ok=True)
    assert got[0].isnan()
    assert got[1] == 0


def test_nothing_salient_says_as_much_as_a_constant_map():
    truth = torch.zeros(1, 1, 4, 4)
    truth[..., :3] = 1
    assert proportion_outside(torch.zeros(1, 1, 4, 4), truth).item() == pytest.approx(0.25)
    assert proportion_outside(torch.full((1, 1, 4, 4), 0.3), truth).item() == pytest.approx(0.25)


def test_void_pixels_do_not_count():
    mask, truth, weight = torch.ones(1, 1, 1, 4), torch.tensor([[[[1.0, 0, 0, 0]]]]), torch.tensor([[[[1.0, 1, 0, 0]]]])
    assert proportion_outside(mask, truth, weight).item() == 0.5


def test_pixels_inside_boxes():
    boxes = torch.tensor([[0.6, 1.0, 3.4, 2.6], [4.0, 0.0, 5.0, 1.0]])
    inside = inside_boxes([boxes, torch.zeros(0, 4)], (4, 6))
    wanted = np.zeros((4, 6))
    wanted[1:3, 1:3] = wanted[0, 4] = 1  # centres at a half
    np.testing.assert_array_equal(inside[0, 0].numpy(), wanted)
    assert not inside[1].any()


@pytest.mark.parametrize("truth", ["boxes", "segmentation"])
def test_proportion_outside_as_a_metric_counts_images_without_truth(truth):
    mask = torch.rand(3, 1, SIDE, SIDE)
    segmentation = torch.zeros(3, 3, SIDE, SIDE, dtype=torch.uint8)
    segmentation[:2, 0, 2:5, 2:7] = 1
    segmentation[2] = 255
    boxes = truth_boxes(segmentation, torch.eye(3)[:1].expand(3, 3))
    for binary in (True, False):
        metric = ProportionOutside(truth, binary)
        metric.update(judged(mask, 0.4, boxes, segmentation=segmentation))
        shown = (mask > 0.4).float() if binary else mask
        want = [oracles.share_outside(shown[n, 0].numpy(), segmentation[n, 0].numpy() == 1) for n in range(2)]
        assert metric.compute().item() == pytest.approx(np.mean(want))
        assert (int(metric.count), int(metric.skipped)) == (2, 1)
    assert ProportionOutside("segmentation").measure(judged(mask)).value.isnan().all()
