"""iGOS++: a deletion and an insertion mask, found along integrated gradients.

S. Khorram, T. Lawson, L. Fuxin: iGOS++: Integrated Gradient Optimized Saliency by Bilateral Perturbations, CHIL 2021.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from explainer.attribution.base import Attribution
from explainer.attribution.masked_score import Explained, MaskedScore, positive, steps, upsampled
from explainer.errors import check_seed
from explainer.infill import Blur, Infill
from explainer.networks import Explanandum

Search = Literal["line", "nesterov"]


def bilateral_tv(mask: Tensor, image: Tensor, power: float = 2.0, sigma: float = 0.01) -> Tensor:
    r"""Total variation that costs little across the edges of the image.

    .. math:: \mathrm{BTV}(M) = \frac{1}{Z} \sum_u e^{-\nabla I(u)^2 / \sigma^2} |\nabla M(u)|^\beta

    Args:
        mask: (B, 1, h, w).
        image: (B, 3, h, w) in [0, 1], of the mask's size; its mean over channels counts.
        power: β.
        sigma: Of what counts as an edge.

    Returns:
        (B,), at least 0.

    Example:
        >>> bilateral_tv(torch.ones(1, 1, 4, 4), torch.rand(1, 3, 4, 4)).item()
        0.0
    """
    grey = image.mean(1, keepdim=True)
    total = mask.new_zeros(len(mask))
    for axis in (-1, -2):
        weight = torch.exp(-grey.diff(dim=axis).square() / sigma**2)
        total = total + (weight * mask.diff(dim=axis).abs().pow(power)).sum((1, 2, 3))
    return total / (mask.shape[-2] * mask.shape[-1])


def size_of(image: Tensor) -> tuple[int, int]:
    """H and W.

    Example:
        >>> size_of(torch.rand(1, 3, 4, 5))
        (4, 5)
    """
    return image.shape[-2], image.shape[-1]


class Masks(NamedTuple):
    """The deletion and the insertion mask, (B, 1, g, g) each, 1 = keep."""

    deletion: Tensor
    insertion: Tensor


class IGOS(Attribution):
    r"""The region whose removal lowers the class's probability, and which alone restores it.

    .. math:: \min_{M_x, M_y} f(\Phi(M_x)) - f(\Phi(1 - M_y)) + f(\Phi(M_x M_y)) - f(\Phi(1 - M_x M_y))
        + \lambda_1 \overline{|1 - M_x M_y|} + \lambda_2 \mathrm{BTV}(M_x M_y)

    with :math:`\Phi(M) = M I + (1 - M) \tilde I`. The map is :math:`1 - M_x M_y`.

    Args:
        search: "line" (back-tracking line search) or "nesterov" (accelerated gradient, a fixed step).
        iterations: Of the search.
        integrated: Steps of the integrated gradient.
        grid: Side of the masks.
        l1: λ₁; lower makes larger regions, and worse orders of pixels (1 to 10 in the published settings). The line
            search halves it for an image that it cannot leave whole: one whose class has a low probability.
        tv: λ₂.
        power: β of the bilateral TV.
        sigma: Of the bilateral TV's edges.
        noise: Deviation of the noise on what the classifier sees, in units of its normalised input.
        step: Longest step; where a network's gradients are small, it has to be long.
        infill: What replaces; None is a strong blur.
        seed: Of the noise.
        batch_size: At most so many composites at once.
    """

    budget = "iterations"

    def __init__(
        self,
        search: Search = "line",
        iterations: int = 15,
        integrated: int = 20,
        grid: int = 28,
        l1: float = 10.0,
        tv: float = 20.0,
        power: float = 2.0,
        sigma: float = 0.01,
        noise: float = 0.2,
        step: float = 1000.0,
        infill: Infill | None = None,
        seed: int = 0,
        batch_size: int = 16,
    ) -> None:
        positive(self, iterations=iterations, integrated=integrated, grid=grid, step=step, sigma=sigma, power=power)
        self.search, self.iterations, self.integrated, self.grid, self.l1, self.tv = (
            search,
            iterations,
            integrated,
            grid,
            l1,
            tv,
        )
        check_seed(f"attribution {type(self).__name__}: seed", seed)
        self.power, self.sigma, self.noise, self.step, self.seed = power, sigma, noise, step, seed
        self.infill, self.batch_size = Blur(10.0) if infill is None else infill, batch_size

    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """(B, 1, H, W) in [0, 1]."""
        return self.explain(explanandum, image, target).map

    def explain(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Explained:
        """The map, and the history of the objective ("loss")."""
        generator = torch.Generator(image.device).manual_seed(self.seed)
        noise = self.noise * float(explanandum.std.mean())
        noisy = MaskedScore(explanandum, image, target, self.infill, "probability", self.batch_size, generator, noise)
        plain = MaskedScore(explanandum, image, target, self.infill, "probability", self.batch_size, generator)
        small = torch.nn.functional.interpolate(plain.image, (self.grid, self.grid), mode="area")
        losses = []
        with torch.inference_mode(False), torch.no_grad():
            ones = torch.ones(len(image), 1, self.grid, self.grid, device=image.device, dtype=image.dtype)
            masks = before = Masks(ones, ones.clone())
            l1 = image.new_full((len(image),), self.l1)
            for index in steps(self.iterations, "IGOS"):
                ahead = masks
                if self.search == "nesterov" and index:
                    push = index / (index + 3)
                    ahead = Masks(
                        *((new + push * (new - old)).clamp(0, 1) for new, old in zip(masks, before, strict=True))
                    )
                direction = self._direction(noisy, ahead, small, l1)
                before, (masks, loss) = masks, self._move(plain, ahead, direction, small, l1)
                losses.append(loss)
                l1 = torch.where(self._whole(masks), l1 / 2, l1)
        found = 1 - upsampled((masks.deletion * masks.insertion)[None], (image.shape[-2], image.shape[-1]))[0]
        return Explained(found, {"loss": torch.stack(losses)})

    def _whole(self, masks: Masks) -> Tensor:
        """Whether the line search left an image's masks whole: no step pays for its λ₁; (B,)."""
        return (masks.deletion * masks.insertion == 1).flatten(1).all(1) & (self.search == "line")

    def penalty(self, masks: Masks, small: Tensor, l1: Tensor) -> Tensor:
        """λ₁ (of each image, (B,)) and λ₂ terms of the masks' product, (B,)."""
        both = masks.deletion * masks.insertion
        return l1 * (1 - both).abs().mean((1, 2, 3)) + self.tv * bilateral_tv(both, small, self.power, self.sigma)

    def objective(self, scorer: MaskedScore, masks: Masks, small: Tensor, l1: Tensor) -> Tensor:
        """What is minimised, (B,)."""
        both = masks.deletion * masks.insertion
        views = torch.stack([masks.deletion, 1 - masks.insertion, both, 1 - both])
        removed, kept, removed_both, kept_both = scorer(upsampled(views, size_of(scorer.image)))
        return removed - kept + removed_both - kept_both + self.penalty(masks, small, l1)

    def _direction(self, scorer: MaskedScore, masks: Masks, small: Tensor, l1: Tensor) -> Masks:
        """Integrated gradients of the scores, and the gradient of the penalty."""
        with torch.enable_grad():
            leaf = Masks(*(mask.detach().clone().requires_grad_() for mask in masks))
            both = leaf.deletion * leaf.insertion
            ramp = torch.arange(1, self.integrated + 1, device=both.device) / self.integrated
            size = size_of(scorer.image)
            total = self.penalty(leaf, small, l1).sum()
            for mask, sign in ((leaf.deletion, 1), (leaf.insertion, -1), (both, 1), (both, -1)):
                path = ramp.view(-1, 1, 1, 1, 1) * mask.detach()
                shown = upsampled(path if sign > 0 else 1 - path, size)
                slope = sign * scorer.with_gradient(shown)[1].mean(0)
                slope = slope if sign > 0 else -slope
                total = total + (slope * upsampled(mask[None], size)[0]).sum()
            return Masks(*torch.autograd.grad(total, leaf))

    def _move(
        self, scorer: MaskedScore, masks: Masks, direction: Masks, small: Tensor, l1: Tensor
    ) -> tuple[Masks, Tensor]:
        """Go down, as far as each image's objective allows, and say how far down it is."""

        def moved(length: Tensor) -> Masks:
            far = length.view(-1, 1, 1, 1)
            return Masks(*((mask - far * slope).clamp(0, 1) for mask, slope in zip(masks, direction, strict=True)))

        length = scorer.image.new_full((len(scorer.image),), self.step)
        after = moved(length)
        loss = self.objective(scorer, after, small, l1)
        if self.search == "nesterov":
            return after, loss
        start = self.objective(scorer, masks, small, l1)
        steepness = torch.stack([slope.square().sum((1, 2, 3)) for slope in direction]).sum(0)
        for _ in range(10):
            missed = loss > start - 1e-4 * length * steepness
            if not bool(missed.any()):
                break
            length = torch.where(missed, length / 2, length)
            after = moved(length)
            loss = self.objective(scorer, after, small, l1)
        uphill = (loss > start).view(-1, 1, 1, 1)
        stayed = Masks(*(torch.where(uphill, old, new) for old, new in zip(masks, after, strict=True)))
        return stayed, torch.minimum(loss, start)
