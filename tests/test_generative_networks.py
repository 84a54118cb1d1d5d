"""Generators, critics and networks that fill holes: what they are given, and what never changes."""

import pytest
import torch
from torch import nn

from explainer.errors import InputError
from explainer.networks import DCGAN, CompletionVAE, ContextualAttention
from explainer.networks.ema import Average, decay_at
from explainer.networks.generative.contextual_attention import attend, lendable, propagated
from explainer.networks.generative.critics import Critic

INPAINTERS = [ContextualAttention(width=4, dilations=(1, 2)), CompletionVAE(width=4, latent=4, dilations=(1, 2))]


@pytest.fixture(params=INPAINTERS, ids=lambda n: type(n).__name__)
def inpainter(request):
    return request.param.eval()


def texture(size, period=4):
    """Diagonal stripes, a channel a phase: (1, period, size, size)."""
    place = torch.arange(size)
    return torch.stack([(place[:, None] + place) % period == k for k in range(period)])[None].float()


def with_hole(size=16, low=5, high=10):
    known = torch.ones(1, 1, size, size)
    known[..., low:high, low:high] = 0
    return known


@pytest.mark.parametrize("rate", [1, 2])
def test_attention_continues_a_repeated_texture_into_the_hole(rate):
    whole, known = texture(16), with_hole()
    holed = whole * known + 0.01
    hole = (known == 0).expand_as(whole)
    before = (holed - whole).abs()[hole].mean()
    found = (attend(holed, known, rate=rate) - whole).abs()[hole].mean()
    assert before > 0.2
    assert found < 0.05
    grown = (attend(holed, known, rate=rate, reach=0) - whole).abs()[hole].mean()
    assert grown > 2 * found  # the middle of the hole resembles nothing: neighbours must say what it borrows


def test_attention_borrows_nothing_from_the_hole():
    features, known = torch.rand(1, 4, 16, 16), with_hole()
    features[0, 0] = (1 - known[0, 0]) * 5  # only the hole has channel 0
    assert attend(features, known, rate=1, patch=1, reach=0)[:, 0].abs().max() == 0


def test_few_whole_patches_still_lend():
    known = (torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    allowed = lendable(known, 3)
    assert 256 // 8 <= int(allowed.sum()) < 256
    assert bool(lendable(torch.zeros(1, 1, 8, 8), 3).all())
    assert lendable(with_hole(), 1).view(16, 16)[5:10, 5:10].sum() == 0


def test_propagation_sums_over_equal_shifts_of_both():
    scores = torch.rand(1, 3, 4, 3, 4, dtype=torch.float64)
    slow = torch.zeros_like(scores)
    for y in range(3):
        for x in range(4):
            for v in range(3):
                for u in range(4):
                    for i in (-1, 0, 1):
                        for j in (-1, 0, 1):
                            inside = all((0 <= y + i < 3, 0 <= v + i < 3, 0 <= x + j < 4, 0 <= u + j < 4))
                            if inside:
                                slow[0, y, x, v, u] += scores[0, y + i, x + j, v + i, u + j]
    torch.testing.assert_close(propagated(scores, 1), slow)


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


def test_spectral_normalisation_bounds_the_critic():
    layer = Critic(width=4).features[0].train()
    for _ in range(30):
        layer(torch.rand(1, 3, 8, 8))
    assert torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2).item() == pytest.approx(1, abs=0.02)


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
