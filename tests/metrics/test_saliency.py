"""The saliency metric of the Explainer paper's Eq. 9, against a slow version."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explainer.metrics import SaliencyMetric, saliency_metric
from tests.support.small_judged import judged
from tests.support.small_masks import scene


def expected_saliency(mask, logits, labels):  # Eq. 9
    if not labels.any():
        return math.nan
    p = np.exp(logits - logits.max())
    p = p / p.sum()
    return math.log(max(mask.mean(), 0.05)) - math.log(sum(p[c] for c in range(len(p)) if labels[c]))


@given(seed=st.integers(0, 10_000), sharpness=st.sampled_from([0.1, 3.0, 30.0]))
@settings(max_examples=15, deadline=None)
def test_saliency_metric_agrees_with_the_slow_version(seed, sharpness):
    mask, _, labels = scene(seed)
    mask[0] *= 0.02  # below the floor of the area
    labels[1] = 0
    logits = sharpness * torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    want = [expected_saliency(mask[n].numpy(), logits[n].numpy(), labels[n].numpy()) for n in range(3)]
    torch.testing.assert_close(
        saliency_metric(mask, logits, labels), torch.tensor(want, dtype=torch.float64), rtol=0, atol=1e-10,
        equal_nan=True,
    )  # fmt: skip


def test_saliency_metric_stays_finite_where_the_softmax_underflows():
    score = saliency_metric(torch.ones(1, 1, 2, 2), torch.tensor([[0.0, 500.0]]), torch.tensor([[1.0, 0.0]]))
    assert score.item() == pytest.approx(500.0)


def test_saliency_metric_of_the_sure_and_the_unsure():
    one = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    sure, unsure = torch.tensor([[100.0, 0, 0, 0]]), torch.zeros(1, 4)
    tiny, whole = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    assert saliency_metric(tiny, sure, one).item() == pytest.approx(math.log(0.05))  # the best possible
    assert saliency_metric(whole, sure, one).item() == pytest.approx(0.0, abs=1e-6)
    assert saliency_metric(whole, unsure, one).item() == pytest.approx(math.log(4))
    assert saliency_metric(whole, unsure, torch.ones(1, 4)).item() == pytest.approx(0.0, abs=1e-6)


def test_saliency_metric_leaves_out_images_without_label():
    metric = SaliencyMetric()
    labels = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    seen = judged(torch.ones(2, 1, 3, 3), labels=labels)._replace(masked_logits=torch.zeros(2, 2))
    metric.update(seen)
    assert metric.compute().item() == pytest.approx(math.log(2))
    assert (int(metric.count), int(metric.skipped)) == (1, 1)


def test_saliency_metric_asks_the_classifier_where_the_logits_are_not_known():
    seen = judged(torch.rand(3, 1, 4, 4))
    known = seen._replace(masked_logits=seen.logits(seen.mask * seen.image))
    torch.testing.assert_close(SaliencyMetric().measure(seen).value, SaliencyMetric().measure(known).value)
