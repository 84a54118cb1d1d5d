"""Masks on the disk, so that a method runs once an image, whatever is asked of its masks later.

A mask is stored as float32, as it was made: a score of a mask that was read is, to the bit, the score of the mask that
was made. Each mask has a file of its own, which is written beside its place and then renamed: whenever a process is
killed, a file is whole or absent, and several processes and evaluations can share a folder. Nothing is forced to the
disk (no fsync): after a power failure a file may be torn; its checksum tells, and the mask is made again.
"""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from typing_extensions import TypedDict

from explainer.evaluation.storage.fingerprint import slug
from explainer.files import conform, read_state, replacing, sweep, write_json

ABOUT = "about.json"
"""File beside the masks that says what they are of."""
CostValues = dict[str, float | None]
"""The fields of a `Cost` by name, as a row of results has them."""


class MeasuredMasks(NamedTuple):
    """Masks, and what is known of how they were made.

    Attributes:
        mask: Masks (B, 1, H, W) in [0, 1].
        broken: Whether a map had a NaN or infinite pixel, an entry an image.
        cost: Numbers measured while the masks were made ("seconds" and others), an entry an image.
    """

    mask: Tensor
    broken: list[bool]
    cost: list[CostValues]


class _About(TypedDict):
    """What a mask's file says beside the mask.

    Attributes:
        broken: Whether a map of the image had a NaN or infinite pixel.
        cost: Numbers measured while the mask was made.
    """

    broken: bool
    cost: CostValues


class _StoredMask(NamedTuple):
    """One image's mask as its file holds it.

    Attributes:
        mask: Mask (1, H, W) in [0, 1].
        about: What is known of how it was made.
    """

    mask: Tensor
    about: _About


def file_name(name: str) -> str:
    """Replace the characters of a name that a file system could mind.

    Example:
        >>> file_name("n01440764/one image.JPEG")
        'n01440764_one_image.JPEG'
    """
    return "".join(c if c.isalnum() or c in "-." else "_" for c in name)


def digest(about: Mapping[str, Any]) -> str:
    """Return a short name for plain values; other values have another name.

    Example:
        >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})
        True
    """
    text = json.dumps(about, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class MaskStore:
    """Masks in folder/<method>/<fingerprint>/<image>.npz; masks of another fingerprint are never looked at.

    Args:
        folder: Folder of the masks, created when the first one is stored.
        about: Method → all that decides its masks, in plain values; masks of other methods are not stored.
        only: Ids of the images whose masks are stored; None stores all.
    """

    def __init__(
        self,
        folder: Path,
        about: Mapping[str, Mapping[str, Any]],
        only: Collection[str] | None = None,
    ) -> None:
        self.folder = folder
        self.about = about
        self.only = None if only is None else set(only)
        self._described: set[str] = set()
        self.places = {}
        for name, values in about.items():
            self.places[name] = folder / slug(name) / digest(values)

    def path(self, method: str, image: str) -> Path:
        """Return the file of a mask; different images have different files, whatever their names."""
        # by characters for a reader, by bytes for the file system, which counts those
        readable = file_name(image)[:80].encode()
        start = readable[:240].decode(errors="ignore")
        # names that differ only in what `file_name` replaces, or behind the cut, differ in the digest
        digest = hashlib.sha256(image.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        return self.places[method] / f"{start}.{digest}.npz"

    def add(self, method: str, ids: Sequence[str], masks: MeasuredMasks) -> None:
        """Store masks, each in a file of its own.

        Args:
            method: Name of the method.
            ids: Names of the images.
            masks: Masks of these images.
        """
        if method not in self.places:
            return
        self._describe(method)
        for n, image in enumerate(ids):
            if self.only is not None and image not in self.only:
                continue
            # in the same file: what a mask cost is lost with the mask, and not read beside another one
            about = json.dumps({"broken": masks.broken[n], "cost": masks.cost[n]})
            array = masks.mask[n].float().cpu().numpy()
            with replacing(self.path(method, image)) as partial, partial.open("wb") as file:
                np.savez(file, mask=array, about=np.array(about))

    def _describe(self, method: str) -> None:
        """Write what a method's masks are of, once, unless it is there."""
        if method in self._described:
            return
        path = self.places[method] / ABOUT
        if read_state(path, dict[str, Any]) is None:  # missing, or torn
            write_json(path, self.about[method], sort_keys=True)
        self._described.add(method)

    def sweep(self) -> None:
        """Remove the half-written files of processes that were killed."""
        for place in self.places.values():
            sweep(place)

    def find(self, method: str, ids: Sequence[str]) -> MeasuredMasks | None:
        """Read the masks of several images, on the CPU; None unless all of them are stored and whole."""
        stored = []
        for image in ids:
            one = self._read(method, image)
            if one is None:
                return None
            stored.append(one)
        if not stored:
            return None
        masks = torch.stack([one.mask for one in stored])
        broken = [one.about["broken"] for one in stored]
        cost = [one.about["cost"] for one in stored]
        return MeasuredMasks(masks, broken, cost)

    def read(self, method: str, image: str) -> Tensor | None:
        """Read the mask of an image, (1, H, W) in [0, 1]; None where it is missing or torn."""
        stored = self._read(method, image)
        if stored is None:
            return None
        return stored.mask

    def _read(self, method: str, image: str) -> _StoredMask | None:
        """Read a mask and what is known of it; None where it is missing or torn."""
        if method not in self.places or not self.path(method, image).is_file():
            return None
        try:
            with np.load(self.path(method, image), allow_pickle=False) as content:
                mask = torch.from_numpy(content["mask"])
                about = conform(json.loads(str(content["about"])), _About, "")
        except (OSError, EOFError, KeyError, TypeError, ValueError, RecursionError, zipfile.BadZipFile, zlib.error):
            return None  # a torn file's mask is made again
        if mask.ndim != 3 or len(mask) != 1 or mask.dtype != torch.float32:
            return None
        return _StoredMask(mask, about)

    def strangers(self) -> list[str]:
        """Return a line for each method of which only masks of something else are stored, naming what differs."""
        lines = []
        for method, place in self.places.items():
            if (place / ABOUT).is_file():
                continue
            paths = sorted(place.parent.glob(f"*/{ABOUT}"))
            contents = [read_state(path, dict[str, Any]) for path in paths]
            others = [content for content in contents if content is not None]
            if not others:
                continue
            # as a file would give it back, to be compared with what files give
            now = json.loads(json.dumps(self.about[method], default=str))
            # of several, the one that is nearest: a reader looks for what was changed last
            changed = min((changed_keys(other, now) for other in others), key=len)
            keys = ", ".join(changed)
            lines.append(f"maps of {method} in {place.parent} are of another {keys}: not used, made anew")
        return lines

    def missing_bytes(self, images: int, side: int) -> int:
        """Return how much more room the masks will take, in bytes.

        Args:
            images: Number of images of the evaluation.
            side: Side of the square images in pixels.
        """
        if self.only is not None:
            images = min(images, len(self.only))
        missing = 0
        for place in self.places.values():
            # a file that is only partly written takes no room for good
            whole = [path for path in place.glob("*.npz") if ".partial" not in path.name]
            missing += max(0, images - len(whole))
        # float32, and what surrounds the array in its file
        return missing * (4 * side * side + 1000)


def changed_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the keys whose values differ, in order; a key that is missing on one side counts as None there.

    Example:
        >>> changed_keys({"a": 1, "b": 2}, {"b": 3, "c": 4})
        ['a', 'b', 'c']
    """
    keys = {**before, **after}
    return sorted(key for key in keys if before.get(key) != after.get(key))
