"""The local mean, against a slow version."""

import numpy as np
import pytest
import torch

from explainer.errors import InputError
from explainer.infill import Local


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


@pytest.mark.parametrize("window", [0, 4])
def test_a_window_without_a_middle(window):
    with pytest.raises(InputError, match="window must be odd and positive"):
        Local(window)
