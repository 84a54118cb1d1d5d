"""The class-specific masking matrix, image by image, mask by mask, threshold by threshold."""

import numpy as np
import pytest
import torch

from explainer.metrics import MaskingMatrix, masking_scores
from explainer.metrics.masking_matrix import THRESHOLDS
from tests.support import oracles
from tests.support.small_judged import pretend_two_processes

SIDE, CLASSES, ROWS = 5, 4, [2, 0, 3]
MEAN = torch.tensor([0.5, 0.4, 0.3], dtype=torch.float64).view(1, 3, 1, 1)
WEIGHT = torch.randn(3 * SIDE * SIDE, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def probabilities(seen):
    return (seen.flatten(1) @ WEIGHT).softmax(1)[:, ROWS]


def fill(images, masks):
    return MEAN.expand_as(images)


def scene(count=5):
    image = torch.rand(count, 3, SIDE, SIDE, dtype=torch.float64)
    masks = torch.rand(count, len(ROWS), SIDE, SIDE, dtype=torch.float64)
    labels = torch.tensor([[1.0, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0], [1, 0, 0]])[:count]
    return image, masks, labels


def scored(image, masks, labels, **settings):
    return masking_scores(image, masks, labels, probabilities, fill, **settings)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_matrix_against_a_slow_version(batch_size):
    image, masks, labels = scene()
    metric = MaskingMatrix(len(ROWS))
    for part in (slice(0, 2), slice(2, 3), slice(3, 5), slice(5, 5)):  # one of them without any of the classes
        metric.update(scored(image[part], masks[part], labels[part], batch_size=batch_size))
    want, counts = oracles.masking_matrix(
        image.numpy(), masks.numpy(), labels.numpy(), lambda x: x.flatten() @ WEIGHT.numpy(), MEAN[0].numpy(), ROWS
    )
    np.testing.assert_allclose(metric.compute().numpy(), want, atol=1e-6)
    assert metric.images.tolist() == counts.tolist() == [3, 2, 0]
    assert metric.compute()[2].isnan().all()


def test_rows_columns_and_thresholds_by_hand():
    """Two classes, whose probabilities are how red and how green an image is."""
    image = torch.zeros(1, 3, 1, 2)
    image[0, 0, 0, 0] = image[0, 1, 0, 1] = 1  # a red and a green pixel
    masks = torch.tensor([[[[0.55, 0.0]], [[0.1, 1.0]]]])  # above the level at 5 of 9; at none, and at all 9
    found = masking_scores(image, masks, torch.tensor([[1.0, 0.0]]), lambda seen: seen[:, :2].mean((2, 3)),
                           lambda images, kept: torch.zeros_like(images))  # fmt: skip
    assert found[0, 0].tolist() == pytest.approx([0.5, 0.5 * 5 / 9, 0.0])
    assert found[0, 1].isnan().all()
    both = masking_scores(image, masks, torch.ones(1, 2), lambda seen: seen[:, :2].mean((2, 3)),
                          lambda images, kept: torch.zeros_like(images))  # fmt: skip
    assert both[0, 1].tolist() == pytest.approx([0.5, 0.0, 0.5])
    assert THRESHOLDS == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def test_full_masks_leave_the_image_and_empty_ones_the_in_fill():
    image, masks, labels = scene(2)
    whole = scored(image, torch.ones_like(masks), labels)
    torch.testing.assert_close(whole[:, :, 1:], whole[:, :, :1].expand(-1, -1, 3), equal_nan=True)
    masks[0, 1, 2, 2], masks[:, 0], masks[:, 2] = torch.nan, 0, 0
    nothing = probabilities(MEAN.expand(1, 3, SIDE, SIDE))[0]
    empty = scored(image, masks, labels)
    torch.testing.assert_close(empty[0, 0, 1:], nothing[0].expand(3))  # NaN keeps nothing
    torch.testing.assert_close(empty[1, 0, [1, 3]], nothing[0].expand(2))


def test_images_without_any_of_the_classes_cost_nothing():
    image, masks, labels = scene()
    passes = []

    def counting(seen):
        passes.append(len(seen))
        return probabilities(seen)

    masking_scores(image, masks, labels, counting, fill, thresholds=(0.5, 0.7))
    assert sum(passes) == 4 * (1 + 3 * 2)
    passes.clear()
    none = masking_scores(image, masks, 0 * labels, counting, fill)
    assert not passes
    assert none.isnan().all()
    assert none.shape == (5, 3, 4)


def test_inputs_are_left_alone():
    given_ones = scene()
    copies = [t.clone() for t in given_ones]
    scored(*given_ones)
    assert all(torch.equal(a, b) for a, b in zip(given_ones, copies, strict=True))


def test_halves_and_processes_add_up():
    image, masks, labels = scene()
    values = scored(image, masks, labels)
    whole, first, second = (MaskingMatrix(3) for _ in range(3))
    whole.update(values)
    first.update(values[:2])
    second.update(values[2:])
    pretend_two_processes(first, second)
    torch.testing.assert_close(first.compute(), whole.compute(), equal_nan=True)
    none = MaskingMatrix(3)
    none.update(values[:0])
    assert none.compute().isnan().all()
