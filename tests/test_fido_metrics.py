"""Proportion outside, localisation, the saliency metric on a crop, the flipping curve: against slow versions."""

import math

import numpy as np
import oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_judged import judged

from explainer.errors import InputError
from explainer.functional.masking import smallest_box
from explainer.metrics import (
    Flipping,
    Localisation,
    ProportionOutside,
    SaliencyCrop,
    alpha_errors,
    best_alpha,
    crop_and_resize,
    inside_boxes,
    localisation_error,
    mean_level,
    pixels_needed,
    proportion_outside,
    remaining,
    removal_curve,
    saliency_crop,
    truth_boxes,
)
from explainer.metrics.localisation import ALPHAS

SIDE = 8


def regions(count=6, density=0.15):
    found = torch.rand(count, 1, SIDE, SIDE + 3, generator=torch.Generator().manual_seed(2)) < density
    found[0] = False
    found[1] = True
    return found


def test_smallest_boxes():
    for own, box in zip(regions(), smallest_box(regions()).tolist(), strict=True):
        assert tuple(box) == oracles.bounding_box(own[0].numpy())
    assert smallest_box(torch.zeros(0, 1, 4, 4, dtype=torch.bool)).shape == (0, 4)


def test_boxes_around_the_classes_present():
    segmentation = (torch.rand(4, 3, SIDE, SIDE) < 0.2).to(torch.uint8)
    segmentation[0, :, 0], segmentation[1] = 255, 255  # a void border, and an image without annotation
    labels = torch.tensor([[1.0, 0, 1], [1, 1, 1], [0, 0, 0], [0, 1, 0]])
    for n, boxes in enumerate(truth_boxes(segmentation, labels)):
        wanted = [oracles.bounding_box(segmentation[n, c].numpy() == 1) for c in range(3) if labels[n, c]]
        assert [tuple(b) for b in boxes.tolist()] == [b for b in wanted if any(b)]


# Proportion outside


@pytest.mark.parametrize("binary", [True, False])
def test_proportion_outside_pixel_by_pixel(binary):
    mask, truth = torch.rand(6, 1, 5, 7, dtype=torch.float64), regions()[:, :, :5, :7].double()
    mask = (mask > 0.6).double() if binary else mask
    mask[2] = 0
    got = proportion_outside(mask, truth)
    for n in range(6):
        want = oracles.share_outside(mask[n, 0].numpy(), truth[n, 0].numpy() > 0)
        assert got[n].item() == pytest.approx(want, nan_ok=True)
    assert got[0].isnan()
    assert got[1] == 0


def test_nothing_salient_says_as_much_as_a_constant_map():
    truth = torch.zeros(1, 1, 4, 4)
    truth[..., :3] = 1
    assert proportion_outside(torch.zeros(1, 1, 4, 4), truth).item() == pytest.approx(0.25)
    assert proportion_outside(torch.full((1, 1, 4, 4), 0.3), truth).item() == pytest.approx(0.25)


def test_void_pixels_do_not_count():
    mask, truth, weight = torch.ones(1, 1, 1, 4), torch.tensor([[[[1.0, 0, 0, 0]]]]), torch.tensor([[[[1.0, 1, 0, 0]]]])
    assert proportion_outside(mask, truth, weight).item() == 0.5


def test_pixels_inside_boxes():
    boxes = torch.tensor([[0.6, 1.0, 3.4, 2.6], [4.0, 0.0, 5.0, 1.0]])
    inside = inside_boxes([boxes, torch.zeros(0, 4)], (4, 6))
    wanted = np.zeros((4, 6))
    wanted[1:3, 1:3] = wanted[0, 4] = 1  # centres at a half
    np.testing.assert_array_equal(inside[0, 0].numpy(), wanted)
    assert not inside[1].any()


@pytest.mark.parametrize("truth", ["boxes", "segmentation"])
def test_proportion_outside_as_a_metric_counts_images_without_truth(truth):
    mask = torch.rand(3, 1, SIDE, SIDE)
    segmentation = torch.zeros(3, 3, SIDE, SIDE, dtype=torch.uint8)
    segmentation[:2, 0, 2:5, 2:7] = 1
    segmentation[2] = 255
    boxes = truth_boxes(segmentation, torch.eye(3)[:1].expand(3, 3))
    for binary in (True, False):
        metric = ProportionOutside(truth, binary)
        metric.update(judged(mask, 0.4, boxes, segmentation=segmentation))
        shown = (mask > 0.4).float() if binary else mask
        want = [oracles.share_outside(shown[n, 0].numpy(), segmentation[n, 0].numpy() == 1) for n in range(2)]
        assert metric.compute().item() == pytest.approx(np.mean(want))
        assert (int(metric.count), int(metric.skipped)) == (2, 1)
    assert ProportionOutside("segmentation").measure(judged(mask)).value.isnan().all()


# Localisation


def test_localisation_against_a_slow_version():
    mask = torch.rand(40, 1, SIDE, SIDE) ** 6
    truth = [torch.tensor([[1.0, 0.0, 6.0, 7.0], [3.0, 3.0, 8.0, 8.0]])[: n % 3] for n in range(40)]
    metric = Localisation()
    metric.update(judged(mask, 0.5, truth))
    boxes = [oracles.bounding_box(m[0].numpy() > 0.5) for m in mask]
    wanted = [oracles.misses(b, [tuple(t) for t in some.tolist()]) for b, some in zip(boxes, truth, strict=True)]
    assert metric.compute().item() == pytest.approx(np.nanmean(wanted))
    assert int(metric.skipped) == sum(math.isnan(w) for w in wanted) == 14
    assert 0 < np.nanmean(wanted) < 1


def test_half_an_overlap_is_not_enough():
    box = torch.tensor([[0.0, 0.0, 4.0, 4.0]] * 2)
    truth = [torch.tensor([[0.0, 0.0, 4.0, 2.0]]), torch.tensor([[0.0, 0.0, 4.0, 2.1]])]
    assert localisation_error(box, truth).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_a_map_with_nothing_salient_misses(value):
    found = Localisation().measure(judged(torch.full((1, 1, SIDE, SIDE), value))).value
    assert found.tolist() == [1.0]


def test_the_search_for_alpha():
    mask = torch.full((2, 1, SIDE, SIDE), 0.1)
    mask[:, :, 2:6, 1:5] = 1.0  # its mean is 0.325: salient alone above 0.31 (α 0.4) and below 1 (α 3)
    truth = [torch.tensor([[1.0, 2.0, 5.0, 6.0]]), torch.zeros(0, 4)]
    errors = alpha_errors(mask, truth)
    assert errors.shape == (2, 26)
    assert errors[1].isnan().all()
    right = [a for a, e in zip(ALPHAS, errors[0].tolist(), strict=True) if e == 0]
    assert right == [a for a in ALPHAS if 0.1 <= a * mask[0].mean().item() < 1]
    assert best_alpha(errors) == (0.4, 0.0)
    with pytest.raises(InputError, match="no held-out image has a box"):
        best_alpha(errors[1:])
    with pytest.raises(InputError, match=r"alpha must lie in \[0, 5\], got 5\.2"):
        mean_level(mask, 5.2)


# The saliency metric on a crop


def test_crops_are_enlarged_bilinearly():
    image = torch.rand(3, 3, SIDE, SIDE, dtype=torch.float64)
    boxes = torch.tensor([[1.0, 2, 5, 7], [0, 0, 0, 0], [7, 7, 8, 8]])
    got = crop_and_resize(image, boxes)
    for n, box in enumerate([(1, 2, 5, 7), (0, 0, SIDE, SIDE), (7, 7, 8, 8)]):
        np.testing.assert_allclose(got[n].numpy(), oracles.enlarged(image[n].numpy(), box), atol=1e-12)


def test_saliency_metric_on_a_crop_by_hand():
    image = torch.rand(3, 3, SIDE, SIDE, dtype=torch.float64)
    mask = torch.zeros(3, 1, SIDE, SIDE, dtype=torch.float64)
    mask[0, :, 2:7, 1:5], mask[1, :, 3, 3] = 1, 1  # 20 pixels of 64; one pixel; none
    found = SaliencyCrop().measure(judged(mask, image=image)).value
    for n, (box, area) in enumerate([((1, 2, 5, 7), 20 / 64), ((3, 3, 4, 4), 0.05), ((0, 0, SIDE, SIDE), 1.0)]):
        p = oracles.enlarged(image[n].numpy(), box)[0].mean()
        assert found[n].item() == pytest.approx(math.log(area) - math.log(p))
    assert saliency_crop(torch.zeros(1, 4), torch.zeros(1), (4, 4)).isfinite().all()


def test_images_with_several_labels_or_none_have_no_such_value():
    labels = torch.tensor([[1.0, 1, 0], [0, 1, 0], [0, 0, 0]])
    mask = torch.rand(3, 1, SIDE, SIDE)
    seen = []

    def probability(images, owner):
        seen.extend(owner.tolist())
        return torch.full((len(images),), 0.5)

    for metric in (SaliencyCrop(), Flipping(2)):
        metric.update(judged(mask, labels=labels, probability=probability, image=torch.ones(3, 3, SIDE, SIDE)))
        assert (int(metric.count), int(metric.skipped)) == (1, 2)
    assert seen == [1]  # the owner counts among all the images


# The flipping curve


@pytest.mark.parametrize("batch_size", [1, 7])
def test_flipping_asks_the_in_fill_at_every_step(batch_size):
    image = torch.rand(2, 3, 5, 6, dtype=torch.float64)
    maps = torch.rand(2, 1, 5, 6, dtype=torch.float64)

    def fill(images, masks):  # of what is visible
        return (images * masks).mean((1, 2, 3), keepdim=True) * 0.2

    given_one = judged(maps, image=image, fill=fill)
    found = Flipping(steps=6, batch_size=batch_size, least=1e-3).measure(given_one)
    for n in range(2):
        want = oracles.flipping(maps[n, 0].numpy(), image[n].numpy(), lambda x, m: (x * m).mean() * 0.2,
                                lambda x: 20 * x[0].mean(), 6)  # fmt: skip
        np.testing.assert_allclose(found.curve[n].numpy(), want, atol=1e-9)
        assert found.value[n].item() == pytest.approx(np.trapezoid(want, dx=1 / 6))


def test_an_in_fill_that_leaves_the_class_gives_no_curve():
    image = torch.ones(2, 3, SIDE, SIDE)
    image[1] = 0.02
    metric = Flipping(4, least=1.0)
    metric.update(judged(torch.rand(2, 1, SIDE, SIDE), image=image))
    assert (metric.compute().item(), int(metric.skipped)) == (pytest.approx(0.5), 1)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_the_right_order_flips_first(seed):
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(1, 3, 6, 6, generator=generator)
    right = image[:, :1]
    values = [
        Flipping(6, least=1e-6).measure(judged(maps, image=image)).value.item()
        for maps in (right, torch.rand(1, 1, 6, 6, generator=generator), -right)
    ]
    assert values[0] <= values[1] + 1e-5
    assert values[1] <= values[2] + 1e-5


def test_pixels_needed_by_hand():
    share = torch.tensor([[1.0, 0.9, 0.4, 0.5, 0.0], [math.nan] * 5])
    assert pixels_needed(share, torch.tensor([0.0, 0.1, 0.6, 1.0]))[0].tolist() == [0.0, 0.25, 0.5, 1.0]
    assert pixels_needed(share, torch.tensor([0.5]))[1].isnan().all()
    assert remaining(torch.tensor([[3.0, 2.5]]), 1.0).isnan().all()


def test_a_curve_with_an_in_fill_that_ignores_the_mask_is_the_plain_one():
    maps, image, other = torch.rand(2, 1, 6, 6), torch.rand(2, 3, 6, 6), torch.rand(1, 3, 1, 1)

    def mean(seen, owner):
        return seen.mean((1, 2, 3))

    plain = removal_curve(maps, image, other.expand_as(image), mean, 6)
    torch.testing.assert_close(removal_curve(maps, image, lambda i, m: other.expand_as(i), mean, 6), plain)


# Bad input, directions, settings


def test_directions():
    assert not any(m.higher_is_better for m in (ProportionOutside(), Localisation(), SaliencyCrop(), Flipping()))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Localisation(1.0), r"overlap must lie in \[0, 1\)"),
        (lambda: Localisation(-0.1), r"overlap must lie in \[0, 1\)"),
        (lambda: Flipping(0), "steps and batch_size must be positive"),
        (lambda: Flipping(least=0.0), "least must be positive"),
        (lambda: ProportionOutside("box"), "'boxes' or 'segmentation', got 'box'"),
    ],
)
def test_settings_that_cannot_be(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_what_decides_the_values_is_known():
    assert Flipping(4, batch_size=2, least=2.0).settings == {"steps": 4, "least": 2.0}
    assert SaliencyCrop().settings == {}
