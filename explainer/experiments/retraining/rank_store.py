"""Saliency ranks of a data set: built once, read by every retraining on it.

S. Hooker et al.: A Benchmark for Interpretability Methods in Deep Neural Networks, NeurIPS 2019. They rank channels of
pixels; here, as in T. N. Mundhenk et al.: Efficient Saliency Maps for Explainable AI, 2020, pixels are ranked.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_warn
from torch import Tensor

from explainer.errors import InputError
from explainer.files import read_state, write_json

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
        earlier = self._state()
        if earlier is not None:
            changed = [key for key, value in now.items() if earlier.get(key) != value]
            if changed:
                raise InputError(f"{self.path} holds ranks of another {', '.join(changed)}: delete it, or name another")
            array = self._opened("r+", earlier)
            if array is not None:
                self._array = array
                return int(earlier["done"])
        if self.path.exists() or self.about.exists():
            rank_zero_warn(f"{self.path} or its .json is torn: the ranks are made again")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        shape = (len(ids), size, size)
        self._array = np.lib.format.open_memmap(self.path, mode="w+", dtype=np.uint8, shape=shape)
        self._write(now | {"done": 0, "seconds": 0.0, "colour": None})
        return 0

    def _write(self, content: dict[str, Any]) -> None:
        write_json(self.about, content, sort_keys=True)

    def _state(self) -> dict[str, Any] | None:
        """What the file is of; None where it is missing, torn or empty."""
        state = read_state(self.about, dict[str, Any]) if self.path.is_file() else None
        if state is None or not set(state) >= {"fingerprint", "ids", "count", "size", "done", "seconds", "colour"}:
            return None
        numbers = [state[key] for key in ("count", "size", "done")]
        whole = all(isinstance(number, int) for number in numbers) and isinstance(state["fingerprint"], dict)
        return state if whole and isinstance(state["seconds"], int | float) else None

    def _opened(self, mode: Literal["r", "r+"], state: dict[str, Any]) -> np.memmap | None:
        """The ranks themselves; None where their file is torn or has another shape."""
        try:
            array = np.load(self.path, mmap_mode=mode)
        except (ValueError, EOFError):
            return None
        fits = array.shape == (state["count"], state["size"], state["size"]) and array.dtype == np.uint8
        return cast(np.memmap, array) if fits else None

    def write(self, start: int, found: Tensor, seconds: float) -> None:
        """Store ranks (B, H, W) from image `start` on, on disk before they count as done."""
        assert self._array is not None
        self._array[start : start + len(found)] = found.cpu().numpy()
        self._array.flush()
        content = self.facts()
        self._write(content | {"done": start + len(found), "seconds": content["seconds"] + seconds})

    def finish(self, colour: Sequence[float]) -> None:
        """Note the mean colour of the training images, which stands where pixels are removed."""
        self._write(self.facts() | {"colour": list(colour)})

    def facts(self) -> dict[str, Any]:
        """What the file is of: fingerprint, ids, count, size, done, seconds, colour.

        Raises:
            InputError: There is no such file, or it is torn.
        """
        if not self.about.is_file() or not self.path.is_file():
            raise InputError(f"no saliency ranks {self.path}: evaluate.py builds them for a retraining grid")
        state = self._state()
        if state is None:
            raise InputError(f"{self.about} is torn: delete it, and evaluate.py builds the ranks again")
        return state

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
        self._array = self._opened("r", facts)
        if self._array is None:
            raise InputError(f"{self.path} is torn: delete it, and evaluate.py builds the ranks again")
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
    return hashlib.sha256("\n".join(ids).encode("utf-8", "surrogateescape")).hexdigest()[:16]
