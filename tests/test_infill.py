"""In-fills: what stands where a mask is 0."""

import numpy as np
import pytest
import torch

from explainer.errors import InputError
from explainer.infill import Blur, BlurOrColour, Constant, Local, Noise, RandomColour

ALL = [Constant(), Blur(2.0), BlurOrColour(2.0), RandomColour(), Noise(), Local(5)]


@pytest.mark.parametrize("infill", ALL, ids=lambda i: type(i).__name__)
def test_every_infill_is_a_picture_of_the_images_size(infill):
    image, mask = torch.rand(3, 3, 20, 24), torch.rand(3, 1, 20, 24).round()
    before = image.clone()
    found = infill(image, mask, torch.Generator().manual_seed(0)).expand_as(image)
    assert found.dtype == image.dtype
    assert ((found >= 0) & (found <= 1)).all()
    assert torch.equal(image, before)
    again = infill(image, mask, torch.Generator().manual_seed(0)).expand_as(image)
    assert torch.equal(found, again)
    if infill.stochastic and not isinstance(infill, BlurOrColour):
        assert not torch.equal(found, infill(image, mask, torch.Generator().manual_seed(1)).expand_as(image))
        assert torch.equal(found[0], found[2])  # a draw is shared, so that an image's map does not depend on the others
    if not infill.stochastic:
        alone = torch.cat([infill(image[n : n + 1], mask[n : n + 1]).expand(1, 3, 20, 24) for n in range(3)])
        torch.testing.assert_close(found, alone)


def slow_local(image, mask, window):
    _, height, width = image.shape
    reach, out = window // 2, np.zeros_like(image)
    for i in range(height):
        for j in range(width):
            rows = slice(max(0, i - reach), i + reach + 1)
            columns = slice(max(0, j - reach), j + reach + 1)
            weight = mask[rows, columns]
            if weight.sum() > 0:
                out[:, i, j] = (image[:, rows, columns] * weight).sum((1, 2)) / weight.sum()
            else:
                out[:, i, j] = (image * mask).sum((1, 2)) / mask.sum()
    return out


def test_the_local_mean_is_that_of_the_visible_pixels():
    image, mask = torch.rand(2, 3, 12, 14, dtype=torch.float64), torch.zeros(2, 1, 12, 14, dtype=torch.float64)
    mask[0, :, :5], mask[1, :, :, 10:] = 1, 1  # far from there, a window shows nothing
    got = Local(5)(image, mask)
    for n in range(2):
        np.testing.assert_allclose(got[n].numpy(), slow_local(image[n].numpy(), mask[n, 0].numpy(), 5), atol=1e-9)


def test_the_local_mean_of_an_empty_mask_is_the_images_own():
    image = torch.rand(1, 3, 9, 9)
    found = Local(3)(image, torch.zeros(1, 1, 9, 9))
    torch.testing.assert_close(found, image.mean((2, 3), keepdim=True).expand_as(image))
    assert torch.isfinite(Local(3)(image)).all()


def test_the_local_mean_follows_the_mask():
    image = torch.rand(1, 3, 6, 6, dtype=torch.float64)
    mask = (0.2 + 0.8 * torch.rand(1, 1, 6, 6, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: Local(3)(image, m), (mask,))


def test_random_colours_are_uniform_with_noise():
    draws = torch.cat(
        [RandomColour()(torch.rand(1, 3, 4, 4), None, torch.Generator().manual_seed(s)) for s in range(400)]
    )
    assert draws.mean().item() == pytest.approx(0.5, abs=0.02)
    assert draws.std() > 0.25
    grey = torch.cat([Noise(0.1)(torch.rand(1, 3, 32, 32), None, torch.Generator().manual_seed(s)) for s in range(5)])
    assert grey.mean().item() == pytest.approx(0.5, abs=0.01)
    assert grey.std().item() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("window", [0, 4])
def test_a_window_without_a_middle(window):
    with pytest.raises(InputError, match="window must be odd and positive"):
        Local(window)
