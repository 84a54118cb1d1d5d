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
        region: As in `RegionSearch`, as are the others.
        infill: Likewise; None is a blur.
        grid: Likewise.
        steps: Likewise.
        sparsity: Likewise.
        tv: Likewise.
        learning_rate: Likewise.
        warm_up: Likewise.
        seed: Likewise.
        batch_size: Likewise.
        threshold: τ in [0, 1]: in-fills that look at the mask, such as `CAInfill` (BBMP-CA in FIDO's Table 2), see the
            pixels whose mask is above it; FIDO's masks are all but binary and need none.

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
        infill = Blur() if infill is None else infill
        super().__init__(region, infill, grid, steps, sparsity, tv, learning_rate, warm_up, seed, batch_size)
        self.threshold = threshold

    def start(self, count: int) -> Tensor:
        """0.5 everywhere."""
        return torch.full((count, 1, self.grid, self.grid), 0.5)

    def draw(self, parameter: Tensor, generator: torch.Generator) -> Tensor:
        """The mask itself."""
        return parameter[None]

    def expected(self, parameter: Tensor) -> Tensor:
        """The mask itself."""
        return parameter

    def project(self, parameter: Tensor) -> None:
        """Clip."""
        parameter.clamp_(0, 1)
