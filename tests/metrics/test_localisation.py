"""Localisation against a slow version; what holds for all metrics that look at a region."""

import math

import numpy as np
import pytest
import torch

from explainer.errors import InputError
from explainer.metrics import (
    Flipping,
    Localisation,
    ProportionOutside,
    SaliencyCrop,
    alpha_errors,
    best_alpha,
    localisation_error,
    mean_level,
    truth_boxes,
)
from explainer.metrics.localisation import ALPHAS
from tests.support import oracles
from tests.support.small_judged import judged
from tests.support.small_masks import SIDE


def test_boxes_around_the_classes_present():
    segmentation = (torch.rand(4, 3, SIDE, SIDE) < 0.2).to(torch.uint8)
    segmentation[0, :, 0], segmentation[1] = 255, 255  # a void border, and an image without annotation
    labels = torch.tensor([[1.0, 0, 1], [1, 1, 1], [0, 0, 0], [0, 1, 0]])
    for n, boxes in enumerate(truth_boxes(segmentation, labels)):
        wanted = [oracles.bounding_box(segmentation[n, c].numpy() == 1) for c in range(3) if labels[n, c]]
        assert [tuple(b) for b in boxes.tolist()] == [b for b in wanted if any(b)]


# Localisation


def test_localisation_against_a_slow_version():
    mask = torch.rand(40, 1, SIDE, SIDE) ** 6
    truth = [torch.tensor([[1.0, 0.0, 6.0, 7.0], [3.0, 3.0, 8.0, 8.0]])[: n % 3] for n in range(40)]
    metric = Localisation()
    metric.update(judged(mask, 0.5, truth))
    boxes = [oracles.bounding_box(m[0].numpy() > 0.5) for m in mask]
    wanted = [oracles.misses(b, [tuple(t) for t in some.tolist()]) for b, some in zip(boxes, truth, strict=True)]
    assert metric.compute().item() == pytest.approx(np.nanmean(wanted))
    assert int(metric.skipped) == sum(math.isnan(w) for w in wanted) == 14
    assert 0 < np.nanmean(wanted) < 1


def test_half_an_overlap_is_not_enough():
    box = torch.tensor([[0.0, 0.0, 4.0, 4.0]] * 2)
    truth = [torch.tensor([[0.0, 0.0, 4.0, 2.0]]), torch.tensor([[0.0, 0.0, 4.0, 2.1]])]
    assert localisation_error(box, truth).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_a_map_with_nothing_salient_misses(value):
    found = Localisation().measure(judged(torch.full((1, 1, SIDE, SIDE), value))).value
    assert found.tolist() == [1.0]


def test_the_search_for_alpha():
    mask = torch.full((2, 1, SIDE, SIDE), 0.1)
    mask[:, :, 2:6, 1:5] = 1.0  # its mean is 0.325: salient alone above 0.31 (α 0.4) and below 1 (α 3)
    truth = [torch.tensor([[1.0, 2.0, 5.0, 6.0]]), torch.zeros(0, 4)]
    errors = alpha_errors(mask, truth)
    assert errors.shape == (2, 26)
    assert errors[1].isnan().all()
    right = [a for a, e in zip(ALPHAS, errors[0].tolist(), strict=True) if e == 0]
    assert right == [a for a in ALPHAS if 0.1 <= a * mask[0].mean().item() < 1]
    assert best_alpha(errors) == (0.4, 0.0)
    with pytest.raises(InputError, match="no held-out image has a box"):
        best_alpha(errors[1:])
    with pytest.raises(InputError, match=r"alpha must lie in \[0, 5\], got 5\.2"):
        mean_level(mask, 5.2)


# Bad input, directions, settings


def test_directions():
    assert not any(m.higher_is_better for m in (ProportionOutside(), Localisation(), SaliencyCrop(), Flipping()))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Localisation(1.0), r"overlap must lie in \[0, 1\)"),
        (lambda: Localisation(-0.1), r"overlap must lie in \[0, 1\)"),
        (lambda: Flipping(0), "steps and batch_size must be positive"),
        (lambda: Flipping(least=0.0), "least must be positive"),
        (lambda: ProportionOutside("box"), "'boxes' or 'segmentation', got 'box'"),
    ],
)
def test_settings_that_cannot_be(make, words):
    with pytest.raises(InputError, match=words):
        make()
