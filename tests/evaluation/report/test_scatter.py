"""Quality against cost in the report, and the labels of its points."""

import re

import pytest

from explainer.evaluation.report.columns import Column
from explainer.evaluation.report.labels import Box
from explainer.evaluation.report.scatter import label_points, scatter


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
    parts = label_points(places, dict.fromkeys(places, "name"), Box(0, 0, 400, 300))
    boxes = [
        tuple(map(float, re.search(r'x="([\d.]+)" y="([\d.]+)"', p).groups())) for p in parts if p.startswith("<text")
    ]
    for i, (x, y) in enumerate(boxes):
        assert all(abs(x - u) > 24 or abs(y - v) > 10 for u, v in boxes[:i])
