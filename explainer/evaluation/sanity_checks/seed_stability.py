"""Whether a method that draws random numbers says the same whichever it drew.

The rank correlation of repeated runs is the test-retest form of the inter-rater reliability of R. Tomsett, D. Harborne,
S. Chakraborty, P. Gurram, A. Preece: Sanity Checks for Saliency Metrics, AAAI 2020.
"""

from itertools import combinations

import torch
from torch import Tensor

from explainer.evaluation.sanity_checks.base import MethodRun, SanityCheck, agreement, check_setting, with_setting
from explainer.metrics import Measured


def pairwise(masks: list[Tensor]) -> Tensor:
    """Compute the `agreement` of each two runs.

    Args:
        masks: Masks (B, 1, H, W) of each of R runs.

    Returns:
        (R (R - 1) / 2, B) in [-1, 1].

    Example:
        >>> pairwise([torch.rand(2, 1, 4, 4)] * 3).shape
        torch.Size([3, 2])
    """
    return torch.stack([agreement(a, b) for a, b in combinations(masks, 2)])


class SeedStability(SanityCheck):
    """Mean pairwise rank correlation of the masks of several seeds: the method's own, and those that follow it.

    A method without a `seed` is run once more, which a deterministic one answers with 1 exactly. What another training
    of an Explainer would say is another question.

    Args:
        runs: Seeds, the method's own included.

    Raises:
        InputError: `runs` is below 2.
    """

    higher_is_better = True
    paper = "after Tomsett et al., AAAI 2020 (reliability)"
    meaning = "Rank correlation of the maps of different seeds."
    formula = r"\frac{2}{R(R-1)} \sum_{i<j} \rho(m^{(i)}, m^{(j)})"

    def __init__(self, runs: int = 3) -> None:
        super().__init__()
        check_setting(self, runs >= 2, f"runs must be at least 2, got {runs}")
        self.runs = runs

    def ask(self, run: MethodRun) -> Measured:
        """Run the method with further seeds; its own masks are the first run."""
        method = run.method
        # without a seed there is nothing to vary, yet a method that is not deterministic shows itself
        if not hasattr(method, "seed"):
            # a method may draw from what has no seed, such as a GPU's order of sums: asking again tells
            return Measured(agreement(run.mask, run.again()))
        others = [with_setting(method, "seed", method.seed + n) for n in range(1, self.runs)]
        masks = [run.mask, *map(run.again, others)]
        return Measured(pairwise(masks).mean(0))
