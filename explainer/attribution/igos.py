"""iGOS++: a deletion and an insertion mask, found along integrated gradients.

S. Khorram, T. Lawson, L. Fuxin: iGOS++: Integrated Gradient Optimized Saliency by Bilateral Perturbations, CHIL 2021.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from explainer.attribution.masked_score import Explained, MaskedScore, MaskSearch, positive, steps, upsampled
from explainer.errors import check_seed
from explainer.infill import Blur, Infill
from explainer.networks import Explanandum

Search = Literal["line", "nesterov"]


def bilateral_tv(mask: Tensor, image: Tensor, power: float = 2.0, sigma: float = 0.01) -> Tensor:
    r"""Compute a total variation that costs little across the edges of the image.

    .. math:: \mathrm{BTV}(M) = \frac{1}{Z} \sum_u e^{-\nabla I(u)^2 / \sigma^2} |\nabla M(u)|^\beta

    Args:
        mask: Masks (B, 1, h, w) in [0, 1].
        image: Images (B, 3, h, w) in [0, 1], of the mask's size; their mean over channels counts.
        power: β, power of the mask's differences.
        sigma: σ, difference of brightness that counts as an edge.

    Returns:
        Total variation (B,), at least 0; lower is smoother.

    Example:
        >>> bilateral_tv(torch.ones(1, 1, 4, 4), torch.rand(1, 3, 4, 4)).item()
        0.0
    """
    grey = image.mean(1, keepdim=True)
    total = mask.new_zeros(len(mask))
    for axis in (-1, -2):
        weight = torch.exp(-grey.diff(dim=axis).square() / sigma**2)
        difference = mask.diff(dim=axis).abs().pow(power)
        total = total + (weight * difference).sum((1, 2, 3))
    return total / (mask.shape[-2] * mask.shape[-1])


def size_of(image: Tensor) -> tuple[int, int]:
    """Return H and W of images (…, H, W).

    Example:
        >>> size_of(torch.rand(1, 3, 4, 5))
        (4, 5)
    """
    return image.shape[-2], image.shape[-1]


class Masks(NamedTuple):
    """The two masks of the search, 1 = keep.

    Attributes:
        deletion: Mask whose dropped region lowers the score, (B, 1, g, g) in [0, 1].
        insertion: Mask whose dropped region alone restores the score, (B, 1, g, g) in [0, 1].
    """

    deletion: Tensor
    insertion: Tensor


def pushed(masks: Masks, before: Masks, push: float) -> Masks:
    """Move masks on in the direction in which they moved last, as Nesterov's accelerated gradient does.

    Args:
        masks: Masks after the last step.
        before: Masks before it.
        push: Length of the move in units of the last step.

    Returns:
        Masks in [0, 1].

    Example:
        >>> old, new = torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), 0.5)
        >>> pushed(Masks(new, new), Masks(old, old), 0.5).deletion.item()
        0.75
    """
    moved = []
    for new, old in zip(masks, before, strict=True):
        step = new - old
        moved.append((new + push * step).clamp(0, 1))
    return Masks(*moved)


class IGOS(MaskSearch):
    r"""The region whose removal lowers the class's probability, and which alone restores it.

    .. math:: \min_{M_x, M_y} f(\Phi(M_x)) - f(\Phi(1 - M_y)) + f(\Phi(M_x M_y)) - f(\Phi(1 - M_x M_y))
        + \lambda_1 \overline{|1 - M_x M_y|} + \lambda_2 \mathrm{BTV}(M_x M_y)

    with :math:`\Phi(M) = M I + (1 - M) \tilde I`. The map is :math:`1 - M_x M_y`.

    Args:
        search: Kind of search: "line" (back-tracking line search) or "nesterov" (accelerated gradient, a fixed step).
        iterations: Number of iterations of the search.
        integrated: Number of steps of the integrated gradient.
        grid: Side of the masks in cells.
        l1: λ₁, weight of the region's area (1 to 10 in the published settings). A lower weight makes larger regions,
            and worse orders of pixels. Where no step pays for λ₁, as for a class of low probability, the line search
            leaves the masks whole; then it halves λ₁ for that image.
        tv: λ₂, weight of the bilateral total variation.
        power: β, power of the mask's differences in the total variation.
        sigma: σ, difference of brightness that counts as an edge in the total variation.
        noise: Standard deviation of the noise on what the classifier sees, in units of its normalised input.
        step: Length of the longest step; where a network's gradients are small, it has to be long.
        infill: In-fill that replaces what a mask drops; None is a strong blur.
        seed: Seed of the noise.
        batch_size: Largest number of composites that go through the classifier at once.

    Raises:
        InputError: A number is not positive, or the seed is out of its range.
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
        self.search = search
        self.iterations = iterations
        self.integrated = integrated
        self.grid = grid
        self.l1 = l1
        self.tv = tv
        check_seed(f"attribution {type(self).__name__}: seed", seed)
        self.power = power
        self.sigma = sigma
        self.noise = noise
        self.step = step
        self.seed = seed
        if infill is None:
            infill = Blur(10.0)
        self.infill = infill
        self.batch_size = batch_size

    def explain(self, explanandum: Explanandum, image: Tensor, target: Tensor, progress: bool = True) -> Explained:
        """Return the map, and the history of the objective ("loss")."""
        generator = torch.Generator(image.device).manual_seed(self.seed)
        # `noise` is in units of the normalised input, the images here are in [0, 1]
        noise = self.noise * float(explanandum.std.mean())
        noisy = MaskedScore(explanandum, image, target, self.infill, "probability", self.batch_size, generator, noise)
        plain = MaskedScore(explanandum, image, target, self.infill, "probability", self.batch_size, generator)
        small = torch.nn.functional.interpolate(plain.image, (self.grid, self.grid), mode="area")
        losses = []
        with torch.inference_mode(False), torch.no_grad():
            ones = torch.ones(len(image), 1, self.grid, self.grid, device=image.device, dtype=image.dtype)
            masks = before = Masks(ones, ones.clone())
            l1 = image.new_full((len(image),), self.l1)
            for index in steps(self.iterations, "IGOS", progress):
                ahead = masks
                if self.search == "nesterov" and index:
                    ahead = pushed(masks, before, index / (index + 3))
                direction = self._direction(noisy, ahead, small, l1)
                before = masks
                masks, loss = self._move(plain, ahead, direction, small, l1)
                losses.append(loss)
                l1 = torch.where(self._whole(masks), l1 / 2, l1)
        both = masks.deletion * masks.insertion
        mask = upsampled(both[None], size_of(image))[0]
        return Explained(1 - mask, {"loss": torch.stack(losses)})

    def _whole(self, masks: Masks) -> Tensor:
        """Say whether the line search left an image's masks whole, because no step pays for its λ₁: (B,)."""
        whole = (masks.deletion * masks.insertion == 1).flatten(1).all(1)
        return whole & (self.search == "line")

    def penalty(self, masks: Masks, small: Tensor, l1: Tensor) -> Tensor:
        """Compute the terms of λ₁, which is (B,), and of λ₂ for the masks' product: (B,)."""
        both = masks.deletion * masks.insertion
        area = (1 - both).abs().mean((1, 2, 3))
        variation = bilateral_tv(both, small, self.power, self.sigma)
        return l1 * area + self.tv * variation

    def objective(self, scorer: MaskedScore, masks: Masks, small: Tensor, l1: Tensor) -> Tensor:
        """Compute what is minimised: (B,)."""
        both = masks.deletion * masks.insertion
        # all four in one call, which fills the classifier's batches
        views = torch.stack([masks.deletion, 1 - masks.insertion, both, 1 - both])
        deleted, inserted, deleted_both, inserted_both = scorer(upsampled(views, size_of(scorer.image)))
        return deleted - inserted + deleted_both - inserted_both + self.penalty(masks, small, l1)

    def _direction(self, scorer: MaskedScore, masks: Masks, small: Tensor, l1: Tensor) -> Masks:
        """Compute integrated gradients of the scores, and add the gradient of the penalty."""
        with torch.enable_grad():
            leaf = Masks(*(mask.detach().clone().requires_grad_() for mask in masks))
            both = leaf.deletion * leaf.insertion
            ramp = torch.arange(1, self.integrated + 1, device=both.device) / self.integrated
            size = size_of(scorer.image)
            total = self.penalty(leaf, small, l1).sum()
            # an insertion term is minus the score of the complement 1 - m: in its gradient the two signs cancel
            for mask, inserted in ((leaf.deletion, False), (leaf.insertion, True), (both, False), (both, True)):
                path = ramp.view(-1, 1, 1, 1, 1) * mask.detach()
                if inserted:
                    path = 1 - path
                _, slopes = scorer.with_gradient(upsampled(path, size))
                slope = slopes.mean(0)
                # the classifier's graph is gone: a product with the slope hands it on to the masks
                large = upsampled(mask[None], size)[0]
                total = total + (slope * large).sum()
            return Masks(*torch.autograd.grad(total, leaf))

    def _move(
        self,
        scorer: MaskedScore,
        masks: Masks,
        direction: Masks,
        small: Tensor,
        l1: Tensor,
    ) -> tuple[Masks, Tensor]:
        """Go down as far as each image's objective allows: the masks there, and the objective (B,)."""

        def moved(length: Tensor) -> Masks:
            far = length.view(-1, 1, 1, 1)
            pairs = zip(masks, direction, strict=True)
            lower = [mask - far * slope for mask, slope in pairs]
            return Masks(*(mask.clamp(0, 1) for mask in lower))

        length = scorer.image.new_full((len(scorer.image),), self.step)
        after = moved(length)
        loss = self.objective(scorer, after, small, l1)
        if self.search == "nesterov":
            return after, loss
        start = self.objective(scorer, masks, small, l1)
        squares = [slope.square().sum((1, 2, 3)) for slope in direction]
        steepness = torch.stack(squares).sum(0)
        # Armijo's rule: halve the step until the objective has fallen by enough, ten times at most
        for _ in range(10):
            missed = loss > start - 1e-4 * length * steepness
            if not bool(missed.any()):
                break
            length = torch.where(missed, length / 2, length)
            after = moved(length)
            loss = self.objective(scorer, after, small, l1)
        # an image for which no step is short enough stays where it was
        uphill = (loss > start).view(-1, 1, 1, 1)
        deletion = torch.where(uphill, masks.deletion, after.deletion)
        insertion = torch.where(uphill, masks.insertion, after.insertion)
        return Masks(deletion, insertion), torch.minimum(loss, start)
