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


class Plain(nn.Module):
    """Convolutions, then linear layers with dropout, as AlexNet and VGG have them."""

    def __init__(self, num_classes):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(8 * 4 * 4, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, num_classes)
        )

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def plain(num_classes=6):
    return Plain(num_classes)
