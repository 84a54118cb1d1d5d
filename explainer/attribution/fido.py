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
    r"""Samples of a relaxed Bernoulli distribution.

    .. math:: z = \sigma\big((\ell + \log u - \log(1 - u)) / t\big)

    Args:
        logits: Of the probability of 1, any shape.
        uniform: In (0, 1), a shape that broadcasts.
        temperature: t, above 0; towards 0 the samples become binary.

    Returns:
        In [0, 1].

    Example:
        >>> concrete(torch.tensor(0.0), torch.tensor(0.5), 0.1).item()
        0.5
    """
    return ((logits + uniform.log() - (-uniform).log1p()) / temperature).sigmoid()


class FIDO(RegionSearch):
    """A probability for each pixel of being kept, found through samples of masks.

    The map is that probability (SSR), or that of being dropped (SDR); `explain` also gives its deviation over samples.

    Args:
        samples: Masks a step, the same noise for every image; fewer than 4 is unstable.
        temperature: Of the Concrete distribution.
        region: As in `RegionSearch`, as are the others.
        infill: Likewise.
        grid: Likewise.
        steps: Likewise.
        sparsity: Likewise.
        tv: Likewise.
        learning_rate: Likewise.
        warm_up: Likewise.
        seed: Likewise.
        batch_size: Likewise.
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
        self.samples, self.temperature = samples, temperature

    def start(self, count: int) -> Tensor:
        """Logits 0: every pixel is kept with probability 0.5."""
        return torch.zeros(count, 1, self.grid, self.grid)

    def draw(self, parameter: Tensor, generator: torch.Generator) -> Tensor:
        """Concrete samples."""
        shape = (self.samples, 1, *parameter.shape[1:])
        uniform = torch.rand(shape, generator=generator, device=parameter.device, dtype=parameter.dtype)
        return concrete(parameter, uniform.clamp(1e-6, 1 - 1e-6), self.temperature)

    def expected(self, parameter: Tensor) -> Tensor:
        """The probability of being kept."""
        return parameter.sigmoid()
