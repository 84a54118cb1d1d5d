"""An order of the training images that is a function of (seed, epoch), so that a stopped run goes on where it was."""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, Sampler


class _Epochs(Protocol):
    epoch: Tensor

    def __len__(self) -> int: ...


class EpochSampler(Sampler[int]):
    """Indices in an order fixed by seed and epoch; a resumed epoch starts behind the images already done.

    The order is that of all processes together, and what is done is counted in images. So a run goes on with another
    batch size or number of processes, and leaves out no image and takes none twice, but for the ragged end.

    Args:
        dataset: Data set whose `epoch` tensor is set together with the sampler's.
        batch_size: Images a batch, on each process.
        seed: Seed of the permutation.
        shuffle: Whether the order is random; False gives 0, 1, 2, …
        rank: Number of this process among `world`; None asks torch.distributed.
        world: Number of processes; each gets every `world`-th index, the last ones cut so that all get as many.

    Example:
        >>> class Ten:
        ...     epoch = torch.zeros(1, dtype=torch.long)
        ...     __len__ = lambda self: 10
        >>> sorted(EpochSampler(Ten(), 2)) == list(range(10))
        True
    """

    def __init__(
        self,
        dataset: _Epochs,
        batch_size: int,
        seed: int = 42,
        *,
        shuffle: bool = True,
        rank: int | None = None,
        world: int | None = None,
    ) -> None:
        self.rank = 0
        self.world = 1
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            self.rank = torch.distributed.get_rank()
            self.world = torch.distributed.get_world_size()
        if rank is not None:
            self.rank = rank
        if world is not None:
            self.world = world
        self.dataset = dataset
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self._skip = 0

    def set_epoch(self, epoch: int) -> None:
        """Take over the number of an epoch; Lightning calls this before each one."""
        self.dataset.epoch.fill_(epoch)

    def skip_images(self, count: int) -> None:
        """Leave the first images out of the next pass: those that a resumed epoch has done, in all processes."""
        self._skip = count

    def __len__(self) -> int:
        return self.length(0)

    def length(self, done: int) -> int:
        """Count the indices that are left of an epoch.

        Args:
            done: Number of images that are done, in all processes.
        """
        rest = max(0, len(self.dataset) - done)
        if not self.shuffle:
            return len(range(self.rank, rest, self.world))
        # of a rest smaller than the number of processes each takes one, some the same: all need as many
        fewest = int(done > 0 and rest > 0)
        return max(rest // self.world, fewest)

    def __iter__(self) -> Iterator[int]:
        count = len(self.dataset)
        if self.shuffle:
            # a prime as the step: neighbouring seeds do not share the orders of their epochs
            seed = self.seed + 1_000_003 * int(self.dataset.epoch)
            generator = torch.Generator().manual_seed(seed)
            order = torch.randperm(count, generator=generator).tolist()
        else:
            order = list(range(count))
        done = min(self._skip, count)
        self._skip = 0  # only the first pass after a resume is cut
        rest = order[done:]
        # a process for which nothing is left takes the first image again: all need as many
        share = rest[self.rank :: self.world] or rest[:1]
        return iter(share[: self.length(done)])


class EpochBatches(BatchSampler):
    """Whole batches of an epoch; the images that are left over at its end are not seen in it.

    Only where they are all that is left, of a resumed epoch or of a small data set, they make a smaller batch: an
    epoch cannot end without one.

    Args:
        sampler: Order of the images.
        batch_size: Images a batch, on each process.
        drop_last: Flag of the base class, always True; Lightning, which builds samplers again, passes it.
    """

    def __init__(self, sampler: EpochSampler, batch_size: int, drop_last: bool = True) -> None:
        super().__init__(sampler, batch_size, drop_last)
        self.order = sampler
        self.images_a_step = batch_size * sampler.world

    def __len__(self) -> int:
        return self.left(0)

    def left(self, done: int) -> int:
        """Count the batches that are left of an epoch of which some images are done, in all processes."""
        images = self.order.length(done)
        return max(images // self.batch_size, min(1, images))

    def __iter__(self) -> Iterator[list[int]]:
        indices = list(self.sampler)
        count = len(indices)
        whole = count - count % self.batch_size or count
        for start in range(0, whole, self.batch_size):
            yield indices[start : start + self.batch_size]
