"""Meaningful perturbations: one continuous mask, found by gradient descent.

R. Fong, A. Vedaldi: Interpretable Explanations of Black Boxes by Meaningful Perturbation, ICCV 2017; with the losses
and settings under which C.-H. Chang et al., ICLR 2019, compare it with FIDO.
"""

import torch
from torch import Tensor

from explainer.attribution.region_search import Region, RegionSearch
from explainer.errors import InputError
from explainer.infill import Blur, Infill


class BBMP(RegionSearch):
    """The search of FIDO with a point mask instead of a distribution, clipped to [0, 1] after each step.

    Args:
        region: "ssr": the smallest region that keeps the class's score high. "sdr": the smallest region whose
            replacement destroys it.
        infill: In-fill that replaces what the mask drops; None is a blur.
        grid: Side of the mask's grid in cells; the grid is up-sampled bilinearly.
        steps: Number of Adam's steps.
        sparsity: λ, weight of the mask's sum over an image of 224×224.
        tv: Weight of the squared differences of neighbouring pixels.
        learning_rate: Learning rate at the start; it falls linearly to 0.
        warm_up: Number of steps in which the weight of both regularisers rises linearly to 1.
        seed: Seed of stochastic in-fills.
        batch_size: Largest number of composites that go through the classifier at once.
        threshold: τ in [0, 1]. In-fills that look at the mask, such as `CAInfill` (BBMP-CA in FIDO's Table 2), see the
            pixels whose mask is above it. FIDO needs no threshold: its masks are all but binary.

    Raises:
        InputError: τ is out of its range.
    """

    def __init__(
        self,
        region: Region = "sdr",
        infill: Infill | None = None,
        grid: int = 56,
        steps: int = 300,
        sparsity: float = 5e-3,
        tv: float = 0.01,
        learning_rate: float = 0.05,
        warm_up: int = 30,
        seed: int = 0,
        batch_size: int = 16,
        threshold: float = 0.5,
    ) -> None:
        if not 0 <= threshold <= 1:
            raise InputError(f"BBMP: threshold must lie in [0, 1], got {threshold}")
        if infill is None:
            infill = Blur()
        super().__init__(region, infill, grid, steps, sparsity, tv, learning_rate, warm_up, seed, batch_size)
        self.threshold = threshold

    def start(self, count: int) -> Tensor:
        """Return 0.5 everywhere: (B, 1, grid, grid)."""
        return torch.full((count, 1, self.grid, self.grid), 0.5)

    def draw(self, parameter: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mask itself, as the only sample: (1, B, 1, grid, grid)."""
        return parameter[None]

    def expected(self, parameter: Tensor) -> Tensor:
        """Return the mask itself: (B, 1, grid, grid) in [0, 1]."""
        return parameter

    def project(self, parameter: Tensor) -> None:
        """Clip the mask to [0, 1]."""
        parameter.clamp_(0, 1)
