"""Contextual attention: what the hole borrows, and from where."""

import pytest
import torch

from explainer.networks.generative.contextual_attention import attend, lendable, propagated
from tests.support.small_masks import with_hole


def texture(size, period=4):
    """Diagonal stripes, a channel a phase: (1, period, size, size)."""
    place = torch.arange(size)
    return torch.stack([(place[:, None] + place) % period == k for k in range(period)])[None].float()


@pytest.mark.parametrize("rate", [1, 2])
def test_attention_continues_a_repeated_texture_into_the_hole(rate):
    whole, known = texture(16), with_hole()
    holed = whole * known + 0.01
    hole = (known == 0).expand_as(whole)
    before = (holed - whole).abs()[hole].mean()
    found = (attend(holed, known, rate=rate) - whole).abs()[hole].mean()
    assert before > 0.2
    assert found < 0.05
    grown = (attend(holed, known, rate=rate, reach=0) - whole).abs()[hole].mean()
    assert grown > 2 * found  # the middle of the hole resembles nothing: neighbours must say what it borrows


def test_attention_borrows_nothing_from_the_hole():
    features, known = torch.rand(1, 4, 16, 16), with_hole()
    features[0, 0] = (1 - known[0, 0]) * 5  # only the hole has channel 0
    assert attend(features, known, rate=1, patch=1, reach=0)[:, 0].abs().max() == 0


def test_few_whole_patches_still_lend():
    known = (torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    allowed = lendable(known, 3)
    assert 256 // 8 <= int(allowed.sum()) < 256
    assert bool(lendable(torch.zeros(1, 1, 8, 8), 3).all())
    assert lendable(with_hole(), 1).view(16, 16)[5:10, 5:10].sum() == 0


def test_propagation_sums_over_equal_shifts_of_both():
    scores = torch.rand(1, 3, 4, 3, 4, dtype=torch.float64)
    slow = torch.zeros_like(scores)
    for y in range(3):
        for x in range(4):
            for v in range(3):
                for u in range(4):
                    for i in (-1, 0, 1):
                        for j in (-1, 0, 1):
                            inside = all((0 <= y + i < 3, 0 <= v + i < 3, 0 <= x + j < 4, 0 <= u + j < 4))
                            if inside:
                                slow[0, y, x, v, u] += scores[0, y + i, x + j, v + i, u + j]
    torch.testing.assert_close(propagated(scores, 1), slow)
