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

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from explainer.attribution.base import Attribution
from explainer.attribution.masked_score import Explained, MaskedScore, positive, squared_differences, steps, upsampled
from explainer.errors import InputError, check_seed
from explainer.infill import Infill
from explainer.networks import Explanandum

Update = Literal["paper", "poster"]


class State(NamedTuple):
    """Where the search stands.

    Attributes:
        mask: (B, 1, g, g), at least 0; above 0 where a cell is on.
        on: (B, 1, g, g) bool.
        probability: (B,), of the last step.
        variation: (B,), of the last step.
    """

    mask: Tensor
    on: Tensor
    probability: Tensor
    variation: Tensor


def choose(candidates: Tensor, count: Tensor, keys: Tensor) -> Tensor:
    """So many of the candidates, those with the lowest keys.

    Args:
        candidates: (B, 1, g, g) bool.
        count: (B,), rounded to whole cells.
        keys: (1, 1, g, g), random.

    Returns:
        (B, 1, g, g) bool.

    Example:
        >>> choose(torch.ones(1, 1, 2, 2).bool(), torch.tensor([2.0]), torch.rand(1, 1, 2, 2)).sum().item()
        2
    """
    ordered = torch.where(candidates, keys, torch.inf).flatten(1)
    rank = ordered.argsort(1).argsort(1)
    return (rank < count.round()[:, None]).view_as(candidates) & candidates


def advance(state: State, probability: Tensor, keys: tuple[Tensor, Tensor], eta: float, update: Update) -> State:
    r"""Lines 4 to 11 of Algorithm 1.

    Args:
        state: Before.
        probability: (B,) of the class, seen through the mask.
        keys: (1, 1, g, g) each, random: which cells stay on, which come on.
        eta: η.
        update: "paper" or "poster".

    Returns:
        The state after.

    Example:
        >>> cells = torch.ones(1, 1, 2, 2)
        >>> before = State(cells, cells > 0, torch.tensor([0.0]), torch.tensor([0.0]))
        >>> advance(before, torch.tensor([0.5]), (torch.rand(1, 1, 2, 2),) * 2, 0.0, "paper").mask.sum().item()
        1.0
    """
    change = (probability - state.probability).abs()
    stay = choose(state.on, state.on.sum((1, 2, 3)) * probability, keys[0])
    come = choose(~state.on, (~state.on).sum((1, 2, 3)) * (1 - probability), keys[1])
    on = stay | come
    factor = (probability if update == "paper" else change).view(-1, 1, 1, 1)
    mask = torch.where(on, torch.where(state.on, state.mask, 1.0) * factor, 0.0)
    if update == "paper":
        variation = squared_differences(mask)
        mask = torch.where(on, mask + (eta * (variation - state.variation) * change).view(-1, 1, 1, 1), 0.0)
    else:
        variation = squared_differences(state.mask)
        mask = mask + (eta * variation).view(-1, 1, 1, 1) * torch.where(on, state.mask, 0.0)
    return State(mask.clamp(0, 1), on, probability, variation)


class EmpiricalMask(Attribution):
    """Cells that are on when the classifier is sure, by an exchange of cells that its probability drives; no gradients.

    Args:
        iterations: N, of all chains together.
        grid: Cells a side.
        eta: η, the weight of the regulariser; it counts with the sum of squared differences over the grid.
        update: Of the "paper" or of the "poster".
        density: Of the mask at the start; the exchange keeps 0.5 as it is.
        dim: Show the cells' values, as in Algorithm 1, instead of whole cells; only then do `eta` and `update` matter.
        result: The "covariance" of a cell with the probability over all steps; the "mean" of the cell, weighted by the
            probability; or the "last" mask, as in Algorithm 1.
        infill: What covers the rest; None is the explanandum's mean colour.
        chains: Searches from different starts, all in one batch, whose steps count together; 1 in the paper.
        seed: Of the exchange, which is the same for every image.
        batch_size: At most so many images at once.
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
        self.iterations, self.grid, self.eta, self.update = iterations, grid, eta, update
        self.density, self.dim, self.result, self.infill = density, dim, result, infill
        check_seed(f"attribution {type(self).__name__}: seed", seed)
        self.chains, self.seed, self.batch_size = chains, seed, batch_size

    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """(B, 1, H, W); at least 0 unless it is a covariance."""
        return self.explain(explanandum, image, target).map

    @torch.no_grad()
    def explain(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Explained:
        """The map, with the history of "probability", its "change", and the mask's "variation", means over chains."""
        size, count = (image.shape[-2], image.shape[-1]), len(image)
        chains = min(self.chains, self.iterations)
        generator = torch.Generator(image.device).manual_seed(self.seed)
        scorer = MaskedScore(explanandum, image, target, self.infill, "probability", self.batch_size, generator)

        def keys() -> Tensor:  # the same for every image
            drawn = torch.rand(chains, 1, 1, self.grid, self.grid, generator=generator, device=image.device)
            return drawn.expand(-1, count, -1, -1, -1).flatten(0, 1)

        on = keys() < self.density
        nothing = image.new_zeros(len(on))
        state = State(on.to(image.dtype), on, nothing, squared_differences(on.to(image.dtype)))
        weighted = often = torch.zeros_like(state.mask, dtype=torch.float64)  # probabilities may hardly differ
        total = nothing.double().view(-1, 1, 1, 1)
        history: dict[str, list[Tensor]] = {"probability": [], "change": [], "variation": []}
        rounds = -(-self.iterations // chains)
        for _ in steps(rounds, "EmpiricalMask"):
            shown = state.mask if self.dim else state.on.to(image.dtype)
            probability = scorer(upsampled(shown.view(chains, count, *shown.shape[1:]), size)).flatten()
            share = probability.double().view(-1, 1, 1, 1)
            weighted, often, total = weighted + share * state.on, often + state.on, total + share
            change = (probability - state.probability).abs()
            state = advance(state, probability, (keys(), keys()), self.eta, self.update)
            for name, value in (("probability", probability), ("change", change), ("variation", state.variation)):
                history[name].append(value.view(chains, count).mean(0))
        weighted, often, total, last = (
            part.view(chains, count, *part.shape[1:]).mean(0) for part in (weighted, often, total, state.mask)
        )
        grids = {
            "covariance": (weighted - often * total / rounds) / rounds,
            "mean": weighted / total.clamp_min(1e-12),
            "last": last,
        }
        found = upsampled(grids[self.result].to(image.dtype)[None], size)[0]
        return Explained(found, {name: torch.stack(values) for name, values in history.items()})
