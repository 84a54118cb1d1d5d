"""A small classifier for small images: what the demo trains and explains in minutes."""

from torch import Tensor, nn


class SmallCNN(nn.Module):
    """Four stages of two 3×3 convolutions, halved between them; the last feature map is an eighth of the input.

    Args:
        num_classes: Number K of classes.
        width: Channels of the first stage; doubled in each later one.
    """

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        stages = []
        channels = 3
        for index in range(4):
            wider = width * 2**index
            layers: list[nn.Module] = []
            if index:
                layers.append(nn.MaxPool2d(2))
            for _ in range(2):
                # no bias: the BatchNorm behind it would take it away again
                convolution = nn.Conv2d(channels, wider, 3, padding=1, bias=False)
                layers += [convolution, nn.BatchNorm2d(wider), nn.ReLU()]
                channels = wider
            stages.append(nn.Sequential(*layers))
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        """Turn normalised images (B, 3, H, W) into logits (B, K)."""
        features = self.stages(image)
        pooled = self.pool(features).flatten(1)
        return self.classifier(pooled)


def small_cnn(num_classes: int = 6, width: int = 16) -> SmallCNN:
    """Build a `SmallCNN` with fresh weights.

    Example:
        >>> import torch
        >>> small_cnn()(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 6])
    """
    return SmallCNN(num_classes, width)
