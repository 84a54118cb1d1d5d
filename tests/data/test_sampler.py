"""The order of the images: a function of seed and epoch, which a resumed run continues."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from explainer.data.sampler import EpochBatches, EpochSampler, SharedBatches


class Ten:
    def __init__(self, count=10):
        self.epoch = torch.zeros(1, dtype=torch.long)
        self.count = count

    def __len__(self):
        return self.count


def test_order_is_a_function_of_seed_and_epoch():
    one, two = EpochSampler(Ten(), 2, seed=1), EpochSampler(Ten(), 2, seed=1)
    first = list(one)
    assert first == list(two)
    assert sorted(first) == list(range(10))
    one.set_epoch(1)
    assert list(one) != first
    assert list(EpochSampler(Ten(), 2, seed=2)) != first


def test_resumed_epoch_is_the_tail_of_the_whole_one():
    whole, resumed = EpochSampler(Ten(), 2), EpochSampler(Ten(), 2)
    resumed.skip_images(6)
    assert list(resumed) == list(whole)[6:]
    assert list(resumed) == list(whole), "only the first pass is cut"


@given(
    count=st.integers(1, 40), batch=st.integers(1, 9), other=st.integers(1, 9), world=st.integers(1, 3),
    others=st.integers(1, 3), batches=st.integers(1, 5),
)  # fmt: skip
def test_a_resumed_epoch_takes_every_other_image_once(count, batch, other, world, others, batches):
    def epoch(size, processes, done):
        parts = [EpochSampler(Ten(count), size, rank=r, world=processes) for r in range(processes)]
        for part in parts:
            part.skip_images(done)
        found = [list(EpochBatches(part, size)) for part in parts]
        assert len({len(part) for part in found}) == 1, "processes wait for one another"
        assert len(found[0]) == EpochBatches(parts[0], size).left(done)
        return [index for step in zip(*found, strict=True) for part in step for index in part]

    before = epoch(batch, world, 0)[: batches * batch * world]
    done = len(before)
    if 0 < done < count:  # a run is saved within an epoch only before its last batch
        after = epoch(other, others, done)
        left = count - done
        assert not set(before) & set(after)
        # images are left out only at the ragged end, and none is seen twice
        assert len(set(after)) == len(after)
        assert left - len(after) < other * others
        assert after or not left


def test_what_does_not_fill_a_batch_is_seen_only_if_there_is_nothing_else():
    sampler = EpochSampler(Ten(), 4)
    assert [len(batch) for batch in EpochBatches(sampler, 4)] == [4, 4]
    sampler.skip_images(8)
    assert [len(batch) for batch in EpochBatches(sampler, 4)] == [2]
    assert [len(batch) for batch in EpochBatches(sampler, 16)] == [10]


@given(count=st.integers(1, 40), batch=st.integers(1, 9), world=st.integers(1, 4))
def test_processes_validate_every_image_once_in_as_many_batches(count, batch, world):
    shares = []
    for rank in range(world):
        sampler = EpochSampler(Ten(count), batch, shuffle=False, rank=rank, world=world)
        batches = SharedBatches(sampler, batch)
        shares.append(list(batches))
        assert len(shares[-1]) == len(batches) == -(-count // (batch * world))
    together = [sorted(index for part in step for index in part) for step in zip(*shares, strict=True)]
    # step by step what one process with the same number of images a step validates
    (alone,) = [list(SharedBatches(EpochSampler(Ten(count), batch * world, shuffle=False), batch * world))]
    assert together == alone


def test_a_process_for_which_no_image_is_left_has_an_empty_batch():
    parts = [EpochSampler(Ten(), 4, rank=rank, world=3) for rank in range(3)]
    for part in parts:
        part.skip_images(8)
    assert [len(*EpochBatches(part, 4)) for part in parts] == [1, 1, 0]


def test_processes_share_the_images():
    parts = [list(EpochSampler(Ten(), 2, rank=r, world=3)) for r in range(3)]
    assert len({i for part in parts for i in part}) == 9
    assert [len(p) for p in parts] == [3, 3, 3]
    ordered = [list(EpochSampler(Ten(), 2, shuffle=False, rank=r, world=3)) for r in range(3)]
    assert sorted(i for part in ordered for i in part) == list(range(10))
