"""Grad-CAM++, Score-CAM and Ablation-CAM against slow versions written from their papers' equations."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from explainer.attribution import AblationCAM, GradCAM, GradCAMPlusPlus, ScoreCAM
from explainer.errors import InputError
from explainer.networks import Explanandum

CAMS = [GradCAMPlusPlus, ScoreCAM, AblationCAM]


class TwoMaps(nn.Module):
    """Two maps, of the red and of the green channel, which a head weighs; what it says follows from its pixels."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.ReLU(inplace=True), nn.AvgPool2d(4))
        self.tail = nn.ReLU(inplace=True)
        self.head = nn.Linear(2, 3)
        with torch.no_grad():
            self.features[0].weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])[:, :, None, None])
            self.head.weight.copy_(torch.tensor([[2.0, -1.0], [-1.0, 3.0], [0.5, 0.5]]))
            self.head.bias.copy_(torch.tensor([0.1, -0.2, 0.0]))

    def forward(self, x):
        return self.head(self.tail(self.features(x)).square().mean((2, 3)))


def two_maps():
    return TwoMaps()


@pytest.fixture
def explanandum():
    built = Explanandum(
        "tests.attribution.test_cams.two_maps", multilabel=False, mean=[0.0] * 3, std=[1.0] * 3, taps=["features"]
    )
    built.describe_classes(("red", "green", "both"), False, new_head=False)
    return built


@pytest.fixture
def image():
    return torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(4))


def maps_of(image):
    """(2, 4, 4): the features, slowly."""
    return image[0, :2].numpy().astype(float).reshape(2, 4, 4, 4, 4).mean((2, 4))


def logits_of(maps):
    weight, bias = np.array([[2.0, -1.0], [-1.0, 3.0], [0.5, 0.5]]), np.array([0.1, -0.2, 0.0])
    return weight @ np.array([(m**2).mean() for m in maps]) + bias


def enlarged(coarse):
    return F.interpolate(torch.tensor(coarse)[None, None], (16, 16), mode="bilinear", align_corners=False).numpy()


def expected(method, image, target):
    maps = maps_of(image)
    head = np.array([[2.0, -1.0], [-1.0, 3.0], [0.5, 0.5]])[target]
    if method is GradCAMPlusPlus:
        weights = []
        for k in range(2):
            slope = head[k] * 2 * maps[k] / 16
            share = slope**2 / (2 * slope**2 + maps[k].sum() * slope**3)
            weights.append((share * np.maximum(slope, 0)).sum())
    if method is AblationCAM:
        whole = logits_of(maps)[target]
        gone = [logits_of([m * (j != k) for j, m in enumerate(maps)])[target] for k in range(2)]
        weights = [(whole - score) / abs(whole) for score in gone]
    if method is ScoreCAM:
        scores = []
        for m in maps:
            mask = enlarged(m)[0, 0]
            mask = (mask - mask.min()) / (mask.max() - mask.min())
            scores.append(logits_of(maps_of(image * torch.tensor(mask)))[target])
        weights = np.exp(scores) / np.exp(scores).sum()
    return enlarged(np.maximum(sum(w * m for w, m in zip(weights, maps, strict=True)), 0))


@pytest.mark.parametrize("target", [0, 1, 2])
@pytest.mark.parametrize("method", CAMS)
def test_a_map_is_that_of_the_papers_equations(method, target, explanandum, image):
    found = method()(explanandum, image, target)
    np.testing.assert_allclose(found.numpy(), expected(method, image, target), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", CAMS)
def test_the_evidence_is_where_the_map_is(method, explanandum):
    image = torch.zeros(2, 3, 16, 16)
    image[0, 0, :8, :8] = 1.0  # red above, on the left
    image[0, 1, 8:, 8:] = 0.3
    image[1, 1, 8:, 8:] = 1.0
    image[1, 0, :8, :8] = 0.3
    found = method()(explanandum, image, [0, 1])
    assert found[0, 0, :6, :6].mean() > 5 * found[0, 0, 10:, 10:].mean()
    assert found[1, 0, 10:, 10:].mean() > 5 * found[1, 0, :6, :6].mean()


@pytest.mark.parametrize("method", [GradCAM, *CAMS])
def test_what_has_no_feature_maps_is_refused(method, explanandum, image):
    with pytest.raises(InputError, match="no layer 'feature' in the classifier"):
        method(layer="feature")(explanandum, image, 0)
    with pytest.raises(InputError, match="gives no feature maps"):
        method(layer="head")(explanandum, image, 0)
    assert not explanandum.network.features._forward_hooks
    assert not explanandum.network.head._forward_hooks
