"""A search that cannot be one is refused before anything is trained."""

import pytest

from explainer.errors import InputError
from explainer.training.searching.settings import Range, Search


@pytest.mark.parametrize(
    ("limits", "words"),
    [((2.0, 1.0), "low must be below high"), ((1.0, 1.0), "low must be below high"), ((0.0, 1.0), "set log: false")],
)
def test_a_range_from_which_nothing_can_be_drawn(limits, words):
    with pytest.raises(InputError, match=words):
        Range(*limits)


def test_a_range_without_logarithm_may_hold_zero():
    assert Range(0.0, 1.0, log=False).low == 0


@pytest.mark.parametrize(
    "wrong", [{"trials": 0}, {"random_trials": -1}, {"warm_up": 0}, {"epochs": 0}, {"prune_after": 0}, {"seed": -1}]
)
def test_numbers_out_of_range(wrong):
    with pytest.raises(InputError, match=rf"search\.{next(iter(wrong))}"):
        Search(**wrong)


def test_an_empty_space():
    with pytest.raises(InputError, match=r"search\.space must name a setting"):
        Search(space={})
