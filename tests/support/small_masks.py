"""Masks, objects and holes that are drawn."""

import torch

SIDE = 8


def regions(count=6, density=0.15):
    found = torch.rand(count, 1, SIDE, SIDE + 3, generator=torch.Generator().manual_seed(2)) < density
    found[0] = False
    found[1] = True
    return found


def with_hole(size=16, low=5, high=10):
    known = torch.ones(1, 1, size, size)
    known[..., low:high, low:high] = 0
    return known


def drawn(seed, count=4, sides=(6, 9), plateaus=False):
    """Masks, objects and weights; the first image is without an object."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(count, 1, *sides, generator=generator, dtype=torch.float64)
    mask = (3 * mask).round() / 3 if plateaus else mask
    truth = (torch.rand(count, 1, *sides, generator=generator) < 0.1).double()
    weight = (torch.rand(count, 1, *sides, generator=generator) < 0.8).double()
    truth[0] = 0
    return mask, truth, weight


VOID = 255


def scene(seed, batch=3, classes=4, side=7, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    draw = torch.rand(batch, classes, side, side, generator=generator)
    segmentation = (draw > 0.7).to(torch.uint8)
    border = torch.rand(batch, 1, side, side, generator=generator) > 0.8
    segmentation = segmentation.masked_fill(border, VOID)
    labels = (torch.rand(batch, classes, generator=generator) > 0.5).to(dtype)
    mask = torch.rand(batch, 1, side, side, generator=generator, dtype=dtype)
    return mask, segmentation, labels
