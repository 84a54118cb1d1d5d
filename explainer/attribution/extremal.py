"""Extremal perturbations: of all smooth masks of a given area, the one that excites the class most.

R. Fong, M. Patrick, A. Vedaldi: Understanding Deep Networks via Extremal Perturbations and Smooth Masks, ICCV 2019.
Here the smooth maximum is taken on the grid and up-sampled bilinearly, instead of being evaluated at every pixel.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from explainer.attribution.base import Attribution
from explainer.attribution.masked_score import Explained, MaskedScore, Score, positive, steps, upsampled
from explainer.errors import InputError
from explainer.infill import gaussian_blur
from explainer.networks import Explanandum

Variant = Literal["preserve", "delete", "dual"]
Choice = Literal["mean", "smallest"]


def area_loss(mask: Tensor, area: Tensor) -> Tensor:
    r"""How far a mask is from being 1 on exactly a part of the image, and 0 elsewhere.

    .. math:: R_a(m) = \frac{1}{Z} \| \operatorname{vecsort}(m) - r_a \|^2

    with :math:`r_a` as many ones as the area has pixels. Only the sum of the largest values matters, not their order.

    Args:
        mask: (A, B, 1, H, W) in [0, 1].
        area: (A,), fractions of the image.

    Returns:
        (A, B), at least 0; lower is better.

    Example:
        >>> area_loss(torch.eye(2)[None, None, None], torch.tensor([0.5])).item()
        0.0
    """
    values = mask.flatten(2)
    count = values.shape[-1]
    ones = [round(float(part) * count) for part in area]
    largest = torch.stack([own.topk(most, sorted=False).values.sum(-1) for own, most in zip(values, ones, strict=True)])
    filled = torch.tensor(ones, dtype=values.dtype, device=values.device)[:, None]
    return (values.square().sum(-1) + filled - 2 * largest) / count


def smooth_maximum(grid: Tensor, deviation: float, temperature: float = 0.05) -> Tensor:
    r"""Let every node spread as a Gaussian, and take a soft maximum of what reaches each node.

    .. math:: m(u) = \operatorname{smax}_v k(u - v) \bar m(v), \quad
        \operatorname{smax}(a) = \sum a e^{a / T} / \sum e^{a / T}

    Args:
        grid: (N, 1, h, w) in [0, 1].
        deviation: Of the Gaussian, in nodes.
        temperature: T.

    Returns:
        (N, 1, h, w) in [0, 1].

    Example:
        >>> round(smooth_maximum(torch.ones(1, 1, 9, 9), 1.0).amax().item(), 1)
        1.0
    """
    reach = max(1, round(2 * deviation))
    offsets = torch.arange(-reach, reach + 1, device=grid.device, dtype=grid.dtype)
    distance = (offsets[:, None].square() + offsets.square()).flatten()
    kernel = torch.exp(-0.5 * distance / max(deviation, 1e-6) ** 2)
    around = F.unfold(F.pad(grid, (reach,) * 4, mode="replicate"), 2 * reach + 1) * kernel[:, None]
    weight = (around / temperature).softmax(1)
    return (weight * around).sum(1).view_as(grid)


def blur_pyramid(image: Tensor, levels: int, deviation: float) -> Tensor:
    """The image blurred ever less: (B, 3, H, W) → (B, levels, 3, H, W), the last level sharp.

    Example:
        >>> blur_pyramid(torch.rand(1, 3, 16, 16), 4, 2.0).shape
        torch.Size([1, 4, 3, 16, 16])
    """
    deviations = [deviation * (1 - level / (levels - 1)) for level in range(levels)]
    return torch.stack([gaussian_blur(image, own) if own > 0 else image for own in deviations], 1)


class BlurredScore(MaskedScore):
    """Scores of images that are blurred the more, the lower the mask is; every other time mirrored.

    Args:
        pyramid: (B, L, 3, H, W).
        explanandum: As in `MaskedScore`, as are the others.
        image: Likewise.
        target: Likewise.
        kind: Likewise.
        batch_size: Likewise.
    """

    def __init__(
        self, pyramid: Tensor, explanandum: Explanandum, image: Tensor, target: Tensor, kind: Score, batch_size: int
    ) -> None:
        super().__init__(explanandum, image, target, None, kind, batch_size)
        self.levels, self.mirrored = pyramid.shape[1], False
        below, step = pyramid[:, :-1], pyramid.diff(dim=1)
        self.table = torch.cat([below, step], 2).permute(0, 1, 3, 4, 2).flatten(0, 3)  # a row: a pixel at a level

    def look(self, owner: Tensor, mask: Tensor, fill: Tensor | None) -> Tensor:
        """Each pixel is a mixture of the two levels next to its mask value."""
        place = mask * (self.levels - 1)
        lower = place.detach().floor().clamp(0, self.levels - 2)
        pixel = torch.arange(mask[0].numel(), device=mask.device).view_as(mask[0])
        level = owner.view(-1, 1, 1, 1) * (self.levels - 1) + lower.long()
        rows = F.embedding((level * mask[0].numel() + pixel)[:, 0], self.table).permute(0, 3, 1, 2).contiguous()
        seen = torch.addcmul(rows[:, :3], rows[:, 3:], place - lower)
        return seen.flip(-1) if self.mirrored else seen


class ExtremalPerturbation(Attribution):
    """The best masks of several areas, all areas and images in one batch: their mean, or the smallest that suffices.

    Args:
        areas: Fractions of the image.
        variant: "preserve": what is inside must excite the class. "delete": what is left outside must not.
            "dual": both.
        steps: Of gradient descent with momentum.
        cell: Pixels between the nodes of the mask's grid, at 224×224; other sizes have as many nodes.
        sigma: Of the spread of a node, in pixels at 224×224.
        learning_rate: Of the descent.
        momentum: Of the descent.
        area_weight: Of the area loss at first.
        growth: Factor of that weight a step.
        levels: Of the blur pyramid.
        blur: Largest deviation of the blur, in pixels at 224×224.
        score: Of the class.
        mirror: Show the image mirrored every other step.
        batch_size: At most so many perturbed images at once.
        choose: "mean" of the areas' masks, or the mask of the "smallest" area with which the class's logit is at least
            that of the photograph, as in the published comparisons; of the largest area, where none suffices.
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
        self.areas, self.variant, self.steps, self.cell, self.sigma = tuple(areas), variant, steps, cell, sigma
        self.learning_rate, self.momentum, self.area_weight, self.growth = learning_rate, momentum, area_weight, growth
        self.levels, self.blur, self.score, self.mirror = levels, blur, score, mirror
        self.batch_size, self.choose = batch_size, choose

    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """(B, 1, H, W) in [0, 1]."""
        return self.explain(explanandum, image, target).map

    def explain(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Explained:
        """The chosen mask, with the history of each area's score and area loss ("score 0.1", "area 0.1")."""
        with torch.inference_mode(False), torch.enable_grad():
            masks, history = self._search(explanandum, image.detach().clone(), target)
        if self.choose == "smallest":
            return Explained(self._smallest(explanandum, image, target, masks).to(image.dtype), history)
        return Explained(masks.mean(0).to(image.dtype), history)

    def _smallest(self, explanandum: Explanandum, image: Tensor, target: Tensor, masks: Tensor) -> Tensor:
        """Of masks (A, B, 1, H, W) that of the smallest area which keeps the logit: (B, 1, H, W)."""
        pyramid = blur_pyramid(image, self.levels, self.blur * min(image.shape[-2:]) / 224)
        scorer = BlurredScore(pyramid, explanandum, image, target, "logit", self.batch_size)
        order = sorted(range(len(self.areas)), key=lambda index: self.areas[index])
        whole = scorer(torch.ones_like(masks[:1]))
        chosen = masks[order[-1]].clone()
        settled = torch.zeros(len(image), dtype=torch.bool, device=image.device)
        for index in order[:-1]:
            enough = (scorer(masks[index : index + 1]) >= whole)[0] & ~settled
            chosen[enough] = masks[index][enough]
            settled |= enough
        return chosen

    def _search(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        size = (image.shape[-2], image.shape[-1])
        pyramid = blur_pyramid(image, self.levels, self.blur * min(size) / 224)
        scorer = BlurredScore(pyramid, explanandum, image, target, self.score, self.batch_size)
        nodes = round(224 / self.cell)
        areas = torch.tensor(self.areas, device=image.device)
        grid = torch.ones(len(areas), len(image), 1, nodes, nodes, device=image.device, requires_grad=True)
        speed, weight = torch.zeros_like(grid), self.area_weight
        scores, lacks = [], []
        for step in steps(self.steps, "ExtremalPerturbation"):
            scorer.mirrored = self.mirror and step % 2 == 1
            masks = self._smooth(grid, size)
            score, slope = self._reward(scorer, masks.detach())
            lack = area_loss(masks, areas)
            (gradient,) = torch.autograd.grad((weight * lack).sum() - (masks * slope).sum(), grid)
            with torch.no_grad():  # dampened momentum: a running mean of the gradients
                speed = self.momentum * speed + (1 - self.momentum) * gradient
                grid.sub_(self.learning_rate * speed).clamp_(0, 1)
            weight *= self.growth
            scores.append(score.detach())
            lacks.append(lack.detach())
        history = {}
        for index, area in enumerate(self.areas):
            history[f"score {area}"] = torch.stack([own[index] for own in scores])
            history[f"area {area}"] = torch.stack([own[index] for own in lacks])
        return self._smooth(grid, size).detach(), history

    def _smooth(self, grid: Tensor, size: tuple[int, int]) -> Tensor:
        smooth = smooth_maximum(grid.flatten(0, 1), self.sigma / self.cell).view_as(grid)
        return upsampled(smooth, size)

    def _reward(self, scorer: BlurredScore, masks: Tensor) -> tuple[Tensor, Tensor]:
        """What is to grow, (A, B), and its gradient to the masks."""
        score, slope = torch.zeros(masks.shape[:2], device=masks.device), torch.zeros_like(masks)
        if self.variant != "delete":
            inside, own = scorer.with_gradient(masks)
            score, slope = score + inside, slope + own
        if self.variant != "preserve":
            outside, own = scorer.with_gradient(1 - masks)
            score, slope = score - outside, slope + own
        return score, slope
