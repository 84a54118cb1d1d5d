"""Random weights, for as long as a network is looked at."""

import pytest
import torch
from torch import nn

from explainer.networks import Explanandum
from explainer.networks.randomise import Layer, layers_of, randomise, randomised
from tests.support.small_checkpoints import save_classifier


def state_of(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def small():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)).eval()
    network(torch.rand(2, 3, 4, 4))
    network[1].running_mean.fill_(0.7)
    return network.requires_grad_(False)


class Crossed(nn.Module):
    """Defined in another order than it runs, with a weight of its own and a layer that never runs as a module."""

    def __init__(self):
        super().__init__()
        self.last, self.first, self.bias = nn.Linear(3, 3), nn.Linear(3, 3), nn.Parameter(torch.ones(3))
        self.attention = nn.MultiheadAttention(3, 1, batch_first=True)

    def forward(self, x):
        x = self.first(x) + self.bias
        return self.last(self.attention(x, x, x)[0])


def test_layers_come_in_the_order_in_which_they_run(device):
    network = Crossed().to(device)
    network.train()
    layers = layers_of(network, lambda: network(torch.rand(1, 2, 3, device=device)))
    assert layers == [
        Layer("", ("",)), Layer("first", ("first",)), Layer("attention", ("attention", "attention.out_proj")),
        Layer("last", ("last",)),
    ]  # fmt: skip
    assert network.training
    assert not any(m._forward_pre_hooks for m in network.modules())


@pytest.mark.parametrize("how", ["initialise", "shuffle"])
def test_afterwards_the_network_is_as_before(how, device):
    network = small().to(device)
    before = state_of(network)
    layers = layers_of(network, lambda: network(torch.rand(1, 3, 4, 4, device=device)))
    assert [layer.name for layer in layers] == ["0", "1", "4"]
    generator = torch.get_rng_state()
    with randomised(network, layers[2:], 0, how):
        inside = state_of(network)
    assert {n for n in before if not torch.equal(before[n], inside[n])} == {"4.weight", "4.bias"}
    assert same(before, state_of(network))
    with pytest.raises(KeyError), randomised(network, layers, 0, how):
        raise KeyError
    assert same(before, state_of(network))
    assert not any(p.requires_grad for p in network.parameters())
    assert torch.equal(generator, torch.get_rng_state())


def test_how_weights_are_drawn(device):
    network, reference = small().to(device), small()
    randomise(network, 3)
    again = small()
    randomise(again, 3)
    assert same({n: v.cpu() for n, v in state_of(network).items()}, state_of(again))  # on whichever device
    assert network[1].running_mean.tolist() == [0.0] * 4
    other = small()
    randomise(other, 4)
    assert not torch.equal(other[0].weight, again[0].weight)
    network = small()
    network.load_state_dict(reference.state_dict())
    randomise(network, 3, "shuffle")
    assert not torch.equal(network[0].weight, reference[0].weight)
    assert torch.equal(network[0].weight.flatten().sort()[0], reference[0].weight.flatten().sort()[0])
    assert torch.equal(network[1].running_mean, reference[1].running_mean)


def test_weights_of_modules_that_cannot_start_anew_keep_mean_and_deviation():
    network = nn.Module()
    network.weight = nn.Parameter(5 + 0.1 * torch.randn(10000))
    before = network.weight.clone()
    randomise(network, 0)
    assert not torch.equal(network.weight, before)
    assert (network.weight.mean().item(), network.weight.std().item()) == pytest.approx((5.0, 0.1), abs=0.01)


def test_a_classifier_with_random_weights(tmp_path):
    path = save_classifier(tmp_path / "a.ckpt")
    trained, random, again = (Explanandum(path, randomise_seed=seed) for seed in (None, 0, 0))
    assert random.classes == trained.classes
    assert same(state_of(random), state_of(again))
    assert all(not torch.equal(p, q) for p, q in zip(trained.parameters(), random.parameters()) if p.ndim > 1)
    assert torch.equal(trained.mean, random.mean)
    assert not any(p.requires_grad for p in random.parameters())
    assert "randomise_seed" not in random.spec  # a checkpoint made with it holds the weights themselves
