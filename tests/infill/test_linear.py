"""Noisy linear imputation: its equations, against a dense solution."""

import numpy as np
import pytest
import torch

from explainer.errors import InputError
from explainer.infill import NoisyLinear, linear_imputation
from tests.support import removal_oracles


def holes(seed, shape=(3, 1, 11, 14)):
    generator = torch.Generator().manual_seed(seed)
    known = torch.rand(shape, generator=generator) > 0.6
    known[1, :, 2:9, 3:12] = False  # a hole in one piece
    known[2, :, 0] = False  # and at the border
    return known


@pytest.mark.parametrize("seed", range(4))
def test_the_picture_is_the_solution_of_the_papers_equations(seed):
    known = holes(seed)
    image = torch.rand(3, 3, 11, 14, dtype=torch.float64)
    found = linear_imputation(image, known, 1e-9)
    for n in range(3):
        for c in range(3):
            want = removal_oracles.imputed(image[n, c].numpy(), known[n, 0].numpy())
            np.testing.assert_allclose(found[n, c].numpy(), want, atol=1e-7)
    where = known.expand_as(image)
    assert torch.equal(found[where], image[where])


def test_no_equation_is_violated_by_more_than_the_tolerance():
    known = torch.rand(2, 1, 40, 56) > 0.5
    known[:, :, 5:35, 5:50] = False
    image = torch.rand(2, 3, 40, 56)
    for tolerance in (1e-2, 1e-4):
        found = linear_imputation(image, known, tolerance).double().numpy()
        worst = 0.0
        for y in range(1, 39):
            for x in range(1, 55):
                mean = sum(v * found[:, :, y + i, x + j] for (i, j), v in removal_oracles.NEIGHBOURS.items())
                hole = ~known[:, :, y, x].numpy()
                worst = max(worst, (np.abs(found[:, :, y, x] - mean) * hole).max())
        assert worst <= tolerance + 1e-6


def test_a_ramp_is_continued_into_a_hole():
    ramp = torch.arange(16.0, dtype=torch.float64).expand(1, 1, 16, 16) / 16
    known = torch.ones(1, 1, 16, 16, dtype=torch.bool)
    known[..., 4:12, 4:12] = False
    torch.testing.assert_close(linear_imputation(ramp, known, 1e-10), ramp, atol=1e-8, rtol=0)


def test_what_is_removed_has_no_influence_and_what_stays_is_the_image():
    image, mask = torch.rand(2, 3, 12, 12), (torch.rand(2, 1, 12, 12) > 0.5).float()
    infill, known = NoisyLinear(noise=0.0), mask > 0.5
    found = infill(image, mask)
    where = known.expand_as(image)
    assert torch.equal(found[where], image[where])
    other = torch.where(known, image, 0.3)
    torch.testing.assert_close(infill(other, mask), found, atol=2e-3, rtol=0)
    assert infill(image) is image


def test_without_anything_known_the_mean_stands_there():
    image = torch.rand(2, 3, 8, 8)
    found = linear_imputation(image, torch.zeros(2, 1, 8, 8, dtype=torch.bool))
    torch.testing.assert_close(found, image.mean((2, 3), keepdim=True).expand_as(image))


def test_the_noise_is_as_large_as_it_says_and_only_where_pixels_are_gone():
    image = torch.full((1, 3, 64, 64), 0.5)
    mask = torch.ones(1, 1, 64, 64)
    mask[..., 8:56, 8:56] = 0
    found = NoisyLinear(noise=0.05)(image, mask, torch.Generator().manual_seed(0))
    assert found[..., 8:56, 8:56].std().item() == pytest.approx(0.05, rel=0.05)
    assert torch.equal(found[..., :8, :], image[..., :8, :])


def test_images_do_not_depend_on_their_neighbours_in_the_batch():
    image, mask = torch.rand(3, 3, 20, 20), (torch.rand(3, 1, 20, 20) > 0.7).float()
    mask[0] = 1  # solved at once, while the others are not
    whole = NoisyLinear()(image, mask, torch.Generator().manual_seed(1))
    for n in range(3):
        alone = NoisyLinear()(image[n : n + 1], mask[n : n + 1], torch.Generator().manual_seed(1))
        torch.testing.assert_close(alone[0], whole[n], atol=1e-6, rtol=0)


def test_numbers_out_of_range():
    with pytest.raises(InputError, match="NoisyLinear: noise"):
        NoisyLinear(noise=-0.1)
    with pytest.raises(InputError, match="tolerance must be positive"):
        NoisyLinear(tolerance=0)
