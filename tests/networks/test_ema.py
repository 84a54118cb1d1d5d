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
        average.update_parameters(network)
        kept = min(0.5, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept)
        assert average.module[0].weight.item() == pytest.approx(expected, abs=1e-6)
    assert decay_at(12, 0.5) == 0.5
    assert int(average.n_averaged) == 1 + 12
    network.train()(torch.rand(4, 1))
    average.update_parameters(network)
    assert int(average.module[1].num_batches_tracked) == 1
    assert not average.train().module.training
    assert not any(p.requires_grad for p in average.parameters())


def test_an_average_of_an_earlier_checkpoint_is_loaded_under_its_new_names():
    """Its tensors were called network.… and updates; a training goes on with the same numbers."""
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = Average(network, 0.9)
    for _ in range(3):
        nn.init.normal_(network[0].weight)
        average.update_parameters(network)
    state = {f"a.network.{name}": tensor for name, tensor in average.module.state_dict().items()}
    state["a.updates"] = torch.tensor(3)
    resumed = nn.ModuleDict({"a": Average(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), 0.9)})
    resumed.load_state_dict(state)
    for follower in (average, resumed["a"]):
        follower.update_parameters(network)
    assert all(torch.equal(v, average.state_dict()[k]) for k, v in resumed["a"].state_dict().items())
    assert "a.updates" in state
