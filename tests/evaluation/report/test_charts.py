"""The report's charts: mean curves, the scatter and its labels."""

import re

import numpy as np
import pytest

from explainer.evaluation.report.charts import curves, label_points, mean_curves, scatter
from explainer.evaluation.report.columns import Column
from tests.support.oracles import mean_curve
from tests.support.small_report import METHODS, results, rows


def test_mean_curves_against_an_oracle():
    found = mean_curves(rows(), METHODS, "Flip")
    for method in METHODS:
        np.testing.assert_allclose(found[method], mean_curve(rows(), method, "Flip"), atol=1e-12)
    (one,) = curves(results(), rows())
    assert [panel.name for panel in one.panels] == ["Ground truth", *METHODS]
    assert curves(results(), [row | {"curves": {}} for row in rows()]) == []


def test_curves_of_other_lengths_are_left_out():
    some = [{"method": "a", "curves": {"c": [0.0, v]}} for v in (0.2, 0.4)] + [
        {"method": "a", "curves": {"c": [9.0] * 5}}
    ]
    assert mean_curves(some, ["a"], "c") == {"a": [0.0, pytest.approx(0.3)]}


def test_points_of_the_scatter_stand_where_the_numbers_say():
    entries = {
        "a": {"x": 0.0, "cost": {"ms": 1.0}},
        "b": {"x": 1.0, "cost": {"ms": 10.0}},
        "c": {"x": 0.5, "cost": {"ms": 100.0}},
    }
    text = scatter(Column(("x",), "X", True), entries, small=False)
    points = [tuple(map(float, p)) for p in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', text)]
    (ax, ay), (bx, by), (cx, cy) = points
    assert bx - ax == pytest.approx(cx - bx, abs=0.02)  # decades are equally wide
    assert ay > cy > by  # up is better
    assert ay - cy == pytest.approx(cy - by, abs=0.02)


def test_labels_of_points_do_not_cover_each_other():
    places = {str(n): (100 + 12 * (n % 4), 100 + 9 * (n // 4)) for n in range(8)}
    parts = label_points(places, dict.fromkeys(places, "name"), (0, 400, 0, 300))
    boxes = [
        tuple(map(float, re.search(r'x="([\d.]+)" y="([\d.]+)"', p).groups())) for p in parts if p.startswith("<text")
    ]
    for i, (x, y) in enumerate(boxes):
        assert all(abs(x - u) > 24 or abs(y - v) > 10 for u, v in boxes[:i])
