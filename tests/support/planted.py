"""Networks in which a known place alone can decide, one for each layout, and pictures with evidence there."""

from typing import NamedTuple

import torch
from torch import nn

from explainer.networks import Explanandum

SIDE, PATCH = 64, 8
GRID = SIDE // PATCH


class Block(nn.Module):
    """A layer on the channels, beside what comes in."""

    def __init__(self, width, layout="tokens"):
        super().__init__()
        self.layer = nn.Conv2d(width, width, 1) if layout == "first" else nn.Linear(width, width)
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, x):
        return x + self.layer(x).relu()


class Planted(nn.Module):
    """Two classes; the second is seen where a patch is redder than green, and nowhere else.

    The patches' answers lie as a convolution leaves them, with their channels last, or as tokens behind others.
    """

    def __init__(self, layout, prefix=0, blocks=5, width=8):
        super().__init__()
        self.patches = nn.Conv2d(3, width, PATCH, PATCH)
        self.blocks = nn.ModuleList(Block(width, layout) for _ in range(blocks))
        self.head = nn.Linear(width, 2)
        self.layout = layout
        self.prefix = prefix
        with torch.no_grad():
            self.patches.weight.zero_()
            self.patches.weight[0, 0], self.patches.weight[0, 1] = 1 / PATCH**2, -1 / PATCH**2
            # the others say a little of brightness, so that activations are not 0 in most places
            self.patches.weight[1:] = 0.02 * torch.rand(width - 1, 3, PATCH, PATCH) / PATCH**2
            self.patches.bias.zero_()
            self.patches.bias[0] = -0.05
            self.head.weight.zero_()
            self.head.bias.zero_()
            self.head.weight[1, 0] = 80.0
            self.head.bias[1] = -3.0

    def forward(self, image):
        x = self.patches(image).relu()
        if self.layout == "first":
            for block in self.blocks:
                x = block(x)
            return self.head(x.mean((2, 3)))
        if self.layout == "last":
            x = x.permute(0, 2, 3, 1)
            for block in self.blocks:
                x = block(x)
            return self.head(x.mean((1, 2)))
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat([x.new_zeros(len(x), self.prefix, x.shape[2]), x], 1)
        for block in self.blocks:
            x = block(x)
        return self.head(x[:, self.prefix :].mean(1))


KINDS = {"first": ("first", 0), "last": ("last", 0), "tokens": ("tokens", 0), "class token": ("tokens", 1),
         "registers": ("tokens", 5)}  # fmt: skip


def planted(kind):
    torch.manual_seed(0)
    return Explanandum(Planted(*KINDS[kind]), mean=(0.0,) * 3, std=(1.0,) * 3)


def picture(place):
    """Grey noise, and a red square of 2 × 2 patches."""
    image = 0.4 + 0.1 * torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    row, column = (PATCH * number for number in place)
    image[:, 0, row : row + 2 * PATCH, column : column + 2 * PATCH] = 1.0
    image[:, 1:, row : row + 2 * PATCH, column : column + 2 * PATCH] = 0.0
    return image


class Evidence(NamedTuple):
    """Where a map is high: whether its highest pixel lies on the evidence, and the mean there over that elsewhere."""

    highest_inside: bool
    ratio: float


def evidence(saliency, place):
    """Hold a map (1, 1, SIDE, SIDE) against the place of the evidence; one patch more on each side counts as there."""
    saliency = saliency[0, 0] - saliency.amin()
    row, column = (PATCH * number for number in place)
    # a map that is enlarged reaches over
    inside = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    inside[max(0, row - PATCH) : row + 3 * PATCH, max(0, column - PATCH) : column + 3 * PATCH] = True
    outside = saliency[~inside]
    ratio = float(saliency[inside].mean() / outside.mean().clamp_min(1e-12))
    return Evidence(bool(saliency[inside].max() > outside.max()), ratio)


class Looking(nn.Module):
    """A class token that looks at red patches: the second class is seen where they are, and nowhere else."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 4, PATCH, PATCH, bias=False)
        self.blocks = nn.ModuleList(Look() for _ in range(2))
        self.head = nn.Linear(4, 2)
        with torch.no_grad():
            self.patches.weight.zero_()
            self.patches.weight[0, 0], self.patches.weight[0, 1] = 1 / PATCH**2, -1 / PATCH**2
            # brightness too, so that layers have something to show everywhere
            self.patches.weight[1] = 0.1 / PATCH**2
            self.head.weight.copy_(torch.tensor([[0.0] * 4, [8.0, 0.0, 0.0, 0.0]]))
            self.head.bias.copy_(torch.tensor([0.0, -8.0]))

    def forward(self, image):
        x = self.patches(image).relu().flatten(2).transpose(1, 2)
        x = torch.cat([x.new_zeros(len(x), 1, 4), x], 1)
        for block in self.blocks:
            x = block(x)
        return self.head(x[:, 0])


class Look(nn.Module):
    def __init__(self):
        super().__init__()
        self.key = nn.Linear(4, 4, bias=False)
        with torch.no_grad():
            self.key.weight.zero_()
            self.key.weight[0, 0] = 3.0

    def forward(self, x):
        query = torch.ones_like(x)
        # each token looks at what is red
        scores = (query @ self.key(x).transpose(1, 2))[:, None]
        return x + (scores.softmax(-1) @ x[:, None])[:, 0]
