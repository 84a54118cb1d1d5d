"""Random holes follow their seed and their weights."""

import pytest
import torch

from explainer.errors import InputError
from explainer.functional import random_masks as holes

KINDS = {"boxes": holes.boxes, "strokes": holes.strokes, "blotches": holes.blotches, "speckles": holes.speckles}


@pytest.mark.parametrize("name", KINDS)
def test_holes_are_masks_that_follow_their_seed(name):
    make = KINDS[name]
    state = torch.get_rng_state()
    first, again, other = (make(16, (32, 40), torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (16, 1, 32, 40)
    assert set(first.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(state, torch.get_rng_state())
    assert make(0, (32, 40), torch.Generator()).shape == (0, 1, 32, 40)


def test_boxes_are_boxes_anywhere():
    masks = holes.boxes(400, (40, 40), torch.Generator().manual_seed(0))[:, 0] == 0
    for mask in masks[:40]:
        rows, columns = mask.any(1), mask.any(0)
        assert int(mask.sum()) == int(rows.sum()) * int(columns.sum())
        assert 8 <= int(rows.sum()) <= 24
    assert masks.any(0).all()


def test_speckles_are_single_pixels_of_every_share():
    hidden = holes.speckles(400, (32, 32), torch.Generator().manual_seed(0)) == 0
    share = hidden.float().mean((1, 2, 3))
    assert 0.1 < share.min() + 0.03 < 0.2
    assert 0.8 < share.max() - 0.03 < 0.9
    both = (hidden[..., 1:] & hidden[..., :-1]).float().mean((1, 2, 3))
    torch.testing.assert_close(both, share.square(), atol=0.05, rtol=0)  # a pixel tells nothing of the next


def test_holes_are_drawn_as_often_as_their_weights_say():
    only = holes.Holes(boxes=0, strokes=0, blotches=1).draw(8, (32, 32), torch.Generator().manual_seed(0))
    boxed = sum(
        int(m.sum()) == int(m.any(1).sum()) * int(m.any(0).sum())
        for m in holes.Holes(1, 0, 1).draw(300, (32, 32), torch.Generator().manual_seed(0))[:, 0] == 0
    )
    assert ((only == 0).flatten(1).any(1) & (only == 1).flatten(1).any(1)).all()
    assert 110 < boxed < 190


@pytest.mark.parametrize("weights", [(0, 0, 0), (1, -1, 1)])
def test_holes_of_no_weight(weights):
    with pytest.raises(InputError, match="weights must not be negative, and one must be positive"):
        holes.Holes(*weights)


def test_the_window_holds_the_hole():
    for seed in range(20):
        mask = holes.boxes(1, (32, 32), torch.Generator().manual_seed(seed))
        corner = holes.window(mask, (20, 20))
        inside = holes.crop(mask, corner, (20, 20))
        assert inside.shape == (1, 1, 20, 20)
        assert int((inside == 0).sum()) == int((mask == 0).sum())
    assert holes.window(torch.ones(1, 1, 8, 8), (4, 4)).tolist() == [[0, 0]]  # no hole
