"""Photographs with the class that a classifier sees in them, for benchmarks on real images."""

from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from explainer.inference.explain import read_photo
from explainer.networks import Explanandum


def load(folder: str, count: int) -> tuple[Explanandum, Tensor, Tensor]:
    """EfficientNet-Lite0, images (N, 3, 224, 224) evenly chosen from a folder, and the predicted classes."""
    files = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    chosen = [files[i * len(files) // count] for i in range(count)]
    images = torch.stack([F.resize(read_photo(path)[0], [224, 224], antialias=True) for path in chosen])
    explanandum = Explanandum("explainer.networks.lite.efficientnet_lite0", multilabel=False)
    with torch.no_grad():
        return explanandum, images, explanandum(images).argmax(1)
