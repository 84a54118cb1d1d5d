import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_judged import judged

from explainer.metrics import (
    MaskMAE,
    SaliencyMetric,
    SoftAccuracy,
    SoftIoU,
    area_under,
    mean_absolute_error,
    removal_curve,
    saliency_metric,
    soft_accuracy,
    soft_iou,
    truth_and_weight,
)
from explainer.metrics.segmentation import TruthRule

VOID = 255
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


def expected_saliency(mask, logits, labels):  # Eq. 9
    if not labels.any():
        return math.nan
    p = np.exp(logits - logits.max())
    p = p / p.sum()
    return math.log(max(mask.mean(), 0.05)) - math.log(sum(p[c] for c in range(len(p)) if labels[c]))


def scene(seed, batch=3, classes=4, side=7, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    draw = torch.rand(batch, classes, side, side, generator=generator)
    segmentation = (draw > 0.7).to(torch.uint8)
    border = torch.rand(batch, 1, side, side, generator=generator) > 0.8
    segmentation = segmentation.masked_fill(border, VOID)
    labels = (torch.rand(batch, classes, generator=generator) > 0.5).to(dtype)
    mask = torch.rand(batch, 1, side, side, generator=generator, dtype=dtype)
    return mask, segmentation, labels


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


@given(seed=st.integers(0, 10_000), sharpness=st.sampled_from([0.1, 3.0, 30.0]))
@settings(max_examples=15, deadline=None)
def test_saliency_metric_agrees_with_the_slow_version(seed, sharpness):
    mask, _, labels = scene(seed)
    mask[0] *= 0.02  # below the floor of the area
    labels[1] = 0
    logits = sharpness * torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    want = [expected_saliency(mask[n].numpy(), logits[n].numpy(), labels[n].numpy()) for n in range(3)]
    torch.testing.assert_close(
        saliency_metric(mask, logits, labels), torch.tensor(want, dtype=torch.float64), rtol=0, atol=1e-10,
        equal_nan=True,
    )  # fmt: skip


def test_saliency_metric_stays_finite_where_the_softmax_underflows():
    score = saliency_metric(torch.ones(1, 1, 2, 2), torch.tensor([[0.0, 500.0]]), torch.tensor([[1.0, 0.0]]))
    assert score.item() == pytest.approx(500.0)


def test_saliency_metric_of_the_sure_and_the_unsure():
    one = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    sure, unsure = torch.tensor([[100.0, 0, 0, 0]]), torch.zeros(1, 4)
    tiny, whole = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    assert saliency_metric(tiny, sure, one).item() == pytest.approx(math.log(0.05))  # the best possible
    assert saliency_metric(whole, sure, one).item() == pytest.approx(0.0, abs=1e-6)
    assert saliency_metric(whole, unsure, one).item() == pytest.approx(math.log(4))
    assert saliency_metric(whole, unsure, torch.ones(1, 4)).item() == pytest.approx(0.0, abs=1e-6)


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


def test_saliency_metric_leaves_out_images_without_label():
    metric = SaliencyMetric()
    labels = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    seen = judged(torch.ones(2, 1, 3, 3), labels=labels)._replace(masked_logits=torch.zeros(2, 2))
    metric.update(seen)
    assert metric.compute().item() == pytest.approx(math.log(2))
    assert (int(metric.count), int(metric.skipped)) == (1, 1)


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


def test_saliency_metric_asks_the_classifier_where_the_logits_are_not_known():
    seen = judged(torch.rand(3, 1, 4, 4))
    known = seen._replace(masked_logits=seen.logits(seen.mask * seen.image))
    torch.testing.assert_close(SaliencyMetric().measure(seen).value, SaliencyMetric().measure(known).value)


def test_directions():
    assert [m.higher_is_better for m in (SoftAccuracy, SoftIoU, MaskMAE, SaliencyMetric)] == [True, True, False, False]


# Insertion and deletion


def probability_of(weights):
    return lambda seen, owner: (seen.mean(1) * weights[owner]).sum((1, 2))


def slow_curve(saliency, before, after, weights, steps):
    order = sorted(range(saliency.size), key=lambda k: -saliency.flatten()[k])
    found, size = [], saliency.size
    for step in range(steps + 1):
        seen = before.copy()
        for k in order[: round(step * size / steps)]:
            seen[:, k // saliency.shape[1], k % saliency.shape[1]] = after[
                :, k // saliency.shape[1], k % saliency.shape[1]
            ]
        found.append((seen.mean(0) * weights).sum())
    return found


@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_removal_curves_pixel_by_pixel(batch_size):
    maps, weights = torch.rand(3, 1, 5, 6, dtype=torch.float64), torch.rand(3, 5, 6, dtype=torch.float64)
    before, after = torch.rand(3, 3, 5, 6, dtype=torch.float64), torch.rand(3, 3, 5, 6, dtype=torch.float64)
    for steps in (1, 7, 30):
        got = removal_curve(maps, before, after, probability_of(weights), steps, batch_size)
        for n in range(3):
            want = slow_curve(maps[n, 0].numpy(), before[n].numpy(), after[n].numpy(), weights[n].numpy(), steps)
            torch.testing.assert_close(got[n], torch.tensor(want), atol=1e-9, rtol=1e-9)


def test_the_right_order_has_the_largest_insertion_and_the_smallest_deletion():
    weights = torch.rand(1, 8, 8)
    grey, white = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    orders = {"right": weights[:, None], "wrong": -weights[:, None], "none": torch.rand(1, 1, 8, 8)}
    insertion, deletion = {}, {}
    for name, maps in orders.items():
        insertion[name] = area_under(removal_curve(maps, grey, white, probability_of(weights), 64)).item()
        deletion[name] = area_under(removal_curve(maps, white, grey, probability_of(weights), 64)).item()
    assert insertion["right"] > insertion["none"] > insertion["wrong"]
    assert deletion["right"] < deletion["none"] < deletion["wrong"]


def test_a_constant_map_is_an_order_by_chance():
    from explainer.metrics.insertion import ranks

    places = ranks(torch.zeros(2, 1, 10, 10))
    assert torch.equal(places[0], places[1])
    assert sorted(places[0].flatten().tolist()) == list(range(100))
    assert abs(torch.corrcoef(torch.stack([places[0].flatten().float(), torch.arange(100.0)]))[0, 1]) < 0.3


@pytest.mark.parametrize("steps", [0, 31])
def test_steps_that_do_not_fit_the_image(steps):
    with pytest.raises(ValueError, match="steps must lie between 1 and the number of pixels 30"):
        removal_curve(torch.rand(1, 1, 5, 6), *torch.rand(2, 1, 3, 5, 6), probability_of(torch.rand(1, 5, 6)), steps)
