"""Critics: spectral normalisation."""

import pytest
import torch

from explainer.networks.generative.critics import Critic


def test_spectral_normalisation_bounds_the_critic():
    layer = Critic(width=4).features[0].train()
    for _ in range(30):
        layer(torch.rand(1, 3, 8, 8))
    assert torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2).item() == pytest.approx(1, abs=0.02)
