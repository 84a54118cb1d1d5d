"""The figure of the flipping curves."""

import pytest

from explainer.evaluation.report.curves import plot_flipping


def test_the_figure_has_a_line_for_each_method_with_a_curve():
    rows = [{"method": m, "curves": {"Flip": [1.0, 0.5, 0.0]}} for m in ("a", "b")] + [{"method": "c", "curves": {}}]
    (panel,) = plot_flipping(rows, ["a", "b", "c"], "Flip").axes
    assert len(panel.lines) == 2
    assert panel.lines[0].get_ydata()[-1] == pytest.approx(100)
