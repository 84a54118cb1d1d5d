"""RISE: the mean of random masks, weighted by what the classifier says of the image seen through them.

V. Petsiuk, A. Das, K. Saenko: RISE: Randomized Input Sampling for Explanation of Black-box Models, BMVC 2018.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from explainer.attribution.base import Attribution
from explainer.attribution.masked_score import positive, steps
from explainer.errors import check_seed
from explainer.functional.masking import composite
from explainer.infill import Constant, Infill
from explainer.networks import Explanandum


def rise_masks(count: int, size: tuple[int, int], grid: int, probability: float, generator: torch.Generator) -> Tensor:
    """Random binary grids, up-sampled to one cell more than the image needs, and cropped at a random place.

    Args:
        count: N.
        size: H and W.
        grid: s, cells a side.
        probability: That a cell is 1.
        generator: Its device is that of the masks.

    Returns:
        (N, 1, H, W) in [0, 1].

    Example:
        >>> rise_masks(3, (32, 32), 4, 0.5, torch.Generator().manual_seed(0)).shape
        torch.Size([3, 1, 32, 32])
    """
    device = generator.device
    cell = [math.ceil(side / grid) for side in size]
    cells = (torch.rand(count, 1, grid, grid, generator=generator, device=device) < probability).float()
    full = ((grid + 1) * cell[0], (grid + 1) * cell[1])
    wide = F.interpolate(cells, full, mode="bilinear", align_corners=False)
    shifts = torch.rand(count, 2, generator=generator, device=device).tolist()
    corners = [(int(down * cell[0]), int(right * cell[1])) for down, right in shifts]
    return torch.stack(
        [one[:, top : top + size[0], left : left + size[1]] for one, (top, left) in zip(wide, corners, strict=True)]
    )


class RISE(Attribution):
    r"""Importance of a pixel: the expected probability of the class when the pixel is visible.

    .. math:: S(\lambda) = \frac{1}{N p} \sum_{i=1}^N f(I \odot M_i) \cdot M_i(\lambda)

    All classes of an image come from the same forward passes.

    Args:
        masks: N; 4,000 for VGG and 8,000 for ResNet in the paper.
        grid: Cells a side.
        probability: p, that a cell is visible.
        infill: What covers the rest; None is the explanandum's mean colour, as in the paper.
        seed: Of the masks, which are the same for every image.
        batch_size: At most so many masked images at once.
    """

    budget = "masks"

    def __init__(
        self,
        masks: int = 4000,
        grid: int = 7,
        probability: float = 0.5,
        infill: Infill | None = None,
        seed: int = 0,
        batch_size: int = 16,
    ) -> None:
        positive(self, masks=masks, grid=grid, probability=probability, batch_size=batch_size)
        self.masks, self.grid, self.probability, self.infill = masks, grid, probability, infill
        check_seed(f"attribution {type(self).__name__}: seed", seed)
        self.seed, self.batch_size = seed, batch_size

    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """(B, 1, H, W), at least 0."""
        owner = torch.arange(len(image), device=image.device)
        return self._weighted(explanandum, image, owner, target)

    def maps_of_classes(self, explanandum: Explanandum, image: Tensor, classes: Tensor) -> Tensor:
        """(N, 1, H, W), for one set of forward passes an image."""
        return self._weighted(explanandum, image, *classes.nonzero().unbind(1))

    @torch.no_grad()
    def _weighted(self, explanandum: Explanandum, image: Tensor, owner: Tensor, target: Tensor) -> Tensor:
        size = (image.shape[-2], image.shape[-1])
        found = image.new_zeros(len(owner), size[0] * size[1])
        for masks, fills in self._batches(explanandum, image, size):
            for index, one in enumerate(image):
                mine = (owner == index).nonzero()[:, 0]
                if not len(mine):
                    continue
                fill = fills if len(fills) == 1 else fills[index]
                seen = composite(one[None], masks, fill)
                probability = explanandum.probabilities(explanandum(seen).float())[:, target[mine]]
                found[mine] += probability.T.to(found.dtype) @ masks.flatten(1)
        return (found / (self.masks * self.probability)).view(-1, 1, *size)

    def _batches(
        self, explanandum: Explanandum, image: Tensor, size: tuple[int, int]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Masks (n, 1, H, W), and what stands behind them: (1, 3, 1, 1) or (B, n or 1, 3, H, W)."""
        generator = torch.Generator(image.device).manual_seed(self.seed)
        infill = self.infill or Constant(explanandum.mean_colour.flatten().tolist())
        if explanandum.classes:
            infill.check_classes(explanandum.classes)
        fixed = None if infill.sees_mask or infill.stochastic else infill(image)
        for turn in steps(math.ceil(self.masks / self.batch_size), "RISE"):
            count = min(self.batch_size, self.masks - turn * self.batch_size)
            masks = rise_masks(count, size, self.grid, self.probability, generator).to(image.dtype)
            if fixed is not None:
                yield masks, fixed if len(fixed) == 1 else fixed[:, None]
                continue
            drawn = [infill(image, own.expand(len(image), -1, -1, -1).round(), generator) for own in masks]
            yield masks, torch.stack([one.expand_as(image) for one in drawn], 1)
