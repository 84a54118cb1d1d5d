"""Parts of a picture: visible regions that cover it, and the same picture without each of them.

R. Hesse, S. Schaub-Meyer, S. Roth: FunnyBirds: A Synthetic Vision Dataset for a Part-Based Analysis of Explainable AI
Methods, ICCV 2023, render a bird again without one of its parts. Here every pixel belongs to a part.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Parts(NamedTuple):
    """The P parts of one picture.

    Attributes:
        regions: Regions (P, H, W) bool; each pixel belongs to exactly one.
        pictures: Pictures (P, 3, H, W) in [0, 1]: the same scene without the part.
        names: P kinds of parts, such as "object" or "background"; several parts may have one name.
    """

    regions: Tensor
    pictures: Tensor
    names: tuple[str, ...]

    def to(self, device: str | torch.device) -> "Parts":
        """Move the tensors to a device."""
        return self._replace(regions=self.regions.to(device), pictures=self.pictures.to(device))


def part_sums(maps: Tensor, regions: Tensor) -> Tensor:
    """Add up a map inside each region.

    Args:
        maps: Map (1, H, W).
        regions: Regions (P, H, W) bool.

    Returns:
        Sums (P,) float64.

    Example:
        >>> part_sums(torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[True, False]], [[True, True]]])).tolist()
        [1.0, 3.0]
    """
    # in double precision: the order of parts must not hang on the order of additions
    inside = regions.double() * maps.double()
    return inside.flatten(1).sum(1)
