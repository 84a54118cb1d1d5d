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
