"""An extra look at a network leaves no trace."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from explainer.errors import InputError
from explainer.training.callbacks.looking import Listener, look, untouched
from tests.support.strangers import backbone, same


class Restless(nn.Module):
    """Counts its passes and draws random numbers in evaluation mode too."""

    def __init__(self):
        super().__init__()
        self.inner = backbone()
        self.register_buffer("passes", torch.zeros(1))

    def forward(self, x):
        self.passes += 1 + random.random() + np.random.rand()  # noqa: NPY002
        return F.dropout(self.inner(x), 0.5)  # for ever in training mode, as people write it


def states():
    return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002


def test_a_look_leaves_buffers_modes_and_random_numbers_as_they_were():
    network = Restless()
    network.inner[1].eval()
    images = torch.rand(2, 3, 8, 8)
    before, random_before = {k: v.clone() for k, v in network.state_dict().items()}, states()
    seen = look(network, ["inner.7"], images, False)
    assert seen["inner.7"].shape == (2, 8, 4, 4)
    assert states() == random_before
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert (network.inner[1].training, network.inner[4].training) == (False, True)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    with pytest.raises(RuntimeError), untouched(network):
        network(torch.rand(2, 5, 8, 8))  # drawn, counted, and refused
    assert states() == random_before


def test_what_a_network_refuses_is_said_in_a_line():
    with pytest.raises(InputError, match=r"Sequential does not run on images \(2, 5, 8, 8\) \(RuntimeError: "):
        look(backbone(), ["7"], torch.rand(2, 5, 8, 8), False)
    network = nn.ModuleDict({"used": backbone(), "idle": nn.ReLU()})
    network.forward = lambda x: network["used"](x)
    with pytest.raises(InputError, match="layer 'idle' does not run"):
        look(network, ["used.7", "idle"], torch.rand(2, 3, 8, 8), False)


def test_the_pass_on_the_images_counts_and_else_the_last():
    network = backbone().eval()
    images = torch.rand(2, 3, 8, 8)
    want = look(network, ["7"], images, False)["7"]
    listener = Listener(network, ["7"], images, False)
    network(input=images)
    network(images + 1)
    assert torch.equal(listener.close()["7"], want)
    assert torch.equal(listener.close()["7"], want)  # closed twice
    listener = Listener(network, ["7"], images, False)
    network(images + 2)
    network(images + 1)
    torch.testing.assert_close(listener.close()["7"], look(network, ["7"], images + 1, False)["7"])
    assert not network._forward_hooks
    assert same(network, network)
