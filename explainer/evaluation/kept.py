"""Masks that are kept for pictures, so that a slow method runs once an image."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def file_name(name: str) -> str:
    """A name as a file's, without what a file system minds.

    Example:
        >>> file_name("n01440764/one image.JPEG")
        'n01440764_one_image.JPEG'
    """
    return "".join(c if c.isalnum() or c in "-." else "_" for c in name)


class KeptMasks:
    """Grey PNGs in a folder a method, for some of the images.

    Args:
        folder: Made when needed.
        ids: Of the images whose masks are kept.
    """

    def __init__(self, folder: Path, ids: Collection[str]) -> None:
        self.folder, self.ids = folder, set(ids)

    def path(self, method: str, image: str) -> Path:
        """Where a mask is."""
        return self.folder / file_name(method) / f"{file_name(image)}.png"

    def add(self, method: str, ids: list[str], masks: Tensor) -> None:
        """Keep those of the chosen images.

        Args:
            method: Name.
            ids: Of the images.
            masks: (B, 1, H, W) in [0, 1].
        """
        for name, mask in zip(ids, masks, strict=True):
            if name in self.ids:
                path = self.path(method, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                grey = (mask[0].float().cpu().numpy() * 65535).round().astype(np.uint16)
                Image.fromarray(grey).save(path)

    def read(self, method: str, image: str) -> Tensor | None:
        """(1, H, W) in [0, 1], or None."""
        path = self.path(method, image)
        if not path.is_file():
            return None
        with Image.open(path) as file:
            return torch.from_numpy(np.asarray(file).astype(np.float32) / 65535)[None]
