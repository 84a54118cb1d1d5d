"""Smallest boxes around regions, and masks of logits."""

import torch

from explainer.functional.masking import mask_of, smallest_box
from tests.support import oracles
from tests.support.small_masks import regions


def test_smallest_boxes():
    for own, box in zip(regions(), smallest_box(regions()).tolist(), strict=True):
        assert tuple(box) == oracles.bounding_box(own[0].numpy())
    assert smallest_box(torch.zeros(0, 1, 4, 4, dtype=torch.bool)).shape == (0, 4)


def test_a_mask_keeps_the_order_of_its_logits_where_the_sigmoid_has_ties():
    logits = torch.tensor(
        [-2300.0, -400.0, -150.0, -20.0, -10.0, -1.0, 0.0, 3.0, 10.0, 12.0, 18.0, 170.0, 540.0, 2300.0]
    )
    masks = mask_of(logits)
    assert len(logits.sigmoid().unique()) < len(logits)
    assert bool((masks.diff() > 0).all())
    assert 0 < masks.min() < masks.max() < 1
    torch.testing.assert_close(masks, logits.sigmoid(), atol=5e-5, rtol=0)
    between = logits[logits.abs() <= 10]
    assert torch.equal(mask_of(between), between.sigmoid())


def test_a_mask_of_no_number_or_no_bound():
    masks = mask_of(torch.tensor([torch.nan, torch.inf, -torch.inf]))
    assert masks[0].isnan()
    assert masks[1:].tolist() == [1.0, 0.0]
