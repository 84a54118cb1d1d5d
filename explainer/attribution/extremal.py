"""Extremal perturbations: of all smooth masks of a given area, the one that excites the class most.

R. Fong, M. Patrick, A. Vedaldi: Understanding Deep Networks via Extremal Perturbations and Smooth Masks, ICCV 2019.
Here the smooth maximum is taken on the grid and up-sampled bilinearly, instead of being evaluated at every pixel.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from explainer.attribution.masked_score import Explained, MaskedScore, MaskSearch, Score, positive, steps, upsampled
from explainer.errors import InputError
from explainer.infill import gaussian_blur
from explainer.networks import Explanandum

Variant = Literal["preserve", "delete", "dual"]
Choice = Literal["mean", "smallest"]


def area_loss(mask: Tensor, area: Tensor) -> Tensor:
    r"""Measure how far a mask is from being 1 on exactly a part of the image, and 0 elsewhere.

    .. math:: R_a(m) = \frac{1}{Z} \| \operatorname{vecsort}(m) - r_a \|^2

    with :math:`r_a` as many ones as the area has pixels. Only the sum of the largest values matters, not their order.

    Args:
        mask: Masks (A, B, 1, H, W) in [0, 1].
        area: Areas (A,) as fractions of the image.

    Returns:
        Loss (A, B), at least 0; lower is better.

    Example:
        >>> area_loss(torch.eye(2)[None, None, None], torch.tensor([0.5])).item()
        0.0
    """
    values = mask.flatten(2)
    count = values.shape[-1]
    ones = [round(float(fraction) * count) for fraction in area]
    # only the sum of the largest values matters, so a selection replaces the sort
    largest = []
    for pixels, most in zip(values, ones, strict=True):
        selected = pixels.topk(most, sorted=False).values
        largest.append(selected.sum(-1))
    filled = torch.tensor(ones, dtype=values.dtype, device=values.device)[:, None]
    # the square written out: |m|² + |r|² - 2 m·r
    squares = values.square().sum(-1)
    distance = squares + filled - 2 * torch.stack(largest)
    return distance / count


def smooth_maximum(grid: Tensor, deviation: float, temperature: float = 0.05) -> Tensor:
    r"""Let every node spread as a Gaussian, and take a soft maximum of what reaches each node.

    .. math:: m(u) = \operatorname{smax}_v k(u - v) \bar m(v), \quad
        \operatorname{smax}(a) = \sum a e^{a / T} / \sum e^{a / T}

    Args:
        grid: Values of the nodes, (N, 1, h, w) in [0, 1].
        deviation: Standard deviation of the Gaussian, in nodes.
        temperature: T, temperature of the soft maximum.

    Returns:
        Smooth grid (N, 1, h, w) in [0, 1].

    Example:
        >>> round(smooth_maximum(torch.ones(1, 1, 9, 9), 1.0).amax().item(), 1)
        1.0
    """
    reach = max(1, round(2 * deviation))  # beyond two deviations hardly anything arrives
    offsets = torch.arange(-reach, reach + 1, device=grid.device, dtype=grid.dtype)
    squared_distance = (offsets[:, None].square() + offsets.square()).flatten()
    kernel = torch.exp(-0.5 * squared_distance / max(deviation, 1e-6) ** 2)
    padded = F.pad(grid, (reach,) * 4, mode="replicate")
    arriving = F.unfold(padded, 2 * reach + 1) * kernel[:, None]
    weight = (arriving / temperature).softmax(1)
    return (weight * arriving).sum(1).view_as(grid)


def blur_pyramid(image: Tensor, levels: int, deviation: float) -> Tensor:
    """Blur images ever less.

    Args:
        image: Images (B, 3, H, W) in [0, 1].
        levels: Number of levels, L, at least 2.
        deviation: Standard deviation of the first level's blur, in pixels.

    Returns:
        Images (B, L, 3, H, W) in [0, 1], the last level sharp.

    Example:
        >>> blur_pyramid(torch.rand(1, 3, 16, 16), 4, 2.0).shape
        torch.Size([1, 4, 3, 16, 16])
    """
    images = []
    for level in range(levels):
        sigma = deviation * (1 - level / (levels - 1))
        blurred = image
        if sigma > 0:
            blurred = gaussian_blur(image, sigma)
        images.append(blurred)
    return torch.stack(images, 1)


class BlurredScore(MaskedScore):
    """Scores of images that are the more blurred, the lower the mask is; mirrored while `mirrored` says so.

    Args:
        pyramid: Images blurred ever less, (B, L, 3, H, W).
        explanandum: Frozen classifier.
        image: Images (B, 3, H, W) in [0, 1].
        target: Classes (B,) long.
        kind: Kind of score.
        batch_size: Largest number of pictures that go through the classifier at once.
    """

    def __init__(
        self,
        pyramid: Tensor,
        explanandum: Explanandum,
        image: Tensor,
        target: Tensor,
        kind: Score,
        batch_size: int,
    ) -> None:
        super().__init__(explanandum, image, target, None, kind, batch_size)
        self.levels = pyramid.shape[1]
        self.mirrored = False
        # A row of the table is a pixel at a level: its colour there, and the difference to the next level. So one
        # lookup a pixel gives both ends of the mixture.
        below = pyramid[:, :-1]
        step = pyramid.diff(dim=1)
        both = torch.cat([below, step], 2)
        self.table = both.permute(0, 1, 3, 4, 2).flatten(0, 3)

    def look(self, owner: Tensor, mask: Tensor, fill: Tensor | None) -> Tensor:
        """Mix, for each pixel, the two levels next to its mask value: (N, 3, H, W)."""
        pixels = mask[0].numel()
        place = mask * (self.levels - 1)
        lower = place.detach().floor().clamp(0, self.levels - 2)
        pixel = torch.arange(pixels, device=mask.device).view_as(mask[0])
        # levels of all images stand one behind the other in the table
        first_level = owner.view(-1, 1, 1, 1) * (self.levels - 1)
        level = first_level + lower.long()
        index = (level * pixels + pixel)[:, 0]
        rows = F.embedding(index, self.table).permute(0, 3, 1, 2).contiguous()
        colour, step = rows.chunk(2, 1)
        pictures = torch.addcmul(colour, step, place - lower)
        if self.mirrored:
            return pictures.flip(-1)
        return pictures


class ExtremalPerturbation(MaskSearch):
    """The best mask of each of several areas; the map is their mean, or the smallest mask that suffices.

    All areas and images are searched in one batch.

    Args:
        areas: Areas as fractions of the image.
        variant: Demand on the mask. "preserve": what is inside must excite the class. "delete": what is left outside
            must not. "dual": both.
        steps: Number of steps of gradient descent with momentum.
        cell: Distance between the nodes of the mask's grid in pixels, at 224×224; other sizes have as many nodes.
        sigma: Standard deviation of a node's spread, in pixels at 224×224.
        learning_rate: Learning rate of the descent.
        momentum: Momentum of the descent.
        area_weight: Weight of the area loss at first.
        growth: Factor by which that weight grows at each step.
        levels: Number of levels of the blur pyramid.
        blur: Largest standard deviation of the blur, in pixels at 224×224.
        score: Kind of the class's score.
        mirror: Whether every other step shows the image mirrored.
        batch_size: Largest number of perturbed images that go through the classifier at once.
        choose: Map of an image: the "mean" of the areas' masks, or the mask of the "smallest" area with which the
            class's logit is at least the photograph's, as in the published comparisons; if none is, that of the
            largest area.

    Raises:
        InputError: A number is not positive, an area lies outside (0, 1), or there are fewer than two levels.
    """

    budget = "steps"

    def __init__(
        self,
        areas: Sequence[float] = (0.025, 0.05, 0.1, 0.2, 0.4, 0.8),
        variant: Variant = "preserve",
        steps: int = 800,
        cell: int = 7,
        sigma: float = 21.0,
        learning_rate: float = 0.01,
        momentum: float = 0.9,
        area_weight: float = 300.0,
        growth: float = 1.0035,
        levels: int = 8,
        blur: float = 20.0,
        score: Score = "logit",
        mirror: bool = True,
        batch_size: int = 16,
        choose: Choice = "mean",
    ) -> None:
        positive(self, steps=steps, cell=cell, sigma=sigma, learning_rate=learning_rate, blur=blur)
        if not areas or not all(0 < area < 1 for area in areas):
            raise InputError(f"attribution ExtremalPerturbation: areas must lie in (0, 1), got {list(areas)}")
        if levels < 2:
            raise InputError(f"attribution ExtremalPerturbation: levels must be at least 2, got {levels}")
        self.areas = tuple(areas)
        self.variant = variant
        self.steps = steps
        self.cell = cell
        self.sigma = sigma
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.area_weight = area_weight
        self.growth = growth
        self.levels = levels
        self.blur = blur
        self.score = score
        self.mirror = mirror
        self.batch_size = batch_size
        self.choose = choose

    def explain(self, explanandum: Explanandum, image: Tensor, target: Tensor, progress: bool = True) -> Explained:
        """Return the chosen mask, with the history of each area's score and area loss ("score 0.1", "area 0.1")."""
        with torch.inference_mode(False), torch.enable_grad():
            masks, history = self._search(explanandum, image.detach().clone(), target, progress)
        if self.choose == "mean":
            return Explained(masks.mean(0).to(image.dtype), history)
        mask = self._smallest(explanandum, image, target, masks)
        return Explained(mask.to(image.dtype), history)

    def _smallest(self, explanandum: Explanandum, image: Tensor, target: Tensor, masks: Tensor) -> Tensor:
        """Return, of masks (A, B, 1, H, W), that of the smallest area which keeps the logit: (B, 1, H, W)."""
        pyramid = blur_pyramid(image, self.levels, self.blur * min(image.shape[-2:]) / 224)
        scorer = BlurredScore(pyramid, explanandum, image, target, "logit", self.batch_size)
        order = sorted(range(len(self.areas)), key=lambda index: self.areas[index])
        photograph = scorer(torch.ones_like(masks[:1]))
        smallest = masks[order[-1]].clone()
        settled = torch.zeros(len(image), dtype=torch.bool, device=image.device)
        for index in order[:-1]:
            score = scorer(masks[index : index + 1])
            suffices = (score >= photograph)[0] & ~settled
            smallest[suffices] = masks[index][suffices]
            settled |= suffices
        return smallest

    def _search(
        self,
        explanandum: Explanandum,
        image: Tensor,
        target: Tensor,
        progress: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the masks of all areas, (A, B, 1, H, W), and the history of the search."""
        size = (image.shape[-2], image.shape[-1])
        pyramid = blur_pyramid(image, self.levels, self.blur * min(size) / 224)
        scorer = BlurredScore(pyramid, explanandum, image, target, self.score, self.batch_size)
        nodes = round(224 / self.cell)
        areas = torch.tensor(self.areas, device=image.device)
        grid = torch.ones(len(areas), len(image), 1, nodes, nodes, device=image.device, requires_grad=True)
        speed = torch.zeros_like(grid)
        weight = self.area_weight
        scores = []
        lacks = []
        for step in steps(self.steps, "ExtremalPerturbation", progress):
            scorer.mirrored = self.mirror and step % 2 == 1
            masks = self._smooth(grid, size)
            score, slope = self._reward(scorer, masks.detach())
            lack = area_loss(masks, areas)
            # the score enters as a linear function of the masks: its graph through the classifier is gone already
            loss = (weight * lack).sum() - (masks * slope).sum()
            (gradient,) = torch.autograd.grad(loss, grid)
            with torch.no_grad():  # dampened momentum: a running mean of the gradients
                speed = self.momentum * speed + (1 - self.momentum) * gradient
                grid.sub_(self.learning_rate * speed).clamp_(0, 1)
            weight *= self.growth
            scores.append(score.detach())
            lacks.append(lack.detach())
        history = {}
        score_course = torch.stack(scores, 1)
        lack_course = torch.stack(lacks, 1)
        for index, area in enumerate(self.areas):
            history[f"score {area}"] = score_course[index]
            history[f"area {area}"] = lack_course[index]
        return self._smooth(grid, size).detach(), history

    def _smooth(self, grid: Tensor, size: tuple[int, int]) -> Tensor:
        """Make smooth masks of a grid: (A, B, 1, nodes, nodes) → (A, B, 1, H, W)."""
        smooth = smooth_maximum(grid.flatten(0, 1), self.sigma / self.cell).view_as(grid)
        return upsampled(smooth, size)

    def _reward(self, scorer: BlurredScore, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Compute what is to grow, (A, B), and its gradient to the masks."""
        score = torch.zeros(masks.shape[:2], device=masks.device)
        slope = torch.zeros_like(masks)
        if self.variant != "delete":
            inside, gradient = scorer.with_gradient(masks)
            score = score + inside
            slope = slope + gradient
        if self.variant != "preserve":
            outside, gradient = scorer.with_gradient(1 - masks)
            score = score - outside
            # plus: the score outside is subtracted, and 1 - m falls where m grows
            slope = slope + gradient
        return score, slope
