"""Means over the images of a validation, in all processes of a training together."""

from collections.abc import Mapping

import torch
from torch import Tensor

from explainer.training.processes import gathered, rank_and_world


class Means:
    """Weighted means, name → mean, of values that come batch by batch.

    Lightning can average over processes what a module logs. But it does so name by name, in all processes: where one
    of them had no batch with a class in it, and so logged a value less, the others would wait for it for ever, or take
    the next value for this one.

    Example:
        >>> means = Means()
        >>> means.add({"loss": torch.tensor(1.0)}, 3)
        >>> means.add({"loss": torch.tensor(5.0)}, 1)
        >>> means.take()
        {'loss': tensor(2.)}
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._weights: dict[str, int] = {}

    def clear(self) -> None:
        """Forget what was added."""
        self._sums = {}
        self._weights = {}

    def add(self, values: Mapping[str, Tensor], weight: int) -> None:
        """Add the values of a batch.

        Args:
            values: Name → scalar, the mean over the batch.
            weight: Number of images, or of whatever the value averages over.
        """
        for name, value in values.items():
            value = value.detach().float()
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value * weight
            self._weights[name] = self._weights.get(name, 0) + weight

    def take(self, device: torch.device | str = "cpu") -> dict[str, Tensor]:
        """Return the mean of each name over all processes, in each of them, and begin anew.

        Args:
            device: Device on which the processes talk to one another.

        Returns:
            Name → scalar, of the names that at least one process has.
        """
        sums = self._sums
        weights = self._weights
        self.clear()
        if rank_and_world()[1] == 1:
            # a tensor as the divisor: by a number a GPU would multiply with its reciprocal, which rounds otherwise
            return {name: total / torch.tensor(weights[name], device=total.device) for name, total in sums.items()}
        together: dict[str, tuple[float, int]] = {}
        for part in gathered({name: (float(total), weights[name]) for name, total in sums.items()}, device):
            for name, (total, weight) in part.items():
                sum_so_far, weight_so_far = together.get(name, (0.0, 0))
                together[name] = (sum_so_far + total, weight_so_far + weight)
        return {name: torch.tensor(total / weight, device=device) for name, (total, weight) in together.items()}
