"""Splits by labels where none are given."""

import random
import time
from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from explainer.data.annotations import divide
from explainer.data.division import partition, stratify


def sizes(parts):
    return [parts.count(part) for part in range(3)]


def test_classes_with_enough_images_are_divided_as_ever():
    labels = [(f"c{i}",) for i, count in enumerate((8, 9, 13, 100)) for _ in range(count)]
    want = {}
    for name in sorted(set(labels)):
        places = [place for place, other in enumerate(labels) if other == name]
        train, rest = divide(places, 0.8, 42)
        val, test = divide(rest, 0.5, 42)
        want |= dict.fromkeys(train, 0) | dict.fromkeys(val, 1) | dict.fromkeys(test, 2)
    assert partition(labels, 42) == [want[place] for place in range(len(labels))]


def test_rare_classes_do_not_move_frequent_ones():
    frequent = [("a",)] * 50 + [("b",)] * 30
    assert partition(frequent + [("c",)] * 5, 1)[:80] == partition(frequent, 1)


@given(
    labels=st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=4, unique=True).map(tuple), min_size=3, max_size=80),
    seed=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_no_split_is_empty_and_each_has_about_its_share(labels, seed):
    labels = [tuple(sorted(names)) for names in labels]
    parts = partition(labels, seed)
    assert parts == partition(labels, seed)
    assert len(parts) == len(labels)
    assert min(sizes(parts)) >= 1
    if len(labels) >= 40:
        assert 0.6 <= sizes(parts)[0] / len(labels) <= 0.9


def test_labels_that_occur_once_each():
    assert sizes(partition([(f"c{i}",) for i in range(60)], 42)) == [48, 6, 6]
    assert sizes(partition([("a",), ("b",), ("c",)], 42)) == [1, 1, 1]


def test_rare_combinations_keep_the_share_of_every_label():
    labels = [tuple(sorted((f"c{k % 7}", f"d{k % 5}", f"e{k % 3}"))) for k in range(210)]
    parts = partition(labels, 42)
    for name in {name for names in labels for name in names}:
        share = Counter(part for part, names in zip(parts, labels) if name in names)
        whole = sum(share.values())
        for part, fraction in enumerate((0.8, 0.1, 0.1)):
            assert abs(share[part] - fraction * whole) <= max(4, 0.1 * whole)


def test_stratification_is_better_than_chance():
    draw = random.Random(0)
    labels = [tuple(draw.sample([f"c{i}" for i in range(20)], 3)) for _ in range(600)]

    def error(parts):
        counts = np.zeros((20, 3))
        for part, names in zip(parts, labels):
            for name in names:
                counts[int(name[1:]), part] += 1
        return np.abs(counts / counts.sum(1, keepdims=True) - (0.8, 0.1, 0.1)).mean()

    chance = [0] * 480 + [1] * 60 + [2] * 60
    draw.shuffle(chance)
    assert error(stratify(labels, (0.8, 0.1, 0.1), 42)) < 0.4 * error(chance)


def test_large_sets_are_divided_in_seconds():
    draw = random.Random(0)
    names = [f"c{i}" for i in range(80)]
    many = [tuple(sorted(draw.sample(names, 3))) for _ in range(20_000)]
    single = [(f"c{i % 1000}",) for i in range(10_000)]
    for labels in (many, single):
        start = time.process_time()
        parts = partition(labels, 42)
        assert time.process_time() - start < 5
        assert np.allclose(np.array(sizes(parts)) / len(labels), (0.8, 0.1, 0.1), atol=0.01)
