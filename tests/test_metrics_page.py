"""docs/reference/metrics.md says of every metric what the code says."""

import inspect
import re

import pytest

from explainer.evaluation.results.columns import FIXED
from explainer.metrics import ImageMetric, MaskingMatrix
from explainer.metrics.base import MeanOverImages
from tests.support.small_judged import subclasses
from tests.support.tiny_runs import ROOT

FOLDER = ROOT / "docs" / "reference"
PAGE = (FOLDER / "metrics.md").read_text()
SECTIONS = dict(re.findall(r"^#{2,3} (.*?)\n(.*?)(?=^#{2,3} |\Z)", PAGE, re.DOTALL | re.MULTILINE))
NAMED = sorted({c for c in subclasses(ImageMetric) if not inspect.isabstract(c)}, key=lambda c: c.__name__)


def section(name):
    (text,) = (text for title, text in SECTIONS.items() if f"`{name}`" in title)
    return re.sub(r"\s+", " ", text)


def test_every_column_and_every_metric_has_a_section():
    assert len(NAMED) >= 11
    for column in FIXED:
        assert section(column)
    for metric in {c for c in subclasses(MeanOverImages) if not inspect.isabstract(c)} | {MaskingMatrix}:
        assert section(metric.__name__)


@pytest.mark.parametrize("metric", NAMED, ids=lambda c: c.__name__)
def test_direction_range_paper_and_percent_are_those_of_the_class(metric):
    text = section(metric.__name__)
    assert f"{'Higher' if metric.higher_is_better else 'Lower'} is better. Range: {metric.range}" in text
    assert ("in percent" in text) == metric.percent
    for part in metric.paper.split(";"):
        assert part.strip() in text


@pytest.mark.parametrize("column", FIXED)
def test_directions_of_the_columns(column):
    up = FIXED[column]["higher_is_better"]
    said = section(column).lower()
    if column in ("insertion", "deletion"):
        assert f"{'higher' if up else 'lower'} is better for {column}" in said
    else:
        assert f"{'higher' if up else 'lower'} is better." in said


def test_every_link_leads_somewhere():
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (FOLDER / link).is_file(), link
