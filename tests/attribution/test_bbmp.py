"""BBMP: what its in-fill sees."""

import torch

from explainer.attribution import BBMP
from explainer.infill import Local


def test_the_threshold_of_bbmp_decides_what_its_infill_sees(explanandum, image, target):
    """BBMP-CA of FIDO's Table 2; a threshold of 0 hides only what the search has already given up."""
    maps = [BBMP(infill=Local(5), grid=4, steps=3, threshold=t)(explanandum, image, target) for t in (0.0, 0.5, 1.0)]
    assert not torch.equal(maps[0], maps[1])
    assert not torch.equal(maps[1], maps[2])
    assert torch.equal(maps[1], BBMP(infill=Local(5), grid=4, steps=3)(explanandum, image, target))
