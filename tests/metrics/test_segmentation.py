"""Accuracy, IoU and error of a mask against slow versions; what all of them have in common."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explainer.metrics import (
    MaskMAE,
    SaliencyMetric,
    SoftAccuracy,
    SoftIoU,
    mean_absolute_error,
    soft_accuracy,
    soft_iou,
    truth_and_weight,
)
from explainer.metrics.segmentation import TruthRule
from tests.support.small_judged import judged
from tests.support.small_masks import VOID, scene

SCORES = {"acc": soft_accuracy, "iou": soft_iou, "mae": mean_absolute_error}
# Slow versions written from the Explainer paper's section 4.3, one image at a time; nothing of the project is used.


def truth_of(segmentation, labels, void, objects="labelled"):
    """(K, H, W) → the pixels that count, and whether each is object."""
    pixels = []
    for i in range(segmentation.shape[1]):
        for j in range(segmentation.shape[2]):
            column = segmentation[:, i, j]
            hidden = VOID in column.tolist()
            inside = any(column[c] == 1 and (labels[c] or objects == "all") for c in range(len(labels)))
            if hidden and void == "ignore":
                continue
            pixels.append((i, j, 1.0 if inside or hidden else 0.0))
    return [] if (segmentation == VOID).any(0).all() else pixels


def expected(mask, segmentation, labels, void, objects):
    pixels = truth_of(segmentation, labels, void, objects)
    if not pixels:
        return {"acc": math.nan, "iou": math.nan, "mae": math.nan}
    pairs = [(float(mask[i, j]), g) for i, j, g in pixels]
    union = sum(max(m, g) for m, g in pairs)
    return {
        "acc": sum(m * g + (1 - m) * (1 - g) for m, g in pairs) / len(pairs),
        "iou": sum(min(m, g) for m, g in pairs) / union if any(g for _, g in pairs) else math.nan,
        "mae": sum(abs(m - g) for m, g in pairs) / len(pairs),
    }


@pytest.mark.parametrize("objects", ["labelled", "all"])
@pytest.mark.parametrize("void", ["ignore", "object"])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_segmentation_scores_agree_with_the_slow_versions(void, objects, seed):
    mask, segmentation, labels = scene(seed)
    segmentation[0] = VOID  # an image without annotation
    truth, weight = truth_and_weight(segmentation, labels, TruthRule(void, objects))
    for name, function in SCORES.items():
        got = function(mask, truth.double(), weight.double())
        want = [
            expected(mask[n, 0].numpy(), segmentation[n].numpy(), labels[n].numpy(), void, objects)[name]
            for n in range(len(mask))
        ]
        assert math.isnan(want[0])
        torch.testing.assert_close(got, torch.tensor(want, dtype=torch.float64), rtol=0, atol=1e-12, equal_nan=True)


def scores(mask, segmentation, labels, void="ignore"):
    truth, weight = truth_and_weight(segmentation, labels, TruthRule(void))
    return {name: function(mask, truth, weight) for name, function in SCORES.items()}


def test_constant_masks_and_the_truth_score_as_in_table_2():
    segmentation = torch.zeros(1, 2, 4, 4, dtype=torch.uint8)
    segmentation[0, 0, :2] = 1
    segmentation[0, 1, 0, 0] = VOID
    labels = torch.tensor([[1.0, 0.0]])
    share = 7 / 15
    truth, _ = truth_and_weight(segmentation, labels)
    table = {0.0: (1 - share, 0.0), 0.5: (0.5, 0.5 * share / (share + 0.5 * (1 - share))), 1.0: (share, share)}
    for value, (accuracy, overlap) in table.items():
        got = scores(torch.full((1, 1, 4, 4), value), segmentation, labels)
        assert got["acc"].item() == pytest.approx(accuracy)
        assert got["iou"].item() == pytest.approx(overlap)
        assert got["mae"].item() == pytest.approx(1 - accuracy)
    perfect = scores(truth, segmentation, labels)
    assert [perfect[name].item() for name in ("acc", "iou", "mae")] == [1.0, 1.0, 0.0]


def test_the_two_treatments_of_void():
    segmentation = torch.tensor([[[[0, 1, VOID, VOID]]]], dtype=torch.uint8)
    mask = torch.tensor([[[[0.0, 1.0, 1.0, 0.0]]]])
    assert scores(mask, segmentation, torch.ones(1, 1))["acc"].item() == 1.0
    assert scores(mask, segmentation, torch.ones(1, 1), "object")["acc"].item() == 0.75


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_ranges_order_of_images_and_accuracy_against_error(seed):
    mask, segmentation, labels = scene(seed, dtype=torch.float32)
    got = scores(mask, segmentation, labels)
    torch.testing.assert_close(got["acc"] + got["mae"], torch.ones(3))
    assert all((((v >= 0) & (v <= 1)) | v.isnan()).all() for v in got.values())
    order = torch.tensor([2, 0, 1])
    turned = scores(mask[order], segmentation[order], labels[order])
    for name in SCORES:
        torch.testing.assert_close(turned[name], got[name][order], equal_nan=True)


def test_an_image_without_object_has_no_iou():
    got = scores(torch.zeros(1, 1, 3, 3), torch.zeros(1, 2, 3, 3, dtype=torch.uint8), torch.zeros(1, 2))
    assert [got[name].item() for name in ("acc", "mae")] == [1.0, 0.0]
    assert math.isnan(got["iou"].item())


@pytest.mark.parametrize(("metric", "name"), [(SoftAccuracy, "acc"), (SoftIoU, "iou"), (MaskMAE, "mae")])
def test_metrics_average_over_images_and_count_those_without_truth(metric, name, device):
    mask, segmentation, labels = (t.to(device) for t in scene(1, batch=5, dtype=torch.float32))
    segmentation[3] = VOID
    whole = metric("object").to(device)
    for part in (slice(0, 1), slice(1, 4), slice(4, 5), slice(5, 5)):  # unequal batches must not weigh unequally
        whole.update(judged(mask[part], labels=labels[part], segmentation=segmentation[part]))
    values = scores(mask, segmentation, labels, "object")[name]
    torch.testing.assert_close(whole.compute(), values[~values.isnan()].mean())
    assert (int(whole.count), int(whole.skipped)) == (4, 1)
    whole.reset()
    whole.update(judged(mask[:0], labels=labels[:0], segmentation=segmentation[:0]))
    assert int(whole.count) == 0
    assert math.isnan(whole.compute())


def test_a_mask_that_explains_other_classes_is_compared_with_the_images_own():
    mask, segmentation, labels = scene(2)
    other = 1 - labels
    for metric in (SoftAccuracy(), SoftIoU(), MaskMAE()):
        own = metric.measure(judged(mask, labels=labels, segmentation=segmentation)).value
        explained = judged(mask, labels=other, segmentation=segmentation)._replace(annotated=labels)
        torch.testing.assert_close(metric.measure(explained).value, own, equal_nan=True)


def test_without_segmentations_there_is_no_value():
    seen = judged(torch.rand(3, 1, 4, 4))
    assert all(metric.measure(seen).value.isnan().all() for metric in (SoftAccuracy(), SoftIoU(), MaskMAE()))


def test_directions():
    assert [m.higher_is_better for m in (SoftAccuracy, SoftIoU, MaskMAE, SaliencyMetric)] == [True, True, False, False]
