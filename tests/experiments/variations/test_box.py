"""Boxes around saliency, smaller boxes, and what lies around them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explainer.errors import InputError
from explainer.experiments.variations import saliency_boxes, shrink
from explainer.experiments.variations.box import surroundings
from tests.support import oracles

BOXES = torch.tensor([[3, 2, 9, 7], [0, 5, 4, 12]])


@pytest.mark.parametrize("of", ["fraction", "quantile"])
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.9, 1.0])
def test_boxes_are_those_of_the_definition(of, threshold):
    saliency = torch.randn(6, 1, 9, 11, dtype=torch.float64) ** 3
    got = saliency_boxes(saliency, threshold, of)
    for box, values in zip(got.tolist(), saliency[:, 0].numpy(), strict=True):
        assert box == oracles.saliency_box(values, threshold, of == "quantile")


@pytest.mark.parametrize("of", ["fraction", "quantile"])
def test_a_map_without_a_box(of):
    saliency = torch.rand(4, 1, 6, 6)
    saliency[0], saliency[1, 0, 2, 3], saliency[2, 0, 0, 0] = 0.7, torch.nan, torch.inf
    boxes = saliency_boxes(saliency, 0.5, of)
    assert boxes[:3].tolist() == [[0, 0, 0, 0]] * 3
    assert (boxes[3, 2:] > boxes[3, :2]).all()
    assert shrink(boxes, 0.5)[:3].tolist() == [[0, 0, 0, 0]] * 3


def test_what_is_no_map_or_no_threshold_is_refused():
    with pytest.raises(InputError, match=r"shape \(2, 6, 6\)"):
        saliency_boxes(torch.rand(2, 6, 6))
    for threshold in (0.0, 1.5):
        with pytest.raises(InputError, match=r"in \(0, 1\]"):
            saliency_boxes(torch.rand(1, 1, 6, 6), threshold)
    for alpha in (0.0, 1.1):
        with pytest.raises(InputError, match="alpha"):
            shrink(BOXES, alpha)


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(0, 30)] * 2), st.tuples(*[st.integers(1, 30)] * 2), st.floats(0.01, 1), st.floats(0, 3))
def test_smaller_boxes_lie_in_the_middle_and_surroundings_around(start, sides, alpha, margin):
    box = torch.tensor([[*start, start[0] + sides[0], start[1] + sides[1]]])
    x0, y0, x1, y1 = shrink(box, alpha)[0].tolist()
    for low, high, first, side in ((x0, x1, start[0], sides[0]), (y0, y1, start[1], sides[1])):
        assert high - low == max(1, round(alpha * side))
        assert abs((low + high) / 2 - (first + side / 2)) <= 0.5
        assert first <= low < high <= first + side
    assert torch.equal(shrink(box, 1.0), box)
    a, b, c, d = surroundings(box, (64, 70), margin)[0].tolist()
    assert 0 <= a <= start[0] < start[0] + sides[0] <= c <= 70
    assert 0 <= b <= start[1] < start[1] + sides[1] <= d <= 64
    assert c - a == d - b or max(c - a, d - b) >= 64
    assert (c - a) * (d - b) > sides[0] * sides[1]
