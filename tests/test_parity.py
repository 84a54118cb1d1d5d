"""Values of the papers' published code on seeded tensors, and of public packages: what ours must give too."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from explainer.losses import total_variation
from explainer.masking import non_target_mask, target_mask
from explainer.objectives import ExplainerObjective, View

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
