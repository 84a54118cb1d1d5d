"""Smallest boxes around regions."""

import torch

from explainer.functional.masking import smallest_box
from tests.support import oracles
from tests.support.small_masks import regions


def test_smallest_boxes():
    for own, box in zip(regions(), smallest_box(regions()).tolist(), strict=True):
        assert tuple(box) == oracles.bounding_box(own[0].numpy())
    assert smallest_box(torch.zeros(0, 1, 4, 4, dtype=torch.bool)).shape == (0, 4)
