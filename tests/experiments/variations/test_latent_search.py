"""The reconstruction mask, the losses, and the search for codes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from explainer.errors import InputError
from explainer.experiments.variations import outside
from explainer.experiments.variations.latent_search import (
    SearchSettings,
    context_loss,
    discriminative_loss,
    reconstruction_mask,
    search,
)
from tests.support import oracles
from tests.support.small_generators import FlatColours

BOXES = torch.tensor([[3, 2, 9, 7], [0, 5, 4, 12]])


@pytest.mark.parametrize("window", [1, 5, 15])
def test_the_reconstruction_mask_is_that_of_the_definition(window):
    keep = outside(BOXES, (12, 14)).double()
    got = reconstruction_mask(keep, window)
    for n in range(2):
        np.testing.assert_allclose(
            got[n, 0].numpy(), oracles.reconstruction_mask(keep[n, 0].numpy(), window), atol=1e-12
        )
    assert (got * (1 - keep)).abs().max() == 0


def test_the_reconstruction_mask_falls_with_the_distance():
    weight = reconstruction_mask(outside(torch.tensor([[10, 0, 14, 21]]), (21, 30)))[0, 0, 10]
    right = weight[14:22]
    assert (right[:-1] > right[1:]).all()
    assert right[-1] == 0  # eight pixels away: out of the window's reach
    with pytest.raises(InputError, match="odd"):
        reconstruction_mask(torch.ones(1, 1, 4, 4), 4)


@pytest.mark.parametrize(("kind", "power"), [("l1", 1), ("squared", 2)])
def test_losses_by_hand(kind, power):
    made, image, weight = (torch.rand(2, c, 4, 5, dtype=torch.float64) for c in (3, 3, 1))
    got = context_loss(made, image, weight, kind)
    for n in range(2):
        error = np.abs((made[n] - image[n]).numpy()) ** power
        assert got[n].item() == pytest.approx((error.mean(0) * weight[n, 0].numpy()).sum() / weight[n].sum().item())
    assert context_loss(made, image, 0 * weight).tolist() == [0, 0]
    realism = torch.tensor([-30.0, 0.0, 2.0])
    np.testing.assert_allclose(discriminative_loss(realism), -np.log(oracles.sigmoid(realism.double().numpy())), 1e-5)


def test_the_search_finds_what_is_known():
    colours = torch.tensor([[0.2, 0.9, 0.4], [0.6, 0.1, 0.8]])
    image = colours[..., None, None].expand(-1, -1, 8, 8).clone()
    weight = torch.ones(2, 1, 8, 8)
    weight[:, :, 2:5, 2:5] = 0
    image[:, :, 2:5, 2:5] = 0.5  # not known: must not matter
    start = torch.zeros(2, 3)
    calls = []
    free_of_critic = SearchSettings(steps=300, realism=0.0)
    found = search(FlatColours(), start, image, weight, None, free_of_critic, lambda: calls.append(1))
    torch.testing.assert_close(found.images[:, :, 0, 0], colours, atol=0.02, rtol=0)
    assert len(calls) == 300
    assert torch.equal(start, torch.zeros(2, 3))
    sure = SearchSettings(steps=300, realism=100.0)
    real = search(FlatColours(), start, image, weight, None, sure)
    assert (real.codes[:, 0] == 1).all()  # as red as a code may be
    free = search(FlatColours(), start, image, weight, None, replace(sure, clip=None))
    assert (free.codes[:, 0] > 1.5).all()
    loss = context_loss(real.images, image, weight) + 100 * discriminative_loss(real.images[:, 0].mean((1, 2)))
    torch.testing.assert_close(real.loss, loss)
