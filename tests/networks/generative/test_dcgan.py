"""DCGAN: its images and scores, its classes, its codes."""

import pytest
import torch
from torch import nn

from explainer.networks import DCGAN


@pytest.mark.parametrize("classes", [0, 3])
def test_dcgan_images_and_scores_do_not_depend_on_the_batch(classes, device):
    network = DCGAN(32, latent=8, width=4, num_classes=classes).to(device)
    labels = torch.tensor([0, 1, 2, 1], device=device) if classes else None
    network.realism(network.generate(network.codes(4), labels), labels)  # moves the running statistics
    network.eval()
    codes = network.codes(4, torch.Generator().manual_seed(0))
    with torch.no_grad():
        images = network.generate(codes, labels)
        scores = network.realism(images, labels)
        for n in range(4):
            own = None if labels is None else labels[n : n + 1]
            torch.testing.assert_close(network.generate(codes[n : n + 1], own), images[n : n + 1], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(network.realism(images[n : n + 1], own), scores[n : n + 1], atol=1e-5, rtol=1e-4)
    assert images.shape == (4, 3, 32, 32)
    assert ((images >= 0) & (images <= 1)).all()


def test_the_class_matters_to_generator_and_critic():
    network = DCGAN(16, latent=8, width=4, num_classes=2)
    nn.init.normal_(network.generator.norms[0].gain.weight)
    codes, zero, one = network.eval().codes(3), torch.zeros(3).long(), torch.ones(3).long()
    assert not torch.allclose(network.generate(codes, zero), network.generate(codes, one))
    images = torch.rand(3, 3, 16, 16)
    scores = [network.realism(images, labels) for labels in (zero, one, None)]
    assert not torch.allclose(scores[0], scores[1])
    assert torch.isfinite(scores[2]).all()


def test_codes_follow_their_seed():
    network = DCGAN(16, latent=500, width=2)
    codes = network.codes(40, torch.Generator().manual_seed(3))
    assert torch.equal(codes, network.codes(40, torch.Generator().manual_seed(3)))
    assert codes.mean().item() == pytest.approx(0, abs=0.03)
    assert codes.std().item() == pytest.approx(1, abs=0.03)
