"""The average of weights in closed form."""

import pytest
import torch
from torch import nn

from explainer.networks.ema import Average, decay_at


def test_the_average_in_closed_form():
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    nn.init.zeros_(network[0].weight)
    average = Average(network, 0.5)
    network[0].weight.data.fill_(1.0)
    expected = 0.0
    for step in range(12):
        average.update(network)
        kept = min(0.5, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept)
        assert average.network[0].weight.item() == pytest.approx(expected, abs=1e-6)
    assert decay_at(12, 0.5) == 0.5
    assert int(average.updates) == 12
    network.train()(torch.rand(4, 1))
    average.update(network)
    assert int(average.network[1].num_batches_tracked) == 1
    assert not average.train().network.training
    assert not any(p.requires_grad for p in average.parameters())
