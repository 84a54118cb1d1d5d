"""Losses of generative networks against oracles and closed forms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explainer.functional import gan_losses as adversarial
from explainer.functional import random_masks as holes
from tests.support import oracles


def test_hinge_and_wasserstein():
    real, made = torch.randn(5, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    for kind in ("hinge", "wgan_gp"):
        got = float(adversarial.critic_loss(real, made, kind))
        assert got == pytest.approx(oracles.critic_loss(real.numpy(), made.numpy(), kind))
    assert adversarial.critic_loss(torch.tensor([3.0]), torch.tensor([-3.0]), "hinge") == 0


@pytest.mark.parametrize("masked", [False, True])
def test_penalty_of_a_linear_critic(masked):
    """Its slope is its weight, wherever on the way; with a mask only what the weight has in the hole."""
    weight = torch.randn(3, 4, 4, dtype=torch.float64, requires_grad=True)
    real, made = torch.rand(2, 2, 3, 4, 4, dtype=torch.float64).unbind()
    mask = torch.ones(2, 1, 4, 4, dtype=torch.float64)
    mask[..., :2] = 0
    seen = weight[..., :2] if masked else weight
    got = adversarial.gradient_penalty(
        lambda x: (x * weight).sum((1, 2, 3)), real, made, torch.rand(2).double(), mask if masked else None
    )
    expected = (seen.norm() - 1) ** 2
    assert got.item() == pytest.approx(expected.item(), rel=1e-5)
    (slope,) = torch.autograd.grad(got, weight)
    (closed,) = torch.autograd.grad(expected, weight)
    torch.testing.assert_close(slope, closed, rtol=1e-5, atol=1e-6)


def test_penalty_is_taken_on_the_way():
    real, made = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
    square = lambda x: x.square().sum((1, 2, 3))  # noqa: E731  slope 2x
    assert float(adversarial.gradient_penalty(square, real, made, torch.tensor([0.75]))) == pytest.approx(0.25)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_depth_of_a_hole(seed):
    mask = (torch.rand(2, 1, 7, 9, generator=torch.Generator().manual_seed(seed)) < 0.15).float()
    for got, one in zip(adversarial.hole_depth(mask), mask, strict=True):
        np.testing.assert_allclose(got[0].numpy(), oracles.hole_depth(one[0].numpy()))


def test_depth_of_a_box_is_the_distance_to_its_edge():
    mask = torch.ones(1, 1, 9, 9)
    mask[..., 2:7, 2:7] = 0
    assert adversarial.hole_depth(mask)[0, 0, 4].tolist() == [0, 0, 1, 2, 3, 2, 1, 0, 0]
    assert adversarial.hole_depth(torch.zeros(1, 1, 2, 3)).unique().tolist() == [5]


def test_discounted_reconstruction():
    made, image = torch.rand(2, 2, 3, 8, 8, dtype=torch.float64).unbind()
    mask = holes.boxes(2, (8, 8), torch.Generator().manual_seed(0)).double()
    got = float(adversarial.discounted_reconstruction(made, image, mask, 0.9))
    assert got == pytest.approx(oracles.discounted_reconstruction(made.numpy(), image.numpy(), mask.numpy(), 0.9))
    hole = float(adversarial.discounted_reconstruction(made, image, mask, 1.0, known=0.0))
    assert hole == pytest.approx(float(((made - image).abs() * (1 - mask)).mean()))
    plain = float(adversarial.discounted_reconstruction(made, image, mask, 1.0))
    assert plain == pytest.approx(float((made - image).abs().mean()))


def test_error_in_the_hole():
    image = torch.zeros(2, 3, 4, 4)
    mask = torch.ones(2, 1, 4, 4)
    mask[0, :, 0] = 0
    made = torch.where(mask > 0, 0.9, 0.25).expand_as(image)
    torch.testing.assert_close(adversarial.hole_error(made, image, mask), torch.tensor([0.25, 0.0]))


def test_elbo_parts_against_torch_distributions():
    mean, log_variance = torch.randn(2, 3, 4, dtype=torch.float64), torch.randn(2, 3, 4, dtype=torch.float64)
    code = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    normal = torch.distributions.Normal(torch.zeros_like(mean), 1.0)
    expected = torch.distributions.kl_divergence(code, normal).sum((1, 2))
    torch.testing.assert_close(adversarial.kl_divergence(mean, log_variance), expected)
    prior_mean, prior_log_variance = torch.randn(2, 2, 3, 4, dtype=torch.float64).unbind()
    prior = torch.distributions.Normal(prior_mean, (0.5 * prior_log_variance).exp())
    expected = torch.distributions.kl_divergence(code, prior).sum((1, 2))
    found = adversarial.kl_divergence(mean, log_variance, prior_mean, prior_log_variance)
    torch.testing.assert_close(found, expected)
    made, image = torch.rand(2, 2, 3, 4, 4, dtype=torch.float64).unbind()
    picture = torch.distributions.Normal(made, 0.1)
    constant = picture.log_prob(made).sum((1, 2, 3))
    expected = constant - picture.log_prob(image).sum((1, 2, 3))
    torch.testing.assert_close(adversarial.gaussian_surprise(made, image, 0.1), expected)


def test_losses_have_the_gradients_they_should():
    def image():
        return torch.rand(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)

    mask = holes.boxes(1, (4, 4), torch.Generator().manual_seed(0)).double()
    above = torch.full((1, 3, 4, 4), 2.0, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda made: adversarial.discounted_reconstruction(made, above, mask, 0.9), (image(),)
    )
    assert torch.autograd.gradcheck(adversarial.kl_divergence, (image(), image()))


def test_distance_and_diversity_of_sets():
    images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    shifted = adversarial.sliced_wasserstein(images, images + 0.5)
    assert shifted > 5 * adversarial.sliced_wasserstein(images, images + 0.05) > 0
    assert adversarial.sliced_wasserstein(images, images.flip(0)) == pytest.approx(0, abs=1e-6)  # sets have no order
    one = images[:1].expand(8, -1, -1, -1)
    assert adversarial.diversity(one) == 0
    assert adversarial.diversity(images) == pytest.approx(1 / 3, abs=0.02)
