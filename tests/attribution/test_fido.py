"""FIDO: its samples, its uncertainty, and the networks of its paper."""

import math

import pytest
import torch

from explainer.attribution import BBMP, FIDO
from explainer.attribution.fido import concrete
from explainer.networks import Explanandum


def test_concrete_samples_have_the_probability_of_their_logit():
    uniform = torch.rand(20000, generator=torch.Generator().manual_seed(0))
    for logit in (-2.0, 0.0, 1.5):
        drawn = concrete(torch.tensor(logit), uniform, 0.1)
        assert drawn.round().mean().item() == pytest.approx(1 / (1 + math.exp(-logit)), abs=0.01)


def test_fido_says_how_sure_it_is(explanandum, image, target):
    found = FIDO(4, steps=5, grid=8).explain(explanandum, image, target)
    assert found.uncertainty.shape == (3, 1, 32, 32)
    assert (found.uncertainty > 0).any()
    assert {name: value.shape for name, value in found.history.items()} == dict.fromkeys(
        ("score", "loss", "area"), (5, 3)
    )
    assert BBMP(steps=2, grid=8).explain(explanandum, image, target).uncertainty is None


@pytest.mark.parametrize("network", ["alexnet", "vgg11", "resnet18"])
def test_fido_explains_the_networks_of_figure_9(network):
    classifier = Explanandum(network, num_classes=2, multilabel=False)
    method = FIDO(steps=2, samples=2, grid=8, learning_rate=1.0)
    found = method(classifier, torch.rand(1, 3, 64, 64), torch.tensor([1]))
    assert found.shape == (1, 1, 64, 64)
    assert found.std() > 0
