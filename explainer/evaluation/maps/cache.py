"""Masks that are kept on disk, so that a method runs once an image, whatever is asked of its masks later.

A mask is kept as float32, as it was made: a score of a mask that was read is, to the bit, that of the mask when it was
made. Each is a file of its own, written beside and then renamed: whenever a process is killed, a file is whole or not
there, and several processes and several evaluations share a folder. Nothing is forced to the disk (no fsync): after a
power failure a file may be torn, which its checksum tells, and the mask is made again.
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


class Made(NamedTuple):
    """Masks, and what is known of how they were made.

    Attributes:
        mask: (B, 1, H, W) in [0, 1].
        broken: An entry an image: whether a map had a NaN or infinite pixel.
        cost: An entry an image, of plain numbers: "seconds" and what else was measured.
    """

    mask: Tensor
    broken: list[bool]
    cost: list[dict[str, Any]]


class _About(TypedDict):
    broken: bool
    cost: dict[str, float | None]


def file_name(name: str) -> str:
    """A name as a file's, without what a file system minds.

    Example:
        >>> file_name("n01440764/one image.JPEG")
        'n01440764_one_image.JPEG'
    """
    return "".join(c if c.isalnum() or c in "-." else "_" for c in name)


def digest(about: Mapping[str, Any]) -> str:
    """A short name for plain values; others have another one.

    Example:
        >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})
        True
    """
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()[:16]


class KeptMasks:
    """folder/<method>/<fingerprint>/<image>.npz: masks of another fingerprint are never looked at.

    Args:
        folder: Made when needed.
        about: Method → all that decides its masks, in plain values; those of other methods are not kept.
        only: Ids of the images whose masks are kept; None keeps all.
    """

    def __init__(
        self, folder: Path, about: Mapping[str, Mapping[str, Any]], only: Collection[str] | None = None
    ) -> None:
        self.folder, self.about = folder, about
        self.only = None if only is None else set(only)
        self._described: set[str] = set()
        self.places = {name: folder / slug(name) / digest(values) for name, values in about.items()}

    def path(self, method: str, image: str) -> Path:
        """Where a mask is; different images have different files, whatever their names."""
        start = file_name(image)[:80].encode()[:240].decode(errors="ignore")  # file systems count bytes
        digest = hashlib.sha256(image.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        return self.places[method] / f"{start}.{digest}.npz"

    def add(self, method: str, ids: Sequence[str], made: Made) -> None:
        """Keep masks, each in a file of its own.

        Args:
            method: Name.
            ids: Names of the images.
            made: Their masks.
        """
        if method not in self.places:
            return
        self._describe(method)
        for n, image in enumerate(ids):
            if self.only is None or image in self.only:
                about = json.dumps({"broken": made.broken[n], "cost": made.cost[n]})
                with replacing(self.path(method, image)) as partial, partial.open("wb") as file:
                    np.savez(file, mask=made.mask[n].float().cpu().numpy(), about=np.array(about))

    def _describe(self, method: str) -> None:
        if method not in self._described:
            path = self.places[method] / ABOUT
            if read_state(path, dict[str, Any]) is None:  # missing, or torn
                write_json(path, self.about[method], sort_keys=True)
            self._described.add(method)

    def sweep(self) -> None:
        """Remove what processes left half written that were killed."""
        for place in self.places.values():
            sweep(place)

    def find(self, method: str, ids: Sequence[str]) -> Made | None:
        """The masks of some images, on the CPU, if those of all are there and whole."""
        found = []
        for image in ids:
            one = self._read(method, image)
            if one is None:
                return None
            found.append(one)
        if not found:
            return None
        masks, about = zip(*found, strict=True)
        return Made(torch.stack(masks), [a["broken"] for a in about], [a["cost"] for a in about])

    def read(self, method: str, image: str) -> Tensor | None:
        """(1, H, W) in [0, 1], or None."""
        found = self._read(method, image)
        return None if found is None else found[0]

    def _read(self, method: str, image: str) -> tuple[Tensor, dict[str, Any]] | None:
        if method not in self.places or not self.path(method, image).is_file():
            return None
        try:
            with np.load(self.path(method, image), allow_pickle=False) as content:
                mask = torch.from_numpy(content["mask"])
                about = conform(json.loads(str(content["about"])), _About, "")
        except (OSError, EOFError, KeyError, TypeError, ValueError, RecursionError, zipfile.BadZipFile, zlib.error):
            return None  # torn: made again
        whole = mask.ndim == 3 and len(mask) == 1 and mask.dtype == torch.float32
        return (mask, dict(about)) if whole else None

    def strangers(self) -> list[str]:
        """One line for each method of which only masks of something else are there, naming what differs."""
        lines = []
        for method, place in self.places.items():
            if (place / ABOUT).is_file():
                continue
            read = [read_state(path, dict[str, Any]) for path in sorted(place.parent.glob(f"*/{ABOUT}"))]
            others = [content for content in read if content is not None]
            if not others:
                continue
            now = json.loads(json.dumps(self.about[method], default=str))
            changed = min((sorted(k for k in {**o, **now} if o.get(k) != now.get(k)) for o in others), key=len)
            lines.append(f"maps of {method} in {place.parent} are of another {', '.join(changed)}: not used, made anew")
        return lines

    def missing_bytes(self, images: int, side: int) -> int:
        """How much more room the masks of so many images will take.

        Args:
            images: Number of images of the evaluation.
            side: Side of the square images.
        """
        images = images if self.only is None else min(images, len(self.only))
        there = (sum(".partial" not in path.name for path in place.glob("*.npz")) for place in self.places.values())
        return sum(max(0, images - count) for count in there) * (4 * side * side + 1000)
