r"""Empirical masks: cells of a mask are kept or dropped at random, the more are kept the surer the classifier is.

S. Thakur, S. Fischmeister: A Generalizable Saliency Map-Based Interpretation of Model Outcome, ICPR 2020 (Algorithm 1),
and the poster of the same work. The two differ: the paper scales the cells that stay by p and adds
:math:`\eta \Delta V \Delta p`, the poster scales by :math:`\Delta p` and adds :math:`\eta V M`. Neither says how a
cell that was once zeroed comes back under a multiplicative update: here it starts again at 1. Grid, η and the density
at the start are not given either.

Read literally, the cells' values are shown to the classifier, so that the image darkens with every step that a cell
stays, and the last mask is the answer. And the exchange hardly explores: at a probability near 1 all cells stay as they
are, near 0 the mask turns into its complement and back. On photographs the map lies between a random one and a centred
box on insertion, and below both on deletion (docs/results/methods.md has the numbers). By default cells are therefore
shown as they are, on or off, several exchanges start from masks of their own, and the answer is how the classifier's
probability goes together with each cell over all steps of all of them; `dim`, `result` and `chains` give Algorithm 1
back.
"""

import math
from typing import Literal, NamedTuple

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
from explainer.errors import InputError, check_seed
from explainer.infill import Infill
from explainer.networks import Explanandum

Update = Literal["paper", "poster"]


class State(NamedTuple):
    """State of the search after a step.

    Attributes:
        mask: Values of the cells, (B, 1, g, g), at least 0; above 0 where a cell is on.
        on: Whether a cell is on, (B, 1, g, g) bool.
        probability: Probability of the class at the last step, (B,).
        variation: Variation of the mask at the last step, (B,).
    """

    mask: Tensor
    on: Tensor
    probability: Tensor
    variation: Tensor


def choose(candidates: Tensor, count: Tensor, keys: Tensor) -> Tensor:
    """Choose the candidates with the lowest keys.

    Args:
        candidates: Cells that may be chosen, (B, 1, g, g) bool.
        count: Number of cells to choose, (B,), rounded to whole cells.
        keys: Random numbers (1, 1, g, g).

    Returns:
        Cells that are chosen, (B, 1, g, g) bool.

    Example:
        >>> choose(torch.ones(1, 1, 2, 2).bool(), torch.tensor([2.0]), torch.rand(1, 1, 2, 2)).sum().item()
        2
    """
    # cells that are no candidates come last
    keys_of_candidates = torch.where(candidates, keys, torch.inf).flatten(1)
    rank = keys_of_candidates.argsort(1).argsort(1)
    lowest = rank < count.round()[:, None]
    return lowest.view_as(candidates) & candidates


def advance(state: State, probability: Tensor, keys: tuple[Tensor, Tensor], eta: float, update: Update) -> State:
    r"""Take one step of the search: lines 4 to 11 of Algorithm 1.

    Args:
        state: State before the step.
        probability: Probability of the class, seen through the mask, (B,).
        keys: Two sets of random numbers, (1, 1, g, g) each: they decide which cells stay on, and which come on.
        eta: η, weight of the regulariser.
        update: Rule for the cells' values, "paper" or "poster".

    Returns:
        State after the step.

    Example:
        >>> cells = torch.ones(1, 1, 2, 2)
        >>> before = State(cells, cells > 0, torch.tensor([0.0]), torch.tensor([0.0]))
        >>> advance(before, torch.tensor([0.5]), (torch.rand(1, 1, 2, 2),) * 2, 0.0, "paper").mask.sum().item()
        1.0
    """
    change = (probability - state.probability).abs()
    off = ~state.on
    staying = choose(state.on, state.on.sum((1, 2, 3)) * probability, keys[0])
    coming = choose(off, off.sum((1, 2, 3)) * (1 - probability), keys[1])
    on = staying | coming
    factor = (probability if update == "paper" else change).view(-1, 1, 1, 1)
    # a cell that was 0 would stay 0 under a multiplication: it starts again at 1
    values = torch.where(state.on, state.mask, 1.0)
    mask = torch.where(on, values * factor, 0.0)
    if update == "paper":
        variation = squared_differences(mask)
        shift = eta * (variation - state.variation) * change
        mask = torch.where(on, mask + shift.view(-1, 1, 1, 1), 0.0)
    else:
        variation = squared_differences(state.mask)
        share = (eta * variation).view(-1, 1, 1, 1)
        mask = mask + share * torch.where(on, state.mask, 0.0)
    return State(mask.clamp(0, 1), on, probability, variation)


class EmpiricalMask(MaskSearch):
    """Cells that are on when the classifier is sure; its probability drives an exchange of cells, without gradients.

    Args:
        iterations: Number of steps of all chains together, N.
        grid: Number of cells a side.
        eta: η, weight of the regulariser, which is the sum of squared differences over the grid.
        update: Rule for the cells' values: that of the "paper" or of the "poster".
        density: Share of the cells that are on at the start, in (0, 1]; the exchange keeps 0.5 as it is.
        dim: Whether the classifier sees the cells' values, as in Algorithm 1, instead of whole cells; only then do
            `eta` and `update` matter.
        result: Map of an image: the "covariance" of a cell with the probability over all steps; the "mean" of the cell,
            weighted by the probability; or the "last" mask, as in Algorithm 1.
        infill: In-fill that covers the rest; None is the explanandum's mean colour.
        chains: Number of searches from different starts, all in one batch, whose steps count together; 1 in the paper.
        seed: Seed of the exchange, which is the same for every image.
        batch_size: Largest number of images that go through the classifier at once.

    Raises:
        InputError: A number is not positive, or density or seed are out of their range.
    """

    budget = "iterations"

    def __init__(
        self,
        iterations: int = 1000,
        grid: int = 8,
        eta: float = 1e-3,
        update: Update = "paper",
        density: float = 0.5,
        dim: bool = False,
        result: Literal["covariance", "mean", "last"] = "covariance",
        infill: Infill | None = None,
        chains: int = 10,
        seed: int = 0,
        batch_size: int = 16,
    ) -> None:
        positive(self, iterations=iterations, grid=grid, chains=chains, batch_size=batch_size)
        if not 0 < density <= 1:
            raise InputError(f"attribution EmpiricalMask: density must lie in (0, 1], got {density}")
        self.iterations = iterations
        self.grid = grid
        self.eta = eta
        self.update = update
        self.density = density
        self.dim = dim
        self.result = result
        self.infill = infill
        check_seed(f"attribution {type(self).__name__}: seed", seed)
        self.chains = chains
        self.seed = seed
        self.batch_size = batch_size

    @torch.no_grad()
    def explain(self, explanandum: Explanandum, image: Tensor, target: Tensor, progress: bool = True) -> Explained:
        """Return the map and the history of "probability", its "change" and the mask's "variation", means of chains."""
        size = (image.shape[-2], image.shape[-1])
        count = len(image)
        chains = min(self.chains, self.iterations)
        generator = torch.Generator(image.device).manual_seed(self.seed)
        scorer = MaskedScore(explanandum, image, target, self.infill, "probability", self.batch_size, generator)

        def keys() -> Tensor:
            """Draw random keys, the same for every image: (chains · B, 1, g, g)."""
            draw = torch.rand(chains, 1, 1, self.grid, self.grid, generator=generator, device=image.device)
            return draw.expand(-1, count, -1, -1, -1).flatten(0, 1)

        def by_chain(values: Tensor) -> Tensor:
            """Give chains an axis of their own: (chains · B, …) → (chains, B, …)."""
            return values.view(chains, count, *values.shape[1:])

        on = keys() < self.density
        mask = on.to(image.dtype)
        state = State(mask, on, image.new_zeros(len(on)), squared_differences(mask))
        # in double precision: probabilities may hardly differ from step to step
        weighted = torch.zeros_like(mask, dtype=torch.float64)
        visits = torch.zeros_like(weighted)
        total = weighted.new_zeros(len(on), 1, 1, 1)
        history: dict[str, list[Tensor]] = {"probability": [], "change": [], "variation": []}
        rounds = math.ceil(self.iterations / chains)
        for _ in steps(rounds, "EmpiricalMask", progress):
            cells = state.mask if self.dim else state.on.to(image.dtype)
            probability = scorer(upsampled(by_chain(cells), size)).flatten()
            weight = probability.double().view(-1, 1, 1, 1)
            weighted = weighted + weight * state.on
            visits = visits + state.on
            total = total + weight
            change = (probability - state.probability).abs()
            state = advance(state, probability, (keys(), keys()), self.eta, self.update)
            history["probability"].append(by_chain(probability).mean(0))
            history["change"].append(by_chain(change).mean(0))
            history["variation"].append(by_chain(state.variation).mean(0))
        weighted = by_chain(weighted).mean(0)
        visits = by_chain(visits).mean(0)
        total = by_chain(total).mean(0)
        if self.result == "covariance":
            grid = (weighted - visits * total / rounds) / rounds
        elif self.result == "mean":
            grid = weighted / total.clamp_min(1e-12)
        else:
            grid = by_chain(state.mask).mean(0)
        maps = upsampled(grid.to(image.dtype)[None], size)[0]
        return Explained(maps, {name: torch.stack(values) for name, values in history.items()})
