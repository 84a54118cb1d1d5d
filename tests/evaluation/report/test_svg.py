"""Ticks and decades of an axis."""

import math

import pytest

from explainer.evaluation.report.svg import decades, ticks


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.9, 4.7), (0.031, 0.24), (5.0, 5.0), (-1e-4, 1e-4)])
def test_ticks_span_the_range_in_few_round_steps(low, high):
    found = ticks(low, high)
    assert found[0] <= low
    assert found[-1] >= high
    assert 2 <= len(found) <= 8
    step = found[1] - found[0]
    assert step / 10 ** math.floor(math.log10(step) + 1e-9) == pytest.approx(
        round(4 * step / 10 ** math.floor(math.log10(step) + 1e-9)) / 4
    )


def test_decades_of_one_number_are_still_a_range():
    assert decades(10, 10) == [10.0, 100.0]
    assert decades(0.2, 30) == [0.1, 1.0, 10.0, 100.0]
