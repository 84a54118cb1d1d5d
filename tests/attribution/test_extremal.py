"""Extremal perturbations: the loss of the area, the blur, and the area that is chosen."""

import math

import pytest
import torch

from explainer.attribution import ExtremalPerturbation
from explainer.attribution.extremal import BlurredScore, area_loss, blur_pyramid, smooth_maximum
from explainer.networks import Explanandum
from tests.support.oracles import extremal_area


def test_the_area_loss_is_that_of_the_sorted_mask():
    masks = torch.rand(2, 3, 1, 6, 7, dtype=torch.float64)
    got = area_loss(masks, torch.tensor([0.1, 0.5]))
    for a, area in enumerate((0.1, 0.5)):
        for n in range(3):
            assert float(got[a, n]) == pytest.approx(extremal_area(masks[a, n, 0].numpy(), area), abs=1e-12)
    masks.requires_grad_()
    assert torch.autograd.gradcheck(lambda m: area_loss(m, torch.tensor([0.1, 0.5])), (masks,))


def test_the_smooth_maximum_spreads_a_node_as_a_gaussian():
    grid = torch.zeros(1, 1, 15, 15)
    grid[0, 0, 7, 7] = 1
    spread = smooth_maximum(grid, 2.0, temperature=0.01)[0, 0]
    assert spread[7, 7] == spread.max() > 0.9
    assert spread[7, 9].item() == pytest.approx(math.exp(-0.5), abs=0.05)
    torch.testing.assert_close(spread, spread.T)


def test_the_blur_pyramid_is_read_between_its_levels(explanandum, image, target):
    pyramid = blur_pyramid(image, 3, 4.0)
    assert torch.equal(pyramid[:, 2], image)
    scorer = BlurredScore(pyramid, explanandum, image, target, "logit", 8)
    owner = torch.arange(3)
    for value, want in ((1.0, image), (0.0, pyramid[:, 0]), (0.25, (pyramid[:, 0] + pyramid[:, 1]) / 2)):
        torch.testing.assert_close(scorer.look(owner, torch.full((3, 1, 32, 32), value), None), want)
    scorer.mirrored = True
    torch.testing.assert_close(scorer.look(owner, torch.ones(3, 1, 32, 32), None), image.flip(-1))


def test_the_smallest_area_that_keeps_the_logit_is_chosen():
    explanandum = Explanandum("tests.support.small_networks.quadrant", multilabel=False)
    method = ExtremalPerturbation([0.4, 0.1, 0.25], choose="smallest")
    image = torch.full((3, 3, 32, 32), 0.5)
    image[:, :, 4:12, 4:12] = 1.0  # bright: the upper left quarter is seen, or its blur, which is darker
    masks = torch.zeros(3, 3, 1, 32, 32)  # (area, image): those of 0.4 show the quarter, for each image
    masks[0, :, :, :16, :16] = 1
    masks[1, 0, :, :16, :16] = 1  # of the first image 0.1 is enough
    masks[2, 1, :, :16, :16] = 1  # of the second 0.25; of the third only 0.4
    masks[1, 1, :, 20:, 20:] = 1
    chosen = method._smallest(explanandum, image, torch.zeros(3, dtype=torch.long), masks)
    assert torch.equal(chosen, torch.stack([masks[1, 0], masks[2, 1], masks[0, 2]]))
    none = method._smallest(explanandum, image, torch.zeros(3, dtype=torch.long), torch.zeros_like(masks) + 0.1)
    assert torch.equal(none, torch.full_like(chosen, 0.1))  # none suffices: the largest area's


def test_extremal_perturbations_find_the_evidence():
    explanandum = Explanandum("tests.support.small_networks.quadrant", multilabel=False)
    explanandum.describe_classes(("bright", "dark"), False, new_head=False)
    image = torch.full((1, 3, 32, 32), 0.1)
    image[:, :, 4:12, 4:12] = 1.0  # blurred, it spreads out of the quarter
    method = ExtremalPerturbation([0.2], steps=500, learning_rate=0.02, area_weight=30.0, mirror=False, blur=60.0)
    found = method(explanandum, image, torch.tensor([0]))
    assert found[:, :, 4:12, 4:12].mean() > 1.3 * found[:, :, 16:, 16:].mean()
