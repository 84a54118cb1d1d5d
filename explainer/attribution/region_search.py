"""The search for the smallest region that supports a class, or whose removal destroys it.

P. Dabkowski, Y. Gal: Real Time Image Saliency for Black Box Classifiers, NeurIPS 2017 (SSR and SDR). C.-H. Chang,
E. Creager, A. Goldenberg, D. Duvenaud: Explaining Image Classifiers by Counterfactual Generation, ICLR 2019.
The sparsity terms of that paper's Eq. 4 and 5 stand the wrong way round against its own "z = 0 is dropped": SDR keeps
most of the image and pays for what is dropped, SSR keeps little and pays for what is kept.
"""

from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor

from explainer.attribution.masked_score import (
    Explained,
    MaskedScore,
    MaskSearch,
    positive,
    squared_differences,
    steps,
    upsampled,
)
from explainer.errors import check_seed
from explainer.infill import Infill
from explainer.networks import Explanandum

Region = Literal["ssr", "sdr"]
REFERENCE_PIXELS = 224 * 224
"""The image size that the sparsity weight is for."""


def region_loss(score: Tensor, expected: Tensor, region: Region, sparsity: float, tv: float) -> Tensor:
    r"""Compute the loss of a mask, or of a distribution over masks.

    .. math:: L_{SSR} = -\overline{s} + \lambda \sum_u m_u + \lambda_{tv} TV_2(m) \qquad
        L_{SDR} = \overline{s} + \lambda \sum_u (1 - m_u) + \lambda_{tv} TV_2(m) \quad (4, 5)

    Args:
        score: Score of the image seen through each sample, (S, B).
        expected: Mean mask (B, 1, H, W) in [0, 1]; its sum counts as if the image had 224×224 pixels.
        region: Kind of region, "ssr" or "sdr".
        sparsity: λ, weight of the mask's sum.
        tv: Weight of the sum of squared differences.

    Returns:
        Loss (B,); lower is better.

    Example:
        >>> region_loss(torch.zeros(4, 1), torch.ones(1, 1, 8, 8), "sdr", 1e-3, 0.01).item()
        0.0
    """
    if region == "ssr":
        paid = expected
        sign = -1
    else:
        paid = 1 - expected
        sign = 1
    # a mean, not a sum: the weight holds for images of any size
    size = paid.mean((1, 2, 3)) * REFERENCE_PIXELS
    return sign * score.mean(0) + sparsity * size + tv * squared_differences(expected)


class RegionSearch(MaskSearch):
    """Adam on a coarse grid of mask parameters, all images at once; subclasses say what a parameter is.

    Args:
        region: "ssr": the smallest region that keeps the class's score high. "sdr": the smallest region whose
            replacement destroys it.
        infill: In-fill that replaces what a mask drops; None is the explanandum's mean colour.
        grid: Side of the mask's grid in cells; the grid is up-sampled bilinearly.
        steps: Number of Adam's steps.
        sparsity: λ, weight of the mask's sum over an image of 224×224.
        tv: Weight of the squared differences of neighbouring pixels.
        learning_rate: Learning rate at the start; it falls linearly to 0.
        warm_up: Number of steps in which the weight of both regularisers rises linearly to 1.
        seed: Seed of the masks and of stochastic in-fills.
        batch_size: Largest number of composites that go through the classifier at once.

    Raises:
        InputError: A number is not positive, or the seed is out of its range.
    """

    samples = 1
    is_mask = True
    budget = "steps"
    threshold = 0.5
    """Value of the mask above which the in-fill sees a pixel."""

    def __init__(
        self,
        region: Region = "ssr",
        infill: Infill | None = None,
        grid: int = 56,
        steps: int = 300,
        sparsity: float = 1e-3,
        tv: float = 0.01,
        learning_rate: float = 0.05,
        warm_up: int = 30,
        seed: int = 0,
        batch_size: int = 16,
    ) -> None:
        positive(self, grid=grid, steps=steps, learning_rate=learning_rate, batch_size=batch_size)
        self.region = region
        self.infill = infill
        self.grid = grid
        self.steps = steps
        self.sparsity = sparsity
        check_seed(f"attribution {type(self).__name__}: seed", seed)
        self.tv = tv
        self.learning_rate = learning_rate
        self.warm_up = warm_up
        self.seed = seed
        self.batch_size = batch_size

    @abstractmethod
    def start(self, count: int) -> Tensor:
        """Return the parameters of so many images at the start: (B, 1, grid, grid)."""

    @abstractmethod
    def draw(self, parameter: Tensor, generator: torch.Generator) -> Tensor:
        """Draw masks on the grid: (S, B, 1, grid, grid) in [0, 1], differentiable."""

    @abstractmethod
    def expected(self, parameter: Tensor) -> Tensor:
        """Return the mean mask on the grid: (B, 1, grid, grid) in [0, 1], differentiable."""

    def project(self, parameter: Tensor) -> None:
        """Bring the parameters back to where they may be, after a step."""

    def explain(self, explanandum: Explanandum, image: Tensor, target: Tensor, progress: bool = True) -> Explained:
        """Search for the region.

        Args:
            explanandum: Frozen classifier.
            image: Images (B, 3, H, W) in [0, 1].
            target: Classes (B,) long.
            progress: Whether a long search shows a progress bar, where a person is at a terminal.

        Returns:
            Map, with the search's history ("score", "loss", "area") and, for samples, their deviation.
        """
        size = (image.shape[-2], image.shape[-1])
        generator = torch.Generator(image.device).manual_seed(self.seed)
        scorer = MaskedScore(
            explanandum, image, target, self.infill, "log_odds", self.batch_size, generator, threshold=self.threshold
        )
        history: dict[str, list[Tensor]] = {"score": [], "loss": [], "area": []}
        with torch.inference_mode(False), torch.enable_grad():
            parameter = self.start(len(image)).to(scorer.image).requires_grad_()
            optimizer = torch.optim.Adam([parameter], lr=self.learning_rate)
            decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / self.steps)
            for step in steps(self.steps, type(self).__name__, progress):
                score, loss, area, parameter.grad = self._step(scorer, parameter, generator, step, size)
                optimizer.step()
                decay.step()
                with torch.no_grad():
                    self.project(parameter)
                history["score"].append(score.mean(0).detach())
                history["loss"].append(loss.detach())
                history["area"].append(area.detach())
        with torch.no_grad():
            mask = upsampled(self.expected(parameter)[None], size)[0]
            # further draws give a finer deviation than the samples of a single one
            draws = torch.cat([self.draw(parameter, generator) for _ in range(4)])
            spread = upsampled(draws, size).std(0)
        # SDR's region is what the mask drops
        region = mask if self.region == "ssr" else 1 - mask
        uncertainty = spread.detach() if self.samples > 1 else None
        courses = {name: torch.stack(values) for name, values in history.items()}
        return Explained(region.detach().to(image.dtype), courses, uncertainty)

    def _step(
        self,
        scorer: MaskedScore,
        parameter: Tensor,
        generator: torch.Generator,
        step: int,
        size: tuple[int, int],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute scores (S, B), loss (B,), area (B,) and the gradient to the parameters."""
        masks = upsampled(self.draw(parameter, generator), size)
        expected = upsampled(self.expected(parameter)[None], size)[0]
        score, slope = scorer.with_gradient(masks)
        warm = 1.0
        if self.warm_up:
            warm = min(1.0, (step + 1) / self.warm_up)
        # the score as a linear function of the masks, with the gradient that it has here
        linear = (masks * slope).sum((2, 3, 4))
        linear = linear + (score - linear).detach()
        loss = region_loss(linear, expected, self.region, warm * self.sparsity, warm * self.tv)
        (gradient,) = torch.autograd.grad(loss.sum(), parameter)
        return score, loss, expected.mean((1, 2, 3)), gradient
