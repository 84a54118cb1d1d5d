"""A classifier of several labels or of one, with images to explain and their targets."""

import pytest
import torch

from explainer.networks import Explanandum
from tests.support.small_checkpoints import CLASSES, SMALL


def build(multilabel, device):
    built = Explanandum(**SMALL, num_classes=3, multilabel=multilabel)
    built.describe_classes(CLASSES, multilabel, new_head=False)
    return built.to(device)


@pytest.fixture(params=[True, False], ids=["multilabel", "single"])
def explanandum(device, request):
    return build(request.param, device)


@pytest.fixture
def single(device):
    """The classifier of one label alone: what captum computes knows no other."""
    return build(False, device)


@pytest.fixture
def image(device):
    return torch.rand(3, 3, 32, 32, device=device)


@pytest.fixture
def target(device):
    return torch.tensor([2, 0, 1], device=device)
