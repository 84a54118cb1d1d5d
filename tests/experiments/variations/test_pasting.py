"""Pasting without a seam."""

import numpy as np
import pytest
import torch

from explainer.experiments.variations.pasting import seamless
from tests.support import oracles


@pytest.mark.parametrize("box", [(3, 2, 9, 7), (0, 5, 4, 12), (0, 0, 14, 5), (9, 0, 14, 12), (5, 5, 6, 6)])
def test_a_seamless_patch_solves_poissons_equation(box):
    image, patch = torch.rand(3, 12, 14, dtype=torch.float64), torch.rand(2, 3, 12, 14, dtype=torch.float64)
    image, patch = 0.4 + 0.1 * image, 0.4 + 0.1 * patch  # far from where values are clipped
    got = seamless(image, patch, box)
    for k in range(2):
        for c in range(3):
            np.testing.assert_allclose(
                got[k, c], oracles.poisson(image[c].numpy(), patch[k, c].numpy(), box), atol=1e-9
            )
