"""RISE: its masks, their weighted mean, and how often it asks."""

import numpy as np
import pytest
import torch

from explainer.attribution import RISE
from explainer.attribution.rise import rise_masks


def seeded(image, seed):
    return torch.Generator(image.device).manual_seed(seed)


def test_rise_masks_are_shifted_grids():
    masks = rise_masks(2000, (30, 42), 5, 0.3, torch.Generator().manual_seed(0))
    assert masks.shape == (2000, 1, 30, 42)
    assert masks.min() >= 0
    assert masks.max() <= 1 + 1e-6
    assert masks.mean().item() == pytest.approx(0.3, abs=0.01)
    assert masks.mean((0, 1)).std() < 0.03  # no place is favoured


def test_rise_is_the_weighted_mean_of_its_masks(explanandum, image, target):
    method = RISE(10, grid=4, batch_size=4, probability=0.4, seed=5)
    got = method(explanandum, image, target)
    generator = seeded(image, 5)
    masks = torch.cat([rise_masks(count, (32, 32), 4, 0.4, generator) for count in (4, 4, 2)])
    for n, c in enumerate(target.tolist()):
        total = np.zeros((32, 32))
        for mask in masks:
            seen = mask * image[n] + (1 - mask) * explanandum.mean_colour[0]
            p = float(explanandum.probabilities(explanandum(seen[None]))[0, c])
            total += p * mask[0].cpu().numpy()
        np.testing.assert_allclose(got[n, 0].cpu().numpy(), total / (10 * 0.4), atol=1e-5)


def test_rise_asks_once_for_all_classes_of_an_image(explanandum, image):
    calls = []
    handle = explanandum.register_forward_hook(lambda m, i, o: calls.append(len(o)))
    maps = RISE(8, grid=4)(explanandum, image, torch.ones(3, 3, dtype=torch.bool, device=image.device))
    handle.remove()
    assert maps.shape == (9, 1, 32, 32)
    assert sum(calls) == 8 * 3


def test_a_target_mask_takes_no_pass_more_for_a_second_label(explanandum, image):
    method = RISE(masks=20, grid=4)
    asked = []
    handle = explanandum.register_forward_hook(lambda module, inputs, output: asked.append(len(inputs[0])))
    one = torch.eye(3, device=image.device)
    method.target_mask(explanandum, image, one)
    passes = sum(asked)
    asked.clear()
    two = method.target_mask(explanandum, image, one + one.roll(1, 1))
    handle.remove()
    assert sum(asked) == passes == 3 * 20
    single = [method.target_mask(explanandum, image, labels) for labels in (one, one.roll(1, 1))]
    torch.testing.assert_close(two, torch.maximum(*single))
