"""Saliency ranks of a data set: built once, read by every retraining on it.

S. Hooker et al.: A Benchmark for Interpretability Methods in Deep Neural Networks, NeurIPS 2019. They rank channels of
pixels; here, as in T. N. Mundhenk et al.: Efficient Saliency Maps for Explainable AI, 2020, pixels are ranked.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_warn
from torch import Tensor
from typing_extensions import TypedDict

from explainer.errors import InputError
from explainer.evaluation.storage.fingerprint import Fingerprint
from explainer.files import read_state, write_json

LEVELS = 200
"""Number of ranks, 0 the most salient: one byte a pixel holds them, and each is half a percent of the image."""


def levels(maps: Tensor) -> Tensor:
    """Rank the pixels of each map; ties are broken by one fixed permutation, not by position.

    Args:
        maps: Maps, (B, 1, H, W), higher is more salient; NaN ranks last.

    Returns:
        (B, H, W) uint8: 0 for the most salient half percent, 199 for the least salient.

    Example:
        >>> levels(torch.tensor([[[[0.1, 0.9], [0.5, 0.3]]]])).tolist()
        [[[150, 0], [50, 100]]]
    """
    flat = maps.flatten(1).nan_to_num(-torch.inf)
    count = flat.shape[1]
    # by position, ties of a map with few values would rank its top rows first: no saliency, but a shape
    generator = torch.Generator().manual_seed(0)
    shuffle = torch.randperm(count, generator=generator).to(flat.device)
    sorted_places = flat[:, shuffle].argsort(dim=1, descending=True, stable=True)
    order = shuffle[sorted_places]
    places = torch.arange(count, device=flat.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(1, order, places)
    level = rank * LEVELS // count
    size = maps.shape[-2:]
    return level.to(torch.uint8).view(len(maps), *size)


class State(TypedDict):
    """What <split>.json says of the ranks beside it.

    Attributes:
        fingerprint: Plain values on which the ranks depend.
        ids: Digest of the images' names.
        count: Number of images.
        size: Side of the maps in pixels.
        done: Number of images whose ranks are written, from the first on.
        seconds: Seconds that the maps took so far.
        colour: Mean colour of the training images, three numbers in [0, 1]; None until all ranks are written.
    """

    fingerprint: Fingerprint
    ids: str
    count: int
    size: int
    done: int
    seconds: float
    colour: Sequence[float] | None


class Ranks:
    """The ranks of one split, in <folder>/<split>.npy, and what they are of, in <folder>/<split>.json.

    Args:
        folder: Folder of the ranks by one method on one data set.
        split: "train", "val" or "test".
    """

    def __init__(self, folder: str | Path, split: str) -> None:
        self.path = Path(folder) / f"{split}.npy"
        self.about = Path(folder) / f"{split}.json"
        self._array: np.memmap | None = None

    def create(self, ids: Sequence[str], size: int, fingerprint: Fingerprint) -> int:
        """Make the file, or go on with it.

        Args:
            ids: Names of the images, in order.
            size: Side of the maps in pixels.
            fingerprint: Plain values on which the ranks depend.

        Returns:
            The number of images whose ranks are there already.

        Raises:
            InputError: The file holds ranks of something else.
        """
        given = {"fingerprint": fingerprint, "ids": digest(ids), "count": len(ids), "size": size}
        # as the file would give it back: tuples as lists, keys as strings
        now = json.loads(json.dumps(given, default=str))
        earlier = self._state()
        if earlier is not None:
            changed = [key for key, value in now.items() if earlier.get(key) != value]
            if changed:
                raise InputError(f"{self.path} holds ranks of another {', '.join(changed)}: delete it, or name another")
            array = self._opened("r+", earlier)
            if array is not None:
                self._array = array
                return earlier["done"]
        if self.path.exists() or self.about.exists():
            rank_zero_warn(f"{self.path} or its .json is torn: the ranks are made again")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # the array first: where there is a .json, there are ranks to which it belongs
        shape = (len(ids), size, size)
        self._array = np.lib.format.open_memmap(self.path, mode="w+", dtype=np.uint8, shape=shape)
        self._write(now | {"done": 0, "seconds": 0.0, "colour": None})
        return 0

    def _write(self, content: Mapping[str, Any]) -> None:
        """Write what the ranks are of."""
        write_json(self.about, content, sort_keys=True)

    def _state(self) -> State | None:
        """Read what the ranks are of; None where a file is missing, torn or empty."""
        if not self.path.is_file():
            return None
        state = read_state(self.about, dict[str, Any])
        if state is None or not set(state) >= set(State.__annotations__):
            return None
        numbers = [state[key] for key in ("count", "size", "done")]
        counted = all(isinstance(number, int) for number in numbers)
        described = isinstance(state["fingerprint"], dict)
        timed = isinstance(state["seconds"], int | float)
        if not (counted and described and timed):
            return None
        return cast(State, state)

    def _opened(self, mode: Literal["r", "r+"], state: State) -> np.memmap | None:
        """Open the ranks themselves; None where their file is torn or has another shape."""
        try:
            array = np.load(self.path, mmap_mode=mode)
        except (ValueError, EOFError):
            return None
        shape = (state["count"], state["size"], state["size"])
        if array.shape != shape or array.dtype != np.uint8:
            return None
        return cast(np.memmap, array)

    def write(self, start: int, ranks: Tensor, seconds: float) -> None:
        """Store the ranks of some images.

        Args:
            start: Index of the first of the images.
            ranks: Ranks, (B, H, W) uint8.
            seconds: Seconds that their maps took.
        """
        assert self._array is not None
        end = start + len(ranks)
        self._array[start:end] = ranks.cpu().numpy()
        # on the disk before they count as done
        self._array.flush()
        content = self.facts()
        self._write({**content, "done": end, "seconds": content["seconds"] + seconds})

    def finish(self, colour: Sequence[float]) -> None:
        """Note the mean colour of the training images, which stands where pixels are removed.

        Args:
            colour: Red, green and blue in [0, 1].
        """
        self._write({**self.facts(), "colour": list(colour)})

    def facts(self) -> State:
        """Return what the ranks are of.

        Raises:
            InputError: There is no such file, or it is torn.
        """
        if not self.about.is_file() or not self.path.is_file():
            raise InputError(f"no saliency ranks {self.path}: evaluate.py builds them for a retraining grid")
        state = self._state()
        if state is None:
            raise InputError(f"{self.about} is torn: delete it, and evaluate.py builds the ranks again")
        return state

    def open(self, ids: Sequence[str], size: int, method: str | None = None) -> State:
        """Check the file against a data set, and read it.

        Args:
            ids: Names of the images, in order.
            size: Side of the images in pixels.
            method: Name of the method that the ranks must be by; None takes any.

        Returns:
            What the ranks are of.

        Raises:
            InputError: The ranks are missing, unfinished, or of another data set, image size or method.
        """
        facts = self.facts()
        if facts["size"] != size:
            raise InputError(f"{self.path} ranks images of {facts['size']} pixels, the data is at {size}")
        if facts["ids"] != digest(ids):
            raise InputError(f"{self.path} ranks another data set: {facts['count']} images there, {len(ids)} here")
        name = facts["fingerprint"].get("name")
        if method is not None and name != method:
            raise InputError(f"{self.path} holds ranks by {name!r}, not by {method!r}")
        if facts["done"] < facts["count"] or facts["colour"] is None:
            raise InputError(f"{self.path} is unfinished: {facts['done']} of {facts['count']} images")
        self._array = self._opened("r", facts)
        if self._array is None:
            raise InputError(f"{self.path} is torn: delete it, and evaluate.py builds the ranks again")
        return facts

    def __getitem__(self, index: int) -> Tensor:
        assert self._array is not None
        # a copy: the file is opened for reading alone, which a tensor cannot respect
        return torch.from_numpy(np.array(self._array[index]))


def digest(ids: Sequence[str]) -> str:
    """Return a short name for a list of images.

    Args:
        ids: Names of the images; their order counts.

    Example:
        >>> digest(["a", "b"]) == digest(["b", "a"])
        False
    """
    names = "\n".join(ids).encode("utf-8", "surrogateescape")
    return hashlib.sha256(names).hexdigest()[:16]
