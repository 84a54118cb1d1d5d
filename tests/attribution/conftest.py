"""A classifier of several labels or of one, with images to explain and their targets."""

import pytest
import torch

from explainer.networks import Explanandum
from tests.support.small_checkpoints import CLASSES, SMALL


@pytest.fixture(params=[True, False], ids=["multilabel", "single"])
def explanandum(device, request):
    built = Explanandum(**SMALL, num_classes=3, multilabel=request.param)
    built.describe_classes(CLASSES, request.param, new_head=False)
    return built.to(device)


@pytest.fixture
def image(device):
    return torch.rand(3, 3, 32, 32, device=device)


@pytest.fixture
def target(device):
    return torch.tensor([2, 0, 1], device=device)
