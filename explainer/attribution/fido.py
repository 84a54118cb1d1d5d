"""FIDO: which pixels may be dropped out, and filled in by something plausible.

C.-H. Chang, E. Creager, A. Goldenberg, D. Duvenaud: Explaining Image Classifiers by Counterfactual Generation,
ICLR 2019.
"""

import torch
from torch import Tensor

from explainer.attribution.masked_score import positive
from explainer.attribution.region_search import Region, RegionSearch
from explainer.infill import Infill


def concrete(logits: Tensor, uniform: Tensor, temperature: float) -> Tensor:
    r"""Draw samples of a relaxed Bernoulli distribution.

    .. math:: z = \sigma\big((\ell + \log u - \log(1 - u)) / t\big)

    Args:
        logits: ℓ, logits of the probability of 1, any shape.
        uniform: u, uniform noise in (0, 1), a shape that broadcasts.
        temperature: t, above 0; towards 0 the samples become binary.

    Returns:
        Samples in [0, 1], of the broadcast shape.

    Example:
        >>> concrete(torch.tensor(0.0), torch.tensor(0.5), 0.1).item()
        0.5
    """
    return ((logits + uniform.log() - (-uniform).log1p()) / temperature).sigmoid()


class FIDO(RegionSearch):
    """The probability that each pixel is kept, optimised through samples of masks.

    The map is that probability (SSR), or the probability of being dropped (SDR). `explain` also gives its deviation
    over samples.

    Args:
        samples: Number of masks a step, with the same noise for every image; fewer than 4 is unstable.
        temperature: Temperature of the Concrete distribution.
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
    """

    def __init__(
        self,
        samples: int = 8,
        temperature: float = 0.1,
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
        super().__init__(region, infill, grid, steps, sparsity, tv, learning_rate, warm_up, seed, batch_size)
        positive(self, samples=samples, temperature=temperature)
        self.samples = samples
        self.temperature = temperature

    def start(self, count: int) -> Tensor:
        """Return logits 0: every pixel is kept with probability 0.5."""
        return torch.zeros(count, 1, self.grid, self.grid)

    def draw(self, parameter: Tensor, generator: torch.Generator) -> Tensor:
        """Draw Concrete samples: (samples, B, 1, grid, grid) in [0, 1]."""
        # one draw for all images: a map must not depend on the others of its batch
        shape = (self.samples, 1, *parameter.shape[1:])
        uniform = torch.rand(shape, generator=generator, device=parameter.device, dtype=parameter.dtype)
        # at 0 and at 1 the logarithms are infinite
        uniform = uniform.clamp(1e-6, 1 - 1e-6)
        return concrete(parameter, uniform, self.temperature)

    def expected(self, parameter: Tensor) -> Tensor:
        """Return the probability of being kept: (B, 1, grid, grid)."""
        return parameter.sigmoid()
