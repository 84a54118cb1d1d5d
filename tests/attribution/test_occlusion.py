"""Occlusion is that of captum."""

import captum.attr
import pytest
import torch

from explainer.attribution import Occlusion
from explainer.errors import InputError


def test_occlusion_is_that_of_captum(single, image, target):
    want = captum.attr.Occlusion(lambda x, c: single(x).softmax(1)[torch.arange(len(x)), c.expand(len(x))])
    for n in range(2):
        values = want.attribute(
            image[n : n + 1], (3, 8, 8), (3, 4, 4), single.mean_colour.expand(1, 3, 32, 32),
            additional_forward_args=(target[n : n + 1],),
        )  # fmt: skip
        got = Occlusion(8, 4, batch_size=3)(single, image[n : n + 1], target[n : n + 1])
        torch.testing.assert_close(got, values[:, :1].to(image.dtype), atol=1e-6, rtol=1e-4)


def test_a_window_larger_than_the_image(single, image, target):
    with pytest.raises(InputError, match="window 64 is larger than the image"):
        Occlusion(64, 8)(single, image, target)
