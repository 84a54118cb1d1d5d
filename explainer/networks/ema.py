"""An exponential moving average of a network: what a generator is judged and used by."""

import copy
from typing import Any

import torch
from torch import Tensor, nn


def decay_at(updates: int, decay: float) -> float:
    r"""Return the share of the average that stays at an update: little at first, so that the start is soon forgotten.

    .. math:: \min\left(d, \frac{1 + n}{10 + n}\right)

    Args:
        updates: Number n of updates made before.
        decay: Largest share d, in [0, 1].

    Example:
        >>> decay_at(0, 0.999), decay_at(10**6, 0.999)
        (0.1, 0.999)
    """
    return min(decay, (1 + updates) / (10 + updates))


class Average(nn.Module):
    """A copy of a network, whose weights and running statistics follow the network's; frozen, in evaluation mode.

    The names of its tensors are those of the network behind `prefix`, so that a loader finds them.

    Args:
        network: Network that is followed.
        decay: Largest share d of the average that stays at an update, in [0, 1].

    Example:
        >>> network = nn.Linear(2, 2)
        >>> average = Average(network, 0.999)
        >>> torch.equal(average.network.weight, network.weight)
        True
    """

    network: Any
    updates: Tensor

    def __init__(self, network: nn.Module, decay: float = 0.999) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay
        self.register_buffer("updates", torch.tensor(0))
        self.train(False)

    def train(self, mode: bool = True) -> "Average":
        """Stay in evaluation mode, whatever the parent does."""
        return super().train(False)

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take a step towards a network; whole numbers, such as counts of batches, are copied."""
        share = 1 - decay_at(int(self.updates), self.decay)
        pairs = list(zip(self.network.state_dict().values(), network.state_dict().values(), strict=True))
        floating = [(average, new.detach()) for average, new in pairs if average.is_floating_point()]
        # one call for all tensors: on a GPU a call for each costs more than the arithmetic
        torch._foreach_lerp_([average for average, _ in floating], [new for _, new in floating], share)
        for average, new in pairs:
            if not average.is_floating_point():
                average.copy_(new)
        self.updates += 1
