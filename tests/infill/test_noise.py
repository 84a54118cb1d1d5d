"""In-fills that are drawn: colours and noise."""

import pytest
import torch

from explainer.infill import BlurOrColour, Noise, RandomColour


def test_random_colours_are_uniform_with_noise():
    draws = torch.cat(
        [RandomColour()(torch.rand(1, 3, 4, 4), None, torch.Generator().manual_seed(s)) for s in range(400)]
    )
    assert draws.mean().item() == pytest.approx(0.5, abs=0.02)
    assert draws.std() > 0.25
    grey = torch.cat([Noise(0.1)(torch.rand(1, 3, 32, 32), None, torch.Generator().manual_seed(s)) for s in range(5)])
    assert grey.mean().item() == pytest.approx(0.5, abs=0.01)
    assert grey.std().item() == pytest.approx(0.1, abs=0.01)


def test_each_image_has_a_colour_of_its_own_in_the_units_of_the_published_code():
    image = torch.rand(64, 3, 16, 16)
    found = BlurOrColour(shared=False, noise=0.0)(image, generator=torch.Generator().manual_seed(1))
    colours = found[:, :, 0, 0]
    assert torch.equal(found, colours[:, :, None, None].expand_as(found))  # this seed draws colours, not the blur
    assert len(colours.unique(dim=0)) == 64
    published = 2 * colours - 1  # there images lie in [-1, 1]
    assert 0.3 < float(published.abs().max()) <= 0.33 + 1e-6
    grain = BlurOrColour(shared=False, colour=0.0)(image, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert float(grain.std()) == pytest.approx(0.11, abs=2e-3)
    assert not torch.equal(grain[0], grain[1])


def test_random_infill_is_a_function_of_its_generator():
    image, fills = torch.rand(1, 3, 16, 16), []
    state = torch.get_rng_state()
    for seed in (0, 0, 1, 2, 3, 4):
        fills.append(BlurOrColour(2.0)(image, generator=torch.Generator().manual_seed(seed)))
    assert torch.equal(fills[0], fills[1])
    assert len({float(f.std()) for f in fills}) > 2
    assert all(f.min() >= 0 and f.max() <= 1 for f in fills)
    assert torch.equal(state, torch.get_rng_state())
