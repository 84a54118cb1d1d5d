"""The saliency metric on a crop: by hand."""

import math

import numpy as np
import pytest
import torch

from explainer.metrics import Flipping, SaliencyCrop, crop_and_resize, saliency_crop
from tests.support import oracles
from tests.support.small_judged import judged
from tests.support.small_masks import SIDE


def test_crops_are_enlarged_bilinearly():
    image = torch.rand(3, 3, SIDE, SIDE, dtype=torch.float64)
    boxes = torch.tensor([[1.0, 2, 5, 7], [0, 0, 0, 0], [7, 7, 8, 8]])
    got = crop_and_resize(image, boxes)
    for n, box in enumerate([(1, 2, 5, 7), (0, 0, SIDE, SIDE), (7, 7, 8, 8)]):
        np.testing.assert_allclose(got[n].numpy(), oracles.enlarged(image[n].numpy(), box), atol=1e-12)


def test_saliency_metric_on_a_crop_by_hand():
    image = torch.rand(3, 3, SIDE, SIDE, dtype=torch.float64)
    mask = torch.zeros(3, 1, SIDE, SIDE, dtype=torch.float64)
    mask[0, :, 2:7, 1:5], mask[1, :, 3, 3] = 1, 1  # 20 pixels of 64; one pixel; none
    found = SaliencyCrop().measure(judged(mask, image=image)).value
    for n, (box, area) in enumerate([((1, 2, 5, 7), 20 / 64), ((3, 3, 4, 4), 0.05), ((0, 0, SIDE, SIDE), 1.0)]):
        p = oracles.enlarged(image[n].numpy(), box)[0].mean()
        assert found[n].item() == pytest.approx(math.log(area) - math.log(p))
    assert saliency_crop(torch.zeros(1, 4), torch.zeros(1), (4, 4)).isfinite().all()


def test_images_with_several_labels_or_none_have_no_such_value():
    labels = torch.tensor([[1.0, 1, 0], [0, 1, 0], [0, 0, 0]])
    mask = torch.rand(3, 1, SIDE, SIDE)
    seen = []

    def probability(images, owner):
        seen.extend(owner.tolist())
        return torch.full((len(images),), 0.5)

    for metric in (SaliencyCrop(), Flipping(2)):
        metric.update(judged(mask, labels=labels, probability=probability, image=torch.ones(3, 3, SIDE, SIDE)))
        assert (int(metric.count), int(metric.skipped)) == (1, 2)
    assert seen == [1]  # the owner counts among all the images
