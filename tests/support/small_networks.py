"""Networks whose evidence is known."""

import torch
from torch import nn


class Quadrant(nn.Module):
    """Two classes: the upper left quarter is brighter than grey, or darker."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(1, 2)
        with torch.no_grad():
            self.fc.weight.copy_(torch.tensor([[6.0], [-6.0]]))
            self.fc.bias.zero_()

    def forward(self, x):
        height, width = x.shape[-2] // 2, x.shape[-1] // 2
        return self.fc(x[:, :, :height, :width].mean((1, 2, 3))[:, None])


def quadrant():
    return Quadrant()


def tiny(num_classes=3):
    """A callable that returns a network, for a dotted path."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3), nn.ReLU(),
        nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, num_classes),
    )  # fmt: skip


def linear():
    """A classifier whose gradient is its weight, whatever the image."""
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 3))


def of_the_mean_colour():
    """A classifier that knows no place: there is nothing of it to show on an image."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))
