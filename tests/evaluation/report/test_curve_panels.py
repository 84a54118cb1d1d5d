"""The mean curves of the report."""

import numpy as np
import pytest

from explainer.evaluation.report.curve_panels import curves, mean_curves
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
