"""Folded networks compute the same, the folding leaves no trace, and what cannot be folded is left alone."""

import copy

import pytest
import torch
from torch import nn
from torchvision.models.vgg import cfgs as vgg_widths
from torchvision.models.vgg import make_layers as vgg_layers

from explainer.networks import Explanandum
from explainer.networks.folding import faster, folded
from tests.support.small_checkpoints import SMALL


def lively(network):
    """Give BatchNorm layers statistics that are not those of an untrained network."""
    draw = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.copy_(torch.randn(module.num_features, generator=draw) * 0.1)
            module.running_var.copy_(torch.rand(module.num_features, generator=draw) + 0.5)
    return network


def vgg():
    """VGG-11 with normalisations, without its linear layers: 9 million weights in place of 129."""
    features = vgg_layers(vgg_widths["A"], batch_norm=True)
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 4))


@pytest.mark.parametrize("network", ["resnet18", vgg, "densenet121", "timm/resnet10t", "mobilenet_v3_small"])
def test_the_copy_computes_the_same(network):
    if callable(network):
        explanandum = Explanandum(network(), multilabel=True)
    else:
        explanandum = Explanandum(network, num_classes=4, multilabel=True)
    network, image = lively(explanandum.network), torch.rand(2, 3, 64, 64)
    before = copy.deepcopy(network.state_dict())
    other = folded(network, image[:1])
    assert other is not network
    count = sum(isinstance(m, nn.BatchNorm2d) for m in other.modules())
    assert count < sum(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    torch.testing.assert_close(other(image), network(image), atol=1e-4, rtol=1e-3)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert not any(m._forward_hooks for m in network.modules())


def test_what_cannot_be_folded_is_left_alone():
    for network in (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3))):
        network.eval()
        assert folded(network, torch.rand(1, 3, 8, 8)) is network
    training = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    assert folded(training, torch.rand(1, 3, 8, 8)) is training


class Twice(nn.Module):
    """Uses a convolution's output a second time, behind the normalisation's back."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, image):
        seen = self.convolution(image)
        return self.norm(seen) + 10 * seen


def test_a_copy_that_computes_something_else_is_not_taken():
    network = lively(Twice()).eval()
    assert folded(network, torch.rand(1, 3, 8, 8)) is network


def test_the_explanandum_stays_as_it_is():
    explanandum = Explanandum(**SMALL, num_classes=3, multilabel=True)
    lively(explanandum.network)
    image = torch.rand(2, 3, 32, 32)
    other = faster(explanandum, image)
    torch.testing.assert_close(other(image), explanandum(image), atol=1e-4, rtol=1e-3)
    assert other.network is not explanandum.network
    assert explanandum._modules["network"] is explanandum.network
