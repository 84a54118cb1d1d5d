"""Saliency ranks of a data set: built once, read by every retraining on it.

S. Hooker et al.: A Benchmark for Interpretability Methods in Deep Neural Networks, NeurIPS 2019. They rank channels of
pixels; here, as in T. N. Mundhenk et al.: Efficient Saliency Maps for Explainable AI, 2020, pixels are ranked.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from explainer.errors import InputError

LEVELS = 200
"""A byte a pixel: half a percent of the image a level, 0 the most salient."""


def levels(maps: Tensor) -> Tensor:
    """Rank the pixels of each map; ties are broken by one fixed permutation, not by position.

    Args:
        maps: (B, 1, H, W), higher is more salient; NaN ranks last.

    Returns:
        (B, H, W) uint8: 0 for the most salient half percent, 199 for the least salient.

    Example:
        >>> levels(torch.tensor([[[[0.1, 0.9], [0.5, 0.3]]]])).tolist()
        [[[150, 0], [50, 100]]]
    """
    flat = maps.flatten(1).nan_to_num(-torch.inf)
    count = flat.shape[1]
    shuffle = torch.randperm(count, generator=torch.Generator().manual_seed(0)).to(flat.device)
    order = shuffle[flat[:, shuffle].argsort(dim=1, descending=True, stable=True)]
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(count, device=flat.device).expand_as(order))
    return (rank * LEVELS // count).to(torch.uint8).view(len(maps), *maps.shape[-2:])


class Ranks:
    """The ranks of one split, in <folder>/<split>.npy, and what they are of, in <folder>/<split>.json.

    Args:
        folder: Of one method on one data set.
        split: "train", "val" or "test".
    """

    def __init__(self, folder: str | Path, split: str) -> None:
        self.path, self.about = Path(folder) / f"{split}.npy", Path(folder) / f"{split}.json"
        self._array: np.memmap | None = None

    def create(self, ids: Sequence[str], size: int, fingerprint: dict[str, Any]) -> int:
        """Make the file, or go on with it.

        Args:
            ids: Names of the images, in order.
            size: Side of the maps.
            fingerprint: What the ranks depend on, in plain values.

        Returns:
            How many images are done.

        Raises:
            InputError: The file holds ranks of something else.
        """
        now = {"fingerprint": fingerprint, "ids": digest(ids), "count": len(ids), "size": size}
        now = json.loads(json.dumps(now, default=str))
        if self.path.is_file() and self.about.is_file():
            earlier = json.loads(self.about.read_text())
            changed = [key for key, value in now.items() if earlier.get(key) != value]
            if changed:
                raise InputError(f"{self.path} holds ranks of another {', '.join(changed)}: delete it, or name another")
            self._array = np.load(self.path, mmap_mode="r+")
            return int(earlier["done"])
        self.path.parent.mkdir(parents=True, exist_ok=True)
        shape = (len(ids), size, size)
        self._array = np.lib.format.open_memmap(self.path, mode="w+", dtype=np.uint8, shape=shape)
        self._write(now | {"done": 0, "seconds": 0.0, "colour": None})
        return 0

    def _write(self, content: dict[str, Any]) -> None:
        partial = self.about.with_suffix(".partial")
        partial.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
        partial.replace(self.about)

    def write(self, start: int, found: Tensor, seconds: float) -> None:
        """Store ranks (B, H, W) from image `start` on, on disk before they count as done."""
        assert self._array is not None
        self._array[start : start + len(found)] = found.cpu().numpy()
        self._array.flush()
        content = json.loads(self.about.read_text())
        self._write(content | {"done": start + len(found), "seconds": content["seconds"] + seconds})

    def finish(self, colour: Sequence[float]) -> None:
        """Note the mean colour of the training images, which stands where pixels are removed."""
        self._write(json.loads(self.about.read_text()) | {"colour": list(colour)})

    def facts(self) -> dict[str, Any]:
        """What the file is of: fingerprint, ids, count, size, done, seconds, colour.

        Raises:
            InputError: There is no such file.
        """
        if not self.about.is_file() or not self.path.is_file():
            raise InputError(f"no saliency ranks {self.path}: evaluate.py builds them for a retraining grid")
        return json.loads(self.about.read_text())

    def open(self, ids: Sequence[str], size: int, method: str | None = None) -> dict[str, Any]:
        """Check the file against a data set, and read it.

        Args:
            ids: Names of the images, in order.
            size: Side of the images.
            method: Its name, when it matters.

        Returns:
            As `facts`.

        Raises:
            InputError: The ranks are missing, unfinished, or of another data set, image size or method.
        """
        facts = self.facts()
        if facts["size"] != size:
            raise InputError(f"{self.path} ranks images of {facts['size']} pixels, the data is at {size}")
        if facts["ids"] != digest(ids):
            raise InputError(f"{self.path} ranks another data set: {facts['count']} images there, {len(ids)} here")
        if method is not None and facts["fingerprint"].get("name") != method:
            raise InputError(f"{self.path} holds ranks by {facts['fingerprint'].get('name')!r}, not by {method!r}")
        if facts["done"] < facts["count"] or facts["colour"] is None:
            raise InputError(f"{self.path} is unfinished: {facts['done']} of {facts['count']} images")
        self._array = np.load(self.path, mmap_mode="r")
        return facts

    def __getitem__(self, index: int) -> Tensor:
        assert self._array is not None
        return torch.from_numpy(np.array(self._array[index]))


def digest(ids: Sequence[str]) -> str:
    """A short name for a list of images.

    Example:
        >>> digest(["a", "b"]) == digest(["b", "a"])
        False
    """
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
