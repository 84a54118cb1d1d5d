"""Settings of evaluate.py that are out of range: refused where they are said, by their key, in one line."""

import math

import pytest
import torch

from explainer.attribution import FIDO, IGOS, LIME, RISE, Captum, Constant, EmpiricalMask, Gradient, Random, SmoothGrad
from explainer.errors import InputError, check_range, check_seed
from explainer.evaluation.ranges import check_names
from explainer.experiments.infills.run import InfillComparison
from explainer.experiments.retraining.layers import LayerRetraining
from explainer.experiments.retraining.roar import Retraining
from explainer.experiments.variations.run import Variations
from explainer.infill import Blur, BlurOrColour, Local, Noise, RandomColour
from explainer.infill import Constant as Colour
from tests.support.tiny_runs import evaluation

HALF = Constant(0.5)
NAN = math.nan
METHODS = (RISE, FIDO, IGOS, LIME, Random, EmpiricalMask)
REFUSED = [
    *((evaluation, {"limit": n}, "evaluation.images.limit must be at least 1") for n in (0, -1)),
    (evaluation, {"offset": -1}, "evaluation.images.offset must be at least 0"),
    (evaluation, {"gallery": -1}, "evaluation.report.gallery must be at least 0"),
    (evaluation, {"counterfactuals": -1}, "evaluation.report.counterfactuals must be at least 0"),
    *((evaluation, {"curve_steps": n}, "evaluation.curve_steps must lie in") for n in (-1, 10**6)),
    *((evaluation, {"processes": n}, "evaluation.processes must be positive and at most") for n in (0, -1, 10**6)),
    *((evaluation, {"device": d}, "there is no device") for d in ("foo", "", "meta", "cuda:7", "cpu:1")),
    *((evaluation, {"alpha": a}, "evaluation.salient.alpha must lie in") for a in (-0.1, 6.0, NAN)),
    *((evaluation, {"level": v}, "evaluation.salient.level must lie in") for v in (1.0, -0.1, NAN)),
    (evaluation, {"held_out": 0}, "evaluation.salient.held_out must be positive"),
    *((evaluation, {"methods": {n: HALF}}, "evaluation.methods") for n in ("", "  ", "a\nb", "a\x1b[31m", "x" * 300)),
    (evaluation, {"infills": {"a\tb": Blur()}}, "evaluation.report.infills: the name"),
    (evaluation, {"methods": {"\ud800": HALF}}, "evaluation.methods: the name"),
    *((InfillComparison, {"seed": s}, "experiment.init_args.seed must lie in") for s in (2**70, 2**32, -1)),
    (InfillComparison, {"examples": -1}, "experiment.init_args.examples must be at least 0"),
    (InfillComparison, {"fills": {"Original image": Blur()}}, "init_args.fills: 'Original image' is the name of a ref"),
    (InfillComparison, {"fills": {"": Blur()}}, "experiment.init_args.fills: a name is empty"),
    *((Retraining, {k: []}, f"experiment.init_args.{k} is empty") for k in ("modes", "fractions", "seeds")),
    (Retraining, {"fractions": [0.1, 0.1]}, "experiment.init_args.fractions has 0.1 twice"),
    (Retraining, {"fractions": [0.1, 0.10000001]}, "experiment.init_args.fractions has 0.1 twice"),
    (Retraining, {"fractions": [NAN]}, r"experiment.init_args.fractions must lie in \[0, 1\]"),
    (Retraining, {"seeds": [1, 0, 1]}, "experiment.init_args.seeds has 1 twice"),
    *((Retraining, {"seeds": [s]}, "experiment.init_args.seeds must lie in") for s in (-1, 2**40)),
    (Retraining, {"modes": ["keep", "keep"]}, "experiment.init_args.modes has keep twice"),
    *((Retraining, {"workers": n}, "experiment.init_args.workers must be positive") for n in (0, -1, 10**6)),
    (Retraining, {"methods": {"a b": HALF, "a_b": HALF}}, "'a b' and 'a_b' would have the same files"),
    (Retraining, {"methods": {"A": HALF, "a": HALF}}, "'A' and 'a' would have the same files"),
    (Retraining, {"methods": {"": HALF}}, "experiment.init_args.methods: a name is empty"),
    *((LayerRetraining, {"workers": n}, "experiment.init_args.workers must be positive") for n in (0, -1)),
    (LayerRetraining, {"seeds": []}, "experiment.init_args.seeds is empty"),
    (LayerRetraining, {"scales": [1, 1]}, "experiment.init_args.scales has 1 twice"),
    (LayerRetraining, {"scales": [0]}, "experiment.init_args.scales must be at least 1"),
    (LayerRetraining, {"statistics": ["mean", "mean"]}, "experiment.init_args.statistics has mean twice"),
    (LayerRetraining, {"keep": NAN}, "experiment.init_args.keep must lie in"),
    (Variations, {"sources": {"a b": HALF, "a!b": HALF}}, "'a b' and 'a!b' would have the same files"),
    (Variations, {"alphas": [0.5, 0.5]}, "experiment.init_args.alphas has 0.5 twice"),
    (Variations, {"alphas": []}, "experiment.init_args.alphas is empty"),
    (Variations, {"threshold": NAN}, "experiment.init_args.threshold"),
    *((Blur, {"sigma": s}, r"infill Blur: sigma must lie in \(0, 1000\]") for s in (-1, 0, NAN, math.inf, 1e6)),
    (BlurOrColour, {"sigma": -1}, "infill BlurOrColour: sigma"),
    (BlurOrColour, {"noise": -1}, "infill RandomColour: noise must be at least 0"),
    *((RandomColour, {"colour": c}, "infill RandomColour: colour must lie in") for c in (-0.1, 2, NAN)),
    *((Noise, {"noise": n}, "infill Noise: noise must be at least 0") for n in (-0.1, NAN, math.inf)),
    *((Colour, {"colour": c}, "infill Constant: colour") for c in ((), (0.5, 0.5, 128), (NAN, 0, 0))),
    *((Local, {"window": w}, "infill Local: window") for w in (0, -1, 4)),
    *((m, {"seed": s}, "seed must lie in") for m in METHODS for s in (-1, 2**40)),
    (SmoothGrad, {"method": Gradient(), "seed": -1}, "attribution SmoothGrad: seed must lie in"),
    (Captum, {"method": "DeepLift", "seed": 2**40}, "attribution Captum: seed must lie in"),
    (Captum, {"method": "no.such.module.Method"}, "cannot import 'no.such.module'"),
    (RISE, {"masks": NAN}, "attribution RISE: masks must be positive"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "given", "words"), REFUSED, ids=lambda value: getattr(value, "__name__", ascii(value)[:40])
)
def test_refused_where_it_is_said(kind, given, words):
    with pytest.raises(InputError, match=words) as refused:
        kind(**given)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("name", ["[/red]", "Gradient, SmoothGrad²", "a|b <i>", "熊猫", "$x$", "=1+1", "RISE (4,000)"])
def test_names_that_are_only_unusual_are_taken(name):
    check_names("evaluation.methods", [name])
    assert evaluation(methods={name: HALF}).methods == {name: HALF}


def test_what_was_right_is_taken_as_before():
    settings = evaluation(limit=10**9, offset=10**6, gallery=0, curve_steps=0, processes=2, device="auto")
    assert (settings.images.limit, settings.images.offset) == (10**9, 10**6)
    assert Retraining().seeds == [0, 1]
    assert Retraining(fractions=[0.1, 0.3]).fractions == [0.1, 0.3]
    assert LayerRetraining(statistics=["mean"]).seeds == [0]
    assert Variations(alphas=[1.0, 0.5]).alphas == [1.0, 0.5]


def test_ranges():
    check_range("a", 0, 0, 1)
    check_range("a", 1, 0, 1, above=True)
    for value, options in ((2, {}), (0, {"above": True}), (NAN, {}), (math.inf, {})):
        with pytest.raises(InputError, match="a must"):
            check_range("a", value, 0, 1, **options)
    check_seed("a", 2**32 - 1)
    assert torch.Generator().manual_seed(2**32 - 1)
