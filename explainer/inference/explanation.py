"""The explanation of one photograph; what is as large as the photograph is computed when it is asked for."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as tvf

from explainer.errors import InputError
from explainer.functional.masking import mask_of
from explainer.functional.resizing import bands, enlarge_rows


@dataclass(frozen=True)
class Explanation:
    """What the Explainer says of one image.

    It holds the photograph as it was read and the masks at the networks' size. `image`, `target` and `masks`, which
    have the photograph's size, are computed when they are first asked for.

    Attributes:
        pixels: Photograph, (1, C, H, W): uint8, or float in [0, 1] where a tensor was given.
        classes: Names of the K classes.
        probabilities: Probabilities of the photograph, (K,) in [0, 1], by the explanandum.
        logits: Logits of the masker at the networks' size, (1, K, h, w); enlarged, they are those of the class masks.
        predicted: Indices of the classes that count as present, most probable first.
        through_mask: Probabilities of the photograph seen through `target`, (K,) in [0, 1].
        through_complement: Probabilities of the photograph seen through the complement of `target`, (K,) in [0, 1].
    """

    pixels: Tensor
    classes: tuple[str, ...]
    probabilities: Tensor
    logits: Tensor
    predicted: tuple[int, ...]
    through_mask: Tensor
    through_complement: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the photograph."""
        return self.pixels.shape[-2], self.pixels.shape[-1]

    @cached_property
    def image(self) -> Tensor:
        """(1, C, H, W) float in [0, 1]: the photograph."""
        return to_float(self.pixels)

    @cached_property
    def target(self) -> Tensor:
        """(1, 1, H, W) in [0, 1]: the maximum of the masks of the classes present."""
        return self._whole(self.predicted)

    @cached_property
    def masks(self) -> Tensor:
        """(1, K, H, W) class masks in [0, 1], at the photograph's size; `mask` costs a K-th of the memory.

        Raises:
            InputError: The memory that is free does not hold them.
        """
        height, width = self.size
        count = len(self.classes)
        needed = 4 * count * height * width  # four bytes a float
        gibibytes = needed / 2**30
        refusal = (
            f"{count} masks of {width}×{height} pixels take {gibibytes:.1f} GiB, more memory "
            "than is free: ask for mask(name), target or bands(classes)"
        )
        # Linux grants more than there is, and ends the process when it is written to: ask beforehand
        if needed > free_memory():
            raise InputError(refusal)
        try:
            masks = torch.empty(1, count, height, width)
        except RuntimeError as error:
            raise InputError(refusal) from error
        for index in range(count):
            for rows, band in self.bands([index]):
                masks[:, index : index + 1, rows] = band
        return masks

    def mask(self, name: str) -> Tensor:
        """Return the mask of a class.

        Args:
            name: Name of the class.

        Returns:
            (1, 1, H, W) in [0, 1], 1 = used by the classifier for the class.

        Raises:
            InputError: No class has this name.
        """
        if name not in self.classes:
            raise InputError(f"no class {name!r}; there are {', '.join(self.classes[:20])}")
        return self._whole([self.classes.index(name)])

    def bands(self, classes: Sequence[int]) -> Iterator[tuple[slice, Tensor]]:
        """Enlarge the maximum of some classes' masks a few rows at a time, for photographs of any size.

        Args:
            classes: Indices of the classes, at least one.

        Yields:
            Rows of the photograph, from the top, and their mask, (1, 1, rows, W) in [0, 1].
        """
        for rows in bands(*self.size):
            yield rows, highest_rows(self.logits, self.size, rows, classes)

    def _whole(self, classes: Sequence[int]) -> Tensor:
        """Return the maximum of some classes' masks at the photograph's size, (1, 1, H, W)."""
        whole = torch.empty(1, 1, *self.size)
        for rows, band in self.bands(classes):
            whole[:, :, rows] = band
        return whole


def highest_rows(logits: Tensor, size: tuple[int, int], rows: slice, classes: Sequence[int]) -> Tensor:
    """Compute some rows of the maximum of some classes' masks, one class after the other.

    Args:
        logits: Logits of the masker, (1, K, h, w), on the CPU.
        size: Height and width of the photograph in pixels.
        rows: Rows of the photograph to compute.
        classes: Indices of the classes, at least one.

    Returns:
        (1, 1, rows, W) in [0, 1].
    """
    # one class after the other: no more than two of them are in memory at once
    highest = enlarge_rows(logits[:, classes[0], None], size, rows)
    for index in classes[1:]:
        torch.maximum(highest, enlarge_rows(logits[:, index, None], size, rows), out=highest)
    # the mask of the highest logit is the highest mask
    return mask_of(highest)


def to_float(pixels: Tensor) -> Tensor:
    """Return an image as float32: values of uint8 are divided by 255."""
    return tvf.to_dtype(pixels, torch.float32, scale=True)


def free_memory() -> int:
    """Return the bytes of memory that a process may still take, as far as the system says so."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):  # no Linux: the allocation itself will tell
        return sys.maxsize
