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

from explainer.attribution.base import Attribution
from explainer.attribution.masked_score import Explained, MaskedScore, positive, squared_differences, steps, upsampled
from explainer.errors import check_seed
from explainer.infill import Infill
from explainer.networks import Explanandum

Region = Literal["ssr", "sdr"]
REFERENCE_PIXELS = 224 * 224
"""The image size that the sparsity weight is for."""


def region_loss(score: Tensor, expected: Tensor, region: Region, sparsity: float, tv: float) -> Tensor:
    r"""Loss of a mask, or of a distribution over masks.

    .. math:: L_{SSR} = -\overline{s} + \lambda \sum_u m_u + \lambda_{tv} TV_2(m) \qquad
        L_{SDR} = \overline{s} + \lambda \sum_u (1 - m_u) + \lambda_{tv} TV_2(m) \quad (4, 5)

    Args:
        score: (S, B) of the image seen through each sample.
        expected: (B, 1, H, W) in [0, 1], the mean mask; its sum counts as if the image had 224×224 pixels.
        region: "ssr" or "sdr".
        sparsity: λ.
        tv: Weight of the sum of squared differences.

    Returns:
        (B,); lower is better.

    Example:
        >>> region_loss(torch.zeros(4, 1), torch.ones(1, 1, 8, 8), "sdr", 1e-3, 0.01).item()
        0.0
    """
    paid = expected if region == "ssr" else 1 - expected
    sign = -1 if region == "ssr" else 1
    size = paid.mean((1, 2, 3)) * REFERENCE_PIXELS
    return sign * score.mean(0) + sparsity * size + tv * squared_differences(expected)


class RegionSearch(Attribution):
    """Adam on a coarse grid of mask parameters, all images at once; subclasses say what a parameter is.

    Args:
        region: "ssr": the smallest region that keeps the class's score high. "sdr": the smallest that, when replaced,
            destroys it.
        infill: What replaces; None is the explanandum's mean colour.
        grid: Side of the grid, up-sampled bilinearly.
        steps: Of Adam.
        sparsity: λ, for the sum over an image of 224×224.
        tv: Weight of the squared differences.
        learning_rate: At the start; it falls linearly to 0.
        warm_up: Steps in which the weight of both regularisers rises linearly to 1.
        seed: Of samples and stochastic in-fills.
        batch_size: At most so many composites at once.
    """

    samples = 1
    is_mask = True
    budget = "steps"
    threshold = 0.5
    """The in-fill sees the pixels whose mask is above it."""

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
        self.region, self.infill, self.grid, self.steps, self.sparsity = region, infill, grid, steps, sparsity
        check_seed(f"attribution {type(self).__name__}: seed", seed)
        self.tv, self.learning_rate, self.warm_up, self.seed = tv, learning_rate, warm_up, seed
        self.batch_size = batch_size

    @abstractmethod
    def start(self, count: int) -> Tensor:
        """Parameters for so many images: (B, 1, grid, grid)."""

    @abstractmethod
    def draw(self, parameter: Tensor, generator: torch.Generator) -> Tensor:
        """Masks on the grid: (S, B, 1, grid, grid) in [0, 1], differentiable."""

    @abstractmethod
    def expected(self, parameter: Tensor) -> Tensor:
        """The mean mask on the grid: (B, 1, grid, grid) in [0, 1], differentiable."""

    def project(self, parameter: Tensor) -> None:
        """Bring the parameters back to where they may be, after a step."""

    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """(B, 1, H, W) in [0, 1]: how surely a pixel belongs to the region."""
        return self.explain(explanandum, image, target).map

    def explain(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Explained:
        """The map, with the search's history ("score", "loss", "area") and, for samples, their deviation.

        Args:
            explanandum: The frozen classifier.
            image: (B, 3, H, W) in [0, 1].
            target: (B,) long.
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
            for step in steps(self.steps, type(self).__name__):
                score, loss, area, parameter.grad = self._step(scorer, parameter, generator, step, size)
                optimizer.step()
                decay.step()
                with torch.no_grad():
                    self.project(parameter)
                for name, value in (("score", score.mean(0)), ("loss", loss), ("area", area)):
                    history[name].append(value.detach())
        with torch.no_grad():
            kept = upsampled(self.expected(parameter)[None], size)[0]
            spread = upsampled(torch.cat([self.draw(parameter, generator) for _ in range(4)]), size).std(0)
        found = kept if self.region == "ssr" else 1 - kept
        return Explained(
            found.detach().to(image.dtype),
            {name: torch.stack(values) for name, values in history.items()},
            spread.detach() if self.samples > 1 else None,
        )

    def _step(
        self, scorer: MaskedScore, parameter: Tensor, generator: torch.Generator, step: int, size: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Scores (S, B), loss (B,), area (B,) and the gradient to the parameters."""
        masks = upsampled(self.draw(parameter, generator), size)
        expected = upsampled(self.expected(parameter)[None], size)[0]
        score, slope = scorer.with_gradient(masks)
        warm = min(1.0, (step + 1) / self.warm_up) if self.warm_up else 1.0
        # the score as a linear function of the masks, with the gradient that it has here
        linear = (masks * slope).sum((2, 3, 4))
        linear = linear + (score - linear).detach()
        loss = region_loss(linear, expected, self.region, warm * self.sparsity, warm * self.tv)
        (gradient,) = torch.autograd.grad(loss.sum(), parameter)
        return score, loss, expected.mean((1, 2, 3)), gradient
