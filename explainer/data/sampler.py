"""Which process sees which images, and when: an order that is a function of (seed, epoch), so that a run can go on."""

import math
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
    batch size or number of processes, and takes no image twice and leaves out none, but for the ragged end. In order,
    for validation and test, every image is seen once: the processes share them without padding.

    Args:
        dataset: Data set whose `epoch` tensor is set together with the sampler's.
        batch_size: Images a batch, on each process.
        seed: Seed of the permutation.
        shuffle: Whether the order is random; False gives 0, 1, 2, …
        rank: Number of this process among `world`; None asks torch.distributed.
        world: Number of processes; each gets every `world`-th index, when shuffled cut so that all get as many.

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

    @property
    def skipped(self) -> int:
        """Number of images, in all processes, that the next pass leaves out."""
        return min(self._skip, len(self.dataset))

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
        # of a rest smaller than the number of processes, one image each, and for the last processes none
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
        done = self.skipped
        self._skip = 0  # only the first pass after a resume is cut
        share = order[done:][self.rank :: self.world]
        return iter(share[: self.length(done)])


class EpochBatches(BatchSampler):
    """Whole batches of an epoch; the images that are left over at its end are not seen in it.

    Only where they are all that is left, of a resumed epoch or of a small data set, they make a smaller batch: an
    epoch cannot end without one. All processes have as many batches; where fewer images are left than there are
    processes, the last ones have an empty batch.

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
        count = self.left(self.order.skipped)
        yield from chunks(list(self.order), self.batch_size, count)


class SharedBatches(BatchSampler):
    """Batches of all images in order, as many for each process: the last batch of some may be smaller, or empty.

    Processes that compute together must take as many steps. Lightning's own way to that is to show images twice, which
    would count them twice in the scores.

    Args:
        sampler: Images of this process, in order.
        batch_size: Images a batch, on each process.
        drop_last: Flag of the base class, always False.
    """

    def __init__(self, sampler: EpochSampler, batch_size: int, drop_last: bool = False) -> None:
        super().__init__(sampler, batch_size, drop_last)
        self.order = sampler

    def __len__(self) -> int:
        # the first process has the largest share
        most = math.ceil(len(self.order.dataset) / self.order.world)
        return math.ceil(most / self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        yield from chunks(list(self.order), self.batch_size, len(self))


def chunks(indices: list[int], size: int, count: int) -> Iterator[list[int]]:
    """Cut indices into a number of batches, in order.

    Args:
        indices: Indices of images. What does not fit into the batches is left out.
        size: Indices a batch.
        count: Number of batches; the last ones may be smaller, or empty.

    Example:
        >>> list(chunks([3, 4, 5], 2, 3))
        [[3, 4], [5], []]
    """
    for number in range(count):
        yield indices[number * size : (number + 1) * size]
