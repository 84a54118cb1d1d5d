"""What holds for every metric that a config can name, and for those that the runner uses itself."""

import inspect
import json
import math

import pytest
import torch
from jsonargparse import ArgumentParser

from explainer import metrics
from explainer.evaluation.settings import Evaluation
from explainer.functional.parts import Parts
from explainer.infill import Blur
from explainer.metrics import (
    IDSDS,
    ROAD,
    AverageDrop,
    AverageIncrease,
    BoxIoU,
    Complexity,
    Deletion,
    EnergyPointing,
    FFidelity,
    FFidelityMinus,
    FFidelityPlus,
    Flipping,
    ImageMetric,
    Infidelity,
    Insertion,
    Localisation,
    MaskMAE,
    PartDeletion,
    PointingGame,
    ProportionOutside,
    SaliencyCrop,
    SaliencyMetric,
    SoftAccuracy,
    SoftIoU,
    Sparseness,
    truth_boxes,
)
from explainer.metrics.base import MeanOverImages
from tests.support.small_judged import judged, pretend_two_processes, subclasses

MADE = [
    AverageDrop(), AverageIncrease(), BoxIoU(), Complexity(), Deletion(5), Deletion(4, Blur(1.0), "log_odds"),
    EnergyPointing(), EnergyPointing("segmentation"), Flipping(5, least=1e-3), Insertion(5),
    Insertion(4, Blur(1.0), batch_size=3),
    Localisation(), PartDeletion(), PartDeletion("mean", background=False), PointingGame(0), PointingGame(20, 100),
    PointingGame(truth="segmentation"),
    ProportionOutside(), ProportionOutside("segmentation", binary=False), SaliencyCrop(), Sparseness(),
    MaskMAE(), MaskMAE("object"), SaliencyMetric(), SoftAccuracy(), SoftAccuracy("ignore", "all"), SoftIoU(),
    FFidelity(samples=2), FFidelityMinus(samples=2), FFidelityPlus(samples=2), IDSDS(), IDSDS(2, 3), Infidelity(4),
    Infidelity(4, score="log_odds"), ROAD(), ROAD((0.5,), Blur(1.0)),
]  # fmt: skip
OF_TRUTH = (BoxIoU, EnergyPointing, Localisation, MaskMAE, PointingGame, ProportionOutside, SoftAccuracy, SoftIoU)
OF_VALUES = (AverageDrop, AverageIncrease, Infidelity, MaskMAE, SaliencyMetric, SoftAccuracy, SoftIoU)
OF_ONE_LABEL = (AverageDrop, AverageIncrease, Deletion, FFidelity, FFidelityMinus, FFidelityPlus, Flipping, IDSDS,
                Infidelity, Insertion, PartDeletion, ROAD, SaliencyCrop)  # fmt: skip
SIDES, BOX = (10, 12), (2, 1, 8, 9)
SHARE = (8 - 2) * (9 - 1) / 120
PLAIN, BROKEN, CONSTANT, EMPTY, FULL, UNKNOWN, SEVERAL = range(7)


def named(metric):
    given = ", ".join(f"{k}={getattr(metric, k)}" for k in inspect.signature(type(metric).__init__).parameters
                      if isinstance(getattr(metric, k, None), (str, bool)))  # fmt: skip
    return f"{type(metric).__name__}({given})"


def scene():
    """A mask of each kind on a picture of its own."""
    count = 7
    mask = torch.rand(count, 1, *SIDES, dtype=torch.float64)
    mask[BROKEN, 0, 3, 4], mask[CONSTANT], mask[EMPTY], mask[FULL] = torch.nan, 0.5, 0.0, 1.0
    segmentation = torch.zeros(count, 3, *SIDES, dtype=torch.uint8)
    x0, y0, x1, y1 = BOX
    segmentation[:, 0, y0:y1, x0:x1] = 1
    segmentation[UNKNOWN] = 255
    labels = torch.eye(3)[:1].repeat(count, 1)
    labels[SEVERAL] = 1
    return judged(mask, labels=labels, segmentation=segmentation, boxes=truth_boxes(segmentation, labels),
                  fill=lambda images, masks: 0.1 * images, parts=[quarters()] * count)  # fmt: skip


def quarters():
    """Three stripes of an image and what is left, each with pictures of its own."""
    regions = torch.zeros(4, *SIDES, dtype=torch.bool)
    for number, width in enumerate((1, 3, 2, 6)):
        start = (0, 1, 4, 6)[number]
        regions[number, :, start : start + width] = True
    return Parts(regions, torch.rand(4, 3, *SIDES, dtype=torch.float64), ("object", "object", "shortcut", "background"))


def test_every_metric_is_tried():
    exported = {getattr(metrics, name) for name in metrics.__all__}
    concrete = {c for c in subclasses(ImageMetric) if not inspect.isabstract(c)}
    assert concrete == {type(m) for m in MADE}
    assert concrete <= exported


def test_what_a_metric_says_of_itself():
    for kind in subclasses(MeanOverImages):
        if inspect.isabstract(kind):
            continue
        assert isinstance(kind.higher_is_better, bool), kind
        assert isinstance(kind.percent, bool), kind
        for text in (kind.paper, kind.formula, kind.range):
            assert text, kind
            assert "\n" not in text, kind
        assert kind.meaning.endswith(".") or not issubclass(kind, ImageMetric), kind
        assert any(str(year) in kind.paper for year in range(1900, 2030)), kind


@pytest.mark.parametrize("metric", MADE, ids=named)
def test_values_are_defined_where_they_should_be_and_in_range(metric):
    value = metric.measure(scene()).value
    assert value.shape == (7,)
    undefined = {UNKNOWN} if isinstance(metric, OF_TRUTH) else set()
    undefined |= {SEVERAL} if isinstance(metric, OF_ONE_LABEL) else set()
    assert set(value.isnan().nonzero().flatten().tolist()) == undefined
    known = value[~value.isnan()]
    assert known.isfinite().all()
    if metric.range.startswith("[0, 1]") or metric.percent:
        low, high = (0, 1) if getattr(metric, "score", "probability") == "probability" else (0, 20)
        assert ((known >= low) & (known <= high)).all()


@pytest.mark.parametrize("metric", MADE, ids=named)
def test_a_mask_with_nan_is_the_constant_0(metric):
    given_ones = scene()
    mask = given_ones.mask.clone()
    mask[BROKEN] = 0
    found, want = metric.measure(given_ones), metric.measure(given_ones._replace(mask=mask))
    torch.testing.assert_close(found.value, want.value, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("metric", MADE, ids=named)
def test_constant_empty_and_full_masks(metric):
    """On one picture they say the same, but for metrics of boxes: around everything there is one."""
    given_ones = scene().of(torch.tensor([CONSTANT] * 3))
    mask = given_ones.mask.clone()
    mask[1], mask[2] = 0, 1
    constant, empty, full = metric.measure(given_ones._replace(mask=mask)).value.tolist()
    if isinstance(metric, OF_VALUES):  # a mask of a half is no mask without order to them
        wanted = {SoftAccuracy: (0.5, 1 - SHARE, SHARE), MaskMAE: (0.5, SHARE, 1 - SHARE)}
        wanted[SoftIoU] = (0.5 * SHARE / (SHARE + 0.5 * (1 - SHARE)), 0.0, SHARE)
        if type(metric) in wanted:
            assert (constant, empty, full) == pytest.approx(wanted[type(metric)])
        return
    if isinstance(metric, PartDeletion):  # a sum over a part grows with the part, unless there is nothing to add up
        assert full == pytest.approx(constant)
        assert empty == 0
        assert (constant == 0) == (metric.reduction == "mean")
        return
    assert constant == pytest.approx(empty)
    if isinstance(metric, BoxIoU):
        assert (empty, full) == (0, pytest.approx(SHARE))
    elif isinstance(metric, Localisation):
        assert (empty, full) == (1, 1)  # the object fills less than half
    else:
        assert full == pytest.approx(empty)
    wanted = {Sparseness: 0, Complexity: math.log(120), ProportionOutside: 1 - SHARE, EnergyPointing: SHARE}
    if type(metric) in wanted:
        assert full == pytest.approx(wanted[type(metric)])
    if isinstance(metric, PointingGame) and not metric.tolerance:
        assert full == pytest.approx(SHARE)


@pytest.mark.parametrize("metric", MADE, ids=named)
def test_a_batch_is_its_images_one_by_one(metric):
    given_ones = scene()
    whole = metric.measure(given_ones)
    for n in range(7):
        alone = metric.measure(given_ones.of(torch.tensor([n])))
        torch.testing.assert_close(alone.value[0], whole.value[n], equal_nan=True)
        if whole.curve is not None and alone.curve is not None:
            torch.testing.assert_close(alone.curve[0], whole.curve[n], equal_nan=True)
    assert metric.measure(given_ones.of(torch.zeros(0, dtype=torch.long))).value.shape == (0,)


@pytest.mark.parametrize("metric", MADE, ids=named)
def test_halves_and_processes_add_up(metric):
    given_ones = scene()
    whole, first, second, other = (metric.clone() for _ in range(4))
    for part in (whole, first, second, other):
        part.reset()
    whole.update(given_ones)
    for part, index in ((first, [0, 1, 2, 3]), (second, [4, 5, 6]), (other, [0, 1, 2, 3])):
        part.update(given_ones.of(torch.tensor(index)))
    together = pretend_two_processes(other, second).compute()
    first.merge_state(second)
    for found in (together, first.compute()):
        torch.testing.assert_close(found, whole.compute())
    assert (int(first.count), int(first.skipped)) == (int(whole.count), int(whole.skipped))
    value = metric.measure(given_ones).value
    assert whole.compute().item() == pytest.approx(value[~value.isnan()].mean().item())


@pytest.mark.parametrize("metric", MADE, ids=named)
def test_inputs_and_random_numbers_are_left_alone(metric):
    given_ones = scene()
    tensors = [given_ones.mask, given_ones.level, given_ones.image, given_ones.labels, given_ones.segmentation,
               *given_ones.boxes]  # fmt: skip
    copies = [t.clone() for t in tensors]
    state = torch.get_rng_state()
    metric.measure(given_ones)
    for before, after in zip(copies, tensors, strict=True):
        torch.testing.assert_close(after, before, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(torch.get_rng_state(), state)


def test_settings_are_plain_values():
    for metric in MADE:
        assert json.loads(json.dumps(metric.settings)) == metric.settings
        assert "batch_size" not in metric.settings


def test_a_config_names_them_and_their_in_fills():
    parser = ArgumentParser()
    parser.add_class_arguments(Evaluation, "evaluation")
    blur = {"class_path": "Blur", "init_args": {"sigma": 2.0}}
    given_ones = {"Ins": {"class_path": "Insertion", "init_args": {"steps": 28, "infill": blur}}}
    given_ones |= {type(m).__name__: {"class_path": type(m).__name__} for m in MADE}
    built = parser.instantiate_classes(parser.parse_object({"evaluation": {"metrics": given_ones}})).evaluation
    assert built.metrics["Ins"].settings == Insertion(28, Blur(2.0)).settings
    assert {type(m) for m in built.metrics.values()} == {type(m) for m in MADE}
