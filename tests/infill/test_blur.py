"""Blur and colours as in-fills."""

import torch

from explainer.infill import Blur, Constant, gaussian_blur


def test_infills():
    image = torch.rand(2, 3, 16, 16)
    assert torch.equal(Constant((0.1, 0.2, 0.3))(image).flatten(), torch.tensor([0.1, 0.2, 0.3]))
    blurred = Blur(2.0)(image)
    assert blurred.shape == image.shape
    assert blurred.var() < image.var() / 4
    step = torch.zeros(1, 1, 1, 41)
    step[..., 20:] = 1
    expected = 0.5 * (1 + torch.erf((torch.arange(41) - 19.5) / (3 * 2**0.5)))
    torch.testing.assert_close(gaussian_blur(step, 3.0)[0, 0, 0], expected, atol=0.01, rtol=0)
