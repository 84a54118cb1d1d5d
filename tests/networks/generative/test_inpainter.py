"""Networks that fill holes: what they are given, and what never changes."""

import pytest
import torch

from explainer.errors import InputError
from explainer.networks import DCGAN, CompletionVAE, ContextualAttention
from explainer.networks.generative.critics import Critic
from tests.support.small_masks import with_hole

INPAINTERS = [ContextualAttention(width=4, dilations=(1, 2)), CompletionVAE(width=4, latent=4, dilations=(1, 2))]


@pytest.fixture(params=INPAINTERS, ids=lambda n: type(n).__name__)
def inpainter(request):
    return request.param.eval()


def test_known_pixels_come_back_to_the_bit(inpainter, device):
    inpainter.to(device)
    image, mask = torch.rand(3, 3, 32, 48, device=device), (torch.rand(3, 1, 32, 48, device=device) > 0.4).float()
    with torch.no_grad():
        made = inpainter.complete(image, mask)
    known = mask.expand_as(image) > 0
    assert torch.equal(made[known], image[known])
    assert not torch.isclose(made[~known], image[~known]).all()
    assert ((made >= 0) & (made <= 1)).all()


def test_what_stands_in_the_hole_has_no_influence(inpainter):
    image, mask = torch.rand(2, 3, 32, 32), with_hole(32, 8, 24).expand(2, -1, -1, -1)
    other = torch.where(mask > 0, image, torch.nan)
    with torch.no_grad():
        assert torch.equal(inpainter.complete(image, mask), inpainter.complete(other, mask))


def test_an_image_does_not_depend_on_its_batch(inpainter):
    image, mask = torch.rand(3, 3, 32, 32), (torch.rand(3, 1, 32, 32) > 0.3).float()
    with torch.no_grad():
        together = inpainter.complete(image, mask)
        alone = torch.cat([inpainter.complete(image[n : n + 1], mask[n : n + 1]) for n in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_empty_and_full_masks_are_defined(inpainter):
    image = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(inpainter.complete(image, torch.ones(2, 1, 32, 32)), image)
        nothing = inpainter.complete(image, torch.zeros(2, 1, 32, 32))
        assert torch.isfinite(nothing).all()
        torch.testing.assert_close(nothing[0], nothing[1])  # of nothing, one expects the same whatever the image


@pytest.mark.parametrize("size", [(36, 32), (32, 60)])
def test_sizes_that_are_no_multiple(inpainter, size):
    with pytest.raises(InputError, match=r"multiples of 8, got \(1, 3, "):
        inpainter.complete(torch.rand(1, 3, *size), torch.ones(1, 1, *size))


def test_masks_of_another_shape(inpainter):
    with pytest.raises(InputError, match=r"mask has shape \(1, 1, 16, 16\); wants \(1, 1, 32, 32\)"):
        inpainter.complete(torch.rand(1, 3, 32, 32), torch.ones(1, 1, 16, 16))


def test_samples_of_the_vae_share_their_noise_and_the_mean_has_none():
    network, image, mask = INPAINTERS[1].eval(), torch.rand(1, 3, 32, 32).repeat(2, 1, 1, 1), torch.zeros(2, 1, 32, 32)
    with torch.no_grad():
        first = network.complete(image, mask, torch.Generator().manual_seed(0))
        again = network.complete(image, mask, torch.Generator().manual_seed(0))
        other = network.complete(image, mask, torch.Generator().manual_seed(1))
        assert torch.equal(first, again)
        assert not torch.allclose(first, other)
        torch.testing.assert_close(first[0], first[1])
        assert not torch.allclose(first, network.complete(image, mask))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: DCGAN(48), "8, 16, 32, 64, 128, … pixels a side, not 48"),
        (lambda: DCGAN(16, latent=0), "must be positive"),
        (lambda: DCGAN(16, latent=4, width=2).generate(torch.rand(2, 5)), r"shape \(2, 5\); wants \(N, 4\)"),
        (lambda: DCGAN(16, latent=4, width=2, num_classes=2).generate(torch.rand(2, 4)), "needs labels"),
        (lambda: DCGAN(16, latent=4, width=2).generate(torch.rand(1, 4), torch.tensor([0])), "takes no labels"),
        (lambda: DCGAN(16, width=2).realism(torch.rand(1, 3, 32, 32)), r"wants \(N, 3, 16, 16\)"),
        (lambda: Critic(width=2, num_classes=2)(torch.rand(1, 3, 32, 32), torch.tensor([2])), "there are 2 classes"),
        (lambda: Critic(width=2, num_classes=2)(torch.rand(1, 3, 32, 32), torch.tensor([0, 1])), "for 1 images"),
        (lambda: ContextualAttention(width=0), "must be positive"),
        (lambda: CompletionVAE(latent=0), "must be positive"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(InputError, match=words):
        call()
