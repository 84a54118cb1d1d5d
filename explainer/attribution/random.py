"""Noise: what every method must beat."""

import zlib

import torch
from torch import Tensor

from explainer.attribution.base import Reference
from explainer.errors import check_seed


class Random(Reference):
    """Uniform noise, another one for each image, the same one whenever it is asked for the same image.

    Args:
        seed: Of the noise.
    """

    def __init__(self, seed: int = 0) -> None:
        check_seed(f"attribution {type(self).__name__}: seed", seed)
        self.seed = seed

    def mask(self, image: Tensor) -> Tensor:
        """(B, 1, H, W) in [0, 1)."""
        maps = []
        for one in image.detach().cpu():
            own = zlib.crc32(one.float().contiguous().numpy().tobytes())
            generator = torch.Generator().manual_seed((own + self.seed * 0x9E3779B1) % 2**32)  # 32 bits count
            maps.append(torch.rand(1, *one.shape[-2:], generator=generator))
        return torch.stack(maps).to(image)
