"""Box IoU: against a slow version and by hand."""

import math

import pytest
import torch

from explainer.functional.masking import smallest_box
from explainer.metrics import BoxIoU, Localisation, best_iou
from tests.support import oracles
from tests.support.small_judged import judged


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
