"""Occlusion is that of captum."""

import captum.attr
import pytest
import torch

from explainer.attribution import Occlusion
from explainer.errors import InputError
from explainer.networks import Explanandum
from tests.support.small_checkpoints import CLASSES, SMALL


@pytest.fixture
def explanandum(device):
    built = Explanandum(**SMALL, num_classes=3, multilabel=False)
    built.describe_classes(CLASSES, False, new_head=False)
    return built.to(device)


@pytest.fixture
def image(device):
    return torch.rand(2, 3, 32, 32, device=device)


@pytest.fixture
def target(device):
    return torch.tensor([2, 0], device=device)


def test_occlusion_is_that_of_captum(explanandum, image, target):
    want = captum.attr.Occlusion(lambda x, c: explanandum(x).softmax(1)[torch.arange(len(x)), c.expand(len(x))])
    for n in range(2):
        values = want.attribute(
            image[n : n + 1], (3, 8, 8), (3, 4, 4), explanandum.mean_colour.expand(1, 3, 32, 32),
            additional_forward_args=(target[n : n + 1],),
        )  # fmt: skip
        got = Occlusion(8, 4, batch_size=3)(explanandum, image[n : n + 1], target[n : n + 1])
        torch.testing.assert_close(got, values[:, :1].to(image.dtype), atol=1e-6, rtol=1e-4)


def test_a_window_larger_than_the_image(explanandum, image, target):
    with pytest.raises(InputError, match="window 64 is larger than the image"):
        Occlusion(64, 8)(explanandum, image, target)
