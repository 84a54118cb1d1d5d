"""An exponential moving average of a network: what a generator is judged and used by."""

import copy
from typing import Any

import torch
from torch import Tensor, nn


def decay_at(updates: int, decay: float) -> float:
    r"""How much of the average stays, at an update: little at first, so that the start is soon forgotten.

    .. math:: \min\left(d, \frac{1 + n}{10 + n}\right)

    Args:
        updates: n, those made before.
        decay: d, in [0, 1].

    Example:
        >>> decay_at(0, 0.999), decay_at(10**6, 0.999)
        (0.1, 0.999)
    """
    return min(decay, (1 + updates) / (10 + updates))


class Average(nn.Module):
    """A copy of a network, whose weights and running statistics follow the network's; frozen, in evaluation mode.

    The names of its tensors are those of the network behind `prefix`, so that a loader finds them.

    Args:
        network: What is followed.
        decay: d of `decay_at`.

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
        """Always in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take a step towards the network; whole numbers, such as counts of batches, are copied."""
        share = 1 - decay_at(int(self.updates), self.decay)
        own, new = (list(n.state_dict().values()) for n in (self.network, network))
        floating = [(a, b.detach()) for a, b in zip(own, new, strict=True) if a.is_floating_point()]
        torch._foreach_lerp_([a for a, _ in floating], [b for _, b in floating], share)
        for a, b in zip(own, new, strict=True):
            if not a.is_floating_point():
                a.copy_(b)
        self.updates += 1
