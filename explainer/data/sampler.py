"""An order of the training images that is a function of (seed, epoch), so that a stopped run goes on where it was."""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import Sampler


class _Epochs(Protocol):
    epoch: Tensor

    def __len__(self) -> int: ...


class EpochSampler(Sampler[int]):
    """Indices in an order fixed by seed and epoch; a resumed epoch starts behind the batches already done.

    Args:
        dataset: Its `epoch` tensor is set together with the sampler's.
        batch_size: Images a batch, on each process.
        seed: Of the permutation.
        shuffle: False gives 0, 1, 2, …
        rank: This process among `world`; None asks torch.distributed.
        world: Number of processes; each gets every `world`-th index, the last ones cut so that all get as many.

    Example:
        >>> class Ten:
        ...     epoch = torch.zeros(1, dtype=torch.long)
        ...     __len__ = lambda self: 10
        >>> sorted(EpochSampler(Ten(), 2)) == list(range(10))
        True
    """

    def __init__(
        self, dataset: _Epochs, batch_size: int, seed: int = 42, *, shuffle: bool = True,
        rank: int | None = None, world: int | None = None,
    ) -> None:  # fmt: skip
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        self.rank = rank if rank is not None else (torch.distributed.get_rank() if distributed else 0)
        self.world = world if world is not None else (torch.distributed.get_world_size() if distributed else 1)
        self.dataset, self.batch_size, self.seed, self.shuffle = dataset, batch_size, seed, shuffle
        self._skip = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.dataset.epoch.fill_(epoch)

    def skip_batches(self, count: int) -> None:
        """Leave out the first batches of the next pass: those that a resumed epoch has done already."""
        self._skip = count * self.batch_size

    def __len__(self) -> int:
        return len(self.dataset) // self.world if self.shuffle else len(range(self.rank, len(self.dataset), self.world))

    def __iter__(self) -> Iterator[int]:
        count = len(self.dataset)
        if self.shuffle:
            generator = torch.Generator().manual_seed(self.seed + 1_000_003 * int(self.dataset.epoch))
            order = torch.randperm(count, generator=generator).tolist()
        else:
            order = list(range(count))
        skip, self._skip = self._skip % max(1, len(self)), 0
        return iter(order[self.rank :: self.world][: len(self)][skip:])
