"""Sensitivity to noise, in closed form and against captum."""

import numpy as np
import pytest
import torch
from captum.metrics import sensitivity_max

from explainer.attribution import Gradient, Random
from explainer.evaluation.sanity_checks import Sensitivity
from explainer.networks import Explanandum
from tests.support import oracles
from tests.support.small_evaluation import classifier
from tests.support.small_sanity_checks import Grey, asked, one_label


def test_sensitivity_of_a_linear_map_is_that_of_the_noise(device):
    explanandum, batch = classifier().to(device), one_label()
    batch = batch._replace(image=batch.image.to(device), labels=batch.labels.to(device))
    got = asked(Sensitivity(0.1, 4, seed=7), explanandum, Grey(), batch, scaled=False).value
    generator = torch.Generator().manual_seed(7)
    noise = [0.1 * (2 * torch.rand(3, 16, 16, generator=generator).double().numpy() - 1) for _ in range(4)]
    for image, value in zip(batch.image.cpu().double().numpy(), got.tolist()):
        others = [np.clip(image + n, 0, 1).mean(0) for n in noise]
        assert value == pytest.approx(oracles.largest_relative_change(image.mean(0), others), rel=1e-4)
        assert 0 < value < 0.2


def test_sensitivity_agrees_with_captum():
    explanandum, batch, generator = classifier(), one_label(), torch.Generator().manual_seed(0)
    target = batch.labels.argmax(1)

    def near(image):
        noise = torch.stack([2 * torch.rand(image.shape[1:], generator=generator) - 1 for _ in range(2)])
        return (image + 0.05 * noise.repeat(len(image) // 2, 1, 1, 1)).clamp(0, 1)

    def scaled(image, target):
        if isinstance(image, tuple):  # captum hands over a tuple, and expects one, for the first map only
            return (scaled(image[0], target),)
        return Gradient().target_mask(explanandum, image, torch.eye(3)[target])

    theirs = sensitivity_max(scaled, batch.image, near, n_perturb_samples=2, target=target)
    ours = asked(Sensitivity(0.05, 2), explanandum, Gradient(), batch).value
    assert torch.allclose(ours, theirs.to(ours), rtol=1e-4)


def test_the_gradient_of_a_linear_network_is_insensitive():
    explanandum = Explanandum("tests.support.small_networks.linear", multilabel=False)
    assert asked(Sensitivity(), explanandum, Gradient(), one_label(side=8)).value.tolist() == [0.0] * 3
    assert asked(Sensitivity(), explanandum, Random(), one_label(side=8)).value.min() > 0.3
