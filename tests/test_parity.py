"""Values of the papers' published code on seeded tensors, and of public packages: what ours must give too."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from explainer.attribution import AblationCAM, GradCAM, GradCAMPlusPlus, ScoreCAM, grad_cam_plus_plus, score_cam
from explainer.attribution.masked_score import score_of
from explainer.functional.losses import total_variation
from explainer.functional.masking import min_max, non_target_mask, target_mask
from explainer.networks import Explanandum
from explainer.training.objectives import ExplainerObjective, View

LABELS = torch.tensor([[1.0, 0, 0, 1, 0, 0], [0, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 1]])


def seeded_view():
    """Draw what the published Explainer code was run on."""
    random = np.random.RandomState(0)
    rough = torch.tensor(random.randn(3, 6, 224, 224) * 2, dtype=torch.float32)
    logits = F.avg_pool2d(rough, 9, 1, 4) * 6
    kept = torch.tensor(random.randn(3, 6) * 3, dtype=torch.float32)
    removed = torch.tensor(random.randn(3, 6) * 3, dtype=torch.float32)
    target = target_mask(logits, LABELS, -torch.inf).sigmoid()
    other = non_target_mask(logits, LABELS, -torch.inf).sigmoid()
    return View(logits, target, other, kept, removed, LABELS, True)


def test_the_explainers_terms_are_those_of_the_published_code():
    view = seeded_view()
    ours = ExplainerObjective(bound_reduction="sum").terms(view)
    published = {
        "classification": 1.2181135, "entropy": -0.1035322, "bound": 0.6140983, "target_area": 0.6408757,
        "non_target_area": 0.7354004,
    }  # fmt: skip
    assert {name: float(ours[name]) for name in published} == pytest.approx(published, abs=2e-7)
    roughness = [float(total_variation(mask).mean()) for mask in (view.target, view.non_target)]
    assert roughness == pytest.approx([0.1656201, 0.1458690], abs=2e-7)


# pytorch-grad-cam 1.5.7 on a seeded network: maps of classes 0 to 3 between 0 and 1, at rows 0, 11 and 22 of column 5.

CAMS = {
    GradCAM: [[0.074555, 0.514419, 0.465659], [0.080694, 0.242546, 0.048142], [0.086286, 0.720841, 0.555024],
              [0.417131, 0.549723, 0.36505]],
    GradCAMPlusPlus: [[0.060009, 0.399892, 0.366628], [0.69826, 0.399875, 0.252209], [0.570722, 0.49877, 0.388075],
                      [0.761524, 0.459117, 0.335639]],
    ScoreCAM: [[0.195363, 0.718109, 0.793732], [0.281057, 0.481058, 0.585975], [0.188171, 0.682092, 0.763067],
               [0.214637, 0.616873, 0.709841]],
    AblationCAM: [[0.170673, 0.733395, 0.646169], [0.121211, 0.41703, 0.025224], [0.335191, 0.742216, 0.611245],
                  [0.310311, 0.729575, 0.574943]],
}  # fmt: skip


class Seeded(nn.Module):
    def __init__(self):
        super().__init__()
        random = np.random.RandomState(0)
        self.first, self.second = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 12, 3, 2, 1)
        self.fc, self.relu, self.last = nn.Linear(12, 4), nn.ReLU(), nn.ReLU()
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.tensor(random.randn(*parameter.shape) * 0.4))

    def forward(self, x):
        return self.fc(self.last(self.second(self.relu(self.first(x)))).mean((2, 3)))


def seeded():
    return Seeded()


def with_the_packages_constant(maps, gradient):  # it adds 1e-6 to the denominator
    below = 2 * gradient**2 + maps.sum((2, 3), keepdim=True) * gradient**3 + 1e-6
    return (gradient**2 / below * gradient.relu()).sum((2, 3))


class CornersAligned:
    """Enlarges masks with aligned corners, as the package does."""

    @staticmethod
    def interpolate(maps, size, mode, align_corners):
        return F.interpolate(maps, size, mode=mode, align_corners=True)


@pytest.mark.parametrize("method", CAMS)
def test_class_activation_maps_are_those_of_pytorch_grad_cam(method, monkeypatch):
    monkeypatch.setattr(grad_cam_plus_plus, "plus_plus_weights", with_the_packages_constant)
    monkeypatch.setattr(score_cam, "F", CornersAligned)
    explanandum = Explanandum(
        "tests.test_parity.seeded", multilabel=False, mean=[0.0] * 3, std=[1.0] * 3, taps=["last"]
    )
    image = torch.tensor(np.random.RandomState(1).rand(1, 3, 32, 32), dtype=torch.float32)
    maps = torch.cat([min_max(method()(explanandum, image, target)) for target in range(4)])
    np.testing.assert_allclose(maps[:, 0, ::11, 5].numpy(), CAMS[method], atol=2e-6)


TORCHRAY = [-1.262155, -1.557492, -1.050216, -3.417426]


def test_contrast_is_torchrays_contrastive_reward():  # TorchRay 1.0.0.2, one activation at a time
    logits = torch.tensor(np.random.RandomState(0).randn(4, 6), dtype=torch.float32)
    found = score_of(logits, torch.full((4,), 2), True, "contrast")
    assert found.tolist() == pytest.approx(TORCHRAY, abs=1e-6)
