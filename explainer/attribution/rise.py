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
    """Draw random binary grids, up-sample them to one cell more than the image needs, and crop at a random place.

    Args:
        count: Number of masks, N.
        size: H and W.
        grid: s, number of cells a side.
        probability: Probability that a cell is 1.
        generator: Generator on the device of the masks.

    Returns:
        Masks (N, 1, H, W) in [0, 1].

    Example:
        >>> rise_masks(3, (32, 32), 4, 0.5, torch.Generator().manual_seed(0)).shape
        torch.Size([3, 1, 32, 32])
    """
    device = generator.device
    height, width = size
    tall = math.ceil(height / grid)
    wide = math.ceil(width / grid)
    cells = torch.rand(count, 1, grid, grid, generator=generator, device=device) < probability
    # one cell more than needed, so that the crop can move by up to a cell
    enlarged_size = ((grid + 1) * tall, (grid + 1) * wide)
    enlarged = F.interpolate(cells.float(), enlarged_size, mode="bilinear", align_corners=False)
    shifts = torch.rand(count, 2, generator=generator, device=device).tolist()
    masks = []
    for mask, (down, right) in zip(enlarged, shifts, strict=True):
        top = int(down * tall)
        left = int(right * wide)
        masks.append(mask[:, top : top + height, left : left + width])
    return torch.stack(masks)


class RISE(Attribution):
    r"""Importance of a pixel: the expected probability of the class when the pixel is visible.

    .. math:: S(\lambda) = \frac{1}{N p} \sum_{i=1}^N f(I \odot M_i) \cdot M_i(\lambda)

    All classes of an image come from the same forward passes.

    Args:
        masks: Number of masks, N; 4,000 for VGG and 8,000 for ResNet in the paper.
        grid: Number of cells a side.
        probability: p, probability that a cell is visible.
        infill: In-fill that covers the rest; None is the explanandum's mean colour, as in the paper.
        seed: Seed of the masks, which are the same for every image.
        batch_size: Largest number of masked images that go through the classifier at once.

    Raises:
        InputError: A number is not positive, or the seed is out of its range.
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
        self.masks = masks
        self.grid = grid
        self.probability = probability
        self.infill = infill
        check_seed(f"attribution {type(self).__name__}: seed", seed)
        self.seed = seed
        self.batch_size = batch_size

    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """Average the masks, weighted by the class's probability: (B, 1, H, W), at least 0."""
        owner = torch.arange(len(image), device=image.device)
        return self._weighted(explanandum, image, owner, target, progress=False)

    def maps_with_progress(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """Compute the same maps under a progress bar."""
        owner = torch.arange(len(image), device=image.device)
        return self._weighted(explanandum, image, owner, target, progress=True)

    def maps_of_classes(self, explanandum: Explanandum, image: Tensor, classes: Tensor, progress: bool) -> Tensor:
        """Compute all maps from one set of forward passes an image: (N, 1, H, W)."""
        owner, target = classes.nonzero().unbind(1)
        return self._weighted(explanandum, image, owner, target, progress)

    def maps_of_pairs(self, explanandum: Explanandum, image: Tensor, owner: Tensor, target: Tensor) -> Tensor:
        """Compute the maps of all classes of an image from the same forward passes: (N, 1, H, W)."""
        return self._weighted(explanandum, image, owner, target, progress=False)

    @torch.no_grad()
    def _weighted(
        self,
        explanandum: Explanandum,
        image: Tensor,
        owner: Tensor,
        target: Tensor,
        progress: bool,
    ) -> Tensor:
        """Compute the map of each pair of `owner`, the image's index, and `target`, both (N,): (N, 1, H, W)."""
        size = (image.shape[-2], image.shape[-1])
        total = image.new_zeros(len(owner), size[0] * size[1])
        for masks, fills in self._batches(explanandum, image, size, progress):
            for index, picture in enumerate(image):
                rows = (owner == index).nonzero()[:, 0]
                if not len(rows):
                    continue
                fill = fills if len(fills) == 1 else fills[index]
                logits = explanandum(composite(picture[None], masks, fill))
                probability = explanandum.probabilities(logits.float())[:, target[rows]]
                # a sum of weighted masks as one matrix product, for all classes of the image at once
                total[rows] += probability.T.to(total.dtype) @ masks.flatten(1)
        # by how often a pixel is expected to be visible, as in the paper, not by how often it was
        expected_visits = self.masks * self.probability
        return (total / expected_visits).view(-1, 1, *size)

    def _batches(
        self,
        explanandum: Explanandum,
        image: Tensor,
        size: tuple[int, int],
        progress: bool,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield masks (n, 1, H, W), and what stands behind them: (1, 3, 1, 1) or (B, n or 1, 3, H, W)."""
        generator = torch.Generator(image.device).manual_seed(self.seed)
        infill = self.infill or Constant(explanandum.mean_colour.flatten().tolist())
        if explanandum.classes:
            infill.check_classes(explanandum.classes)
        fixed = None
        if not (infill.sees_mask or infill.stochastic):
            fixed = infill(image)
            fixed = fixed if len(fixed) == 1 else fixed[:, None]
        for turn in steps(math.ceil(self.masks / self.batch_size), "RISE", progress):
            count = min(self.batch_size, self.masks - turn * self.batch_size)
            masks = rise_masks(count, size, self.grid, self.probability, generator).to(image.dtype)
            if fixed is not None:
                yield masks, fixed
                continue
            fills = []
            for mask in masks:
                binary = mask.expand(len(image), -1, -1, -1).round()  # in-fills know kept and dropped pixels only
                fills.append(infill(image, binary, generator).expand_as(image))
            yield masks, torch.stack(fills, 1)
