"""Insertion and deletion as metrics of a config: against a slow version, with any in-fill."""

import numpy as np
import pytest
import torch

from explainer.errors import InputError
from explainer.infill import Blur, Constant, Local, RandomColour, gaussian_blur
from explainer.metrics import Deletion, Insertion, area_under, removal_curve
from explainer.metrics.insertion import exchanged
from tests.support import oracles
from tests.support.small_judged import judged

SIDES = (5, 6)
BOTH = [(Insertion, True), (Deletion, False)]


def scene(count=3, dtype=torch.float64):
    mask = torch.rand(count, 1, *SIDES, dtype=dtype)
    return mask, torch.rand(count, 3, *SIDES, dtype=dtype)


def red(picture):
    return picture[0].mean()


@pytest.mark.parametrize(("metric", "inserting"), BOTH)
@pytest.mark.parametrize("batch_size", [2, 100])
@pytest.mark.parametrize("steps", [1, 7, 30])
def test_curves_pixel_by_pixel(metric, inserting, batch_size, steps):
    mask, image = scene()
    colour = (0.1, 0.5, 0.9)
    found = metric(steps, Constant(colour), batch_size=batch_size).measure(judged(mask, image=image))
    for n in range(len(mask)):
        plain = np.array(colour)[:, None, None]
        curve, area = oracles.exchange(
            mask[n, 0].numpy(), image[n].numpy(), lambda x, m, c=plain: c, red, steps, inserting
        )
        np.testing.assert_allclose(found.curve[n].numpy(), curve, atol=1e-7)
        assert found.value[n].item() == pytest.approx(area, abs=1e-7)


@pytest.mark.parametrize(("metric", "inserting"), BOTH)
def test_an_in_fill_that_sees_the_mask_is_asked_at_every_step_what_is_visible(metric, inserting):
    mask, image = scene()
    fill = Local(3)
    found = metric(6, fill).measure(judged(mask, image=image))

    def slow(x, shown):
        return fill(torch.from_numpy(x)[None], torch.from_numpy(shown)[None, None])[0].numpy()

    for n in range(len(mask)):
        curve, area = oracles.exchange(mask[n, 0].numpy(), image[n].numpy(), slow, red, 6, inserting)
        np.testing.assert_allclose(found.curve[n].numpy(), curve, atol=1e-9)
        assert found.value[n].item() == pytest.approx(area)


def test_the_defaults_are_those_of_the_paper():
    mask, image = scene()
    given_ones = judged(mask, image=image, fill=lambda images, masks: torch.full_like(images, 0.25))
    inserted, deleted = Insertion().measure(given_ones), Deletion().measure(given_ones)
    assert inserted.curve.shape == deleted.curve.shape == (3, 31)  # 224 steps do not fit 30 pixels
    torch.testing.assert_close(inserted.curve[:, 0], gaussian_blur(image, 5.0)[:, 0].mean((1, 2)))
    torch.testing.assert_close(inserted.curve[:, -1], image[:, 0].mean((1, 2)))
    torch.testing.assert_close(deleted.curve[:, 0], image[:, 0].mean((1, 2)))
    torch.testing.assert_close(deleted.curve[:, -1], torch.full((3,), 0.25, dtype=torch.float64))
    assert (Insertion().higher_is_better, Deletion().higher_is_better) == (True, False)


def test_insertion_is_deletion_of_the_opposite_map_backwards():
    mask, image = scene()
    for fill in (Constant((0.2, 0.2, 0.2)), Local(3)):
        inserted = Insertion(10, fill).measure(judged(mask, image=image))
        deleted = Deletion(10, fill).measure(judged(-mask, image=image))
        torch.testing.assert_close(inserted.curve, deleted.curve.flip(1))
        torch.testing.assert_close(inserted.value, deleted.value)


def test_log_odds_instead_of_probabilities():
    mask, image = scene()
    plain, odds = (Deletion(5, score=s).measure(judged(mask, image=image)) for s in ("probability", "log_odds"))
    torch.testing.assert_close(odds.curve, 20 * plain.curve)  # which is what log-odds are in these tests
    torch.testing.assert_close(odds.value, 20 * plain.value)


@pytest.mark.parametrize(("metric", "inserting"), BOTH)
def test_a_random_in_fill_is_the_same_for_every_step_batch_and_call(metric, inserting):
    mask, image = scene(dtype=torch.float32)
    given_ones, state = judged(mask, image=image), torch.get_rng_state()
    whole = metric(5, RandomColour(), batch_size=100).measure(given_ones)
    parts = metric(5, RandomColour(), batch_size=1).measure(given_ones)
    torch.testing.assert_close(whole.curve, parts.curve)
    alone = metric(5, RandomColour()).measure(given_ones.of(torch.tensor([2])))
    torch.testing.assert_close(alone.curve[0], whole.curve[2])
    assert torch.equal(torch.get_rng_state(), state)


def test_only_images_with_one_label_have_curves():
    mask, image = scene()
    labels = torch.tensor([[1.0, 1, 0], [0, 1, 0], [0, 0, 0]])
    for metric in (Insertion(4), Deletion(4)):
        found = metric.measure(judged(mask, image=image, labels=labels))
        assert found.value.isnan().tolist() == [True, False, True]
        assert found.curve.isnan().all(1).tolist() == [True, False, True]
        metric.update(judged(mask, image=image, labels=labels))
        assert (int(metric.count), int(metric.skipped)) == (1, 2)


def test_the_area_does_not_depend_on_how_a_linear_score_is_stepped():
    image = torch.ones(1, 3, 8, 8)
    for steps in (4, 16, 64):
        value = Deletion(steps).measure(judged(torch.rand(1, 1, 8, 8), image=image)).value
        assert value.item() == pytest.approx(0.5)


def test_two_in_fills_have_no_image():
    def fill(images, masks):
        return images

    with pytest.raises(ValueError, match="one of the two must be images"):
        removal_curve(torch.rand(1, 1, 2, 2), fill, fill, lambda seen, owner: seen, 1)
    with pytest.raises(ValueError, match="one of the two must be images"):
        exchanged(fill, fill, torch.ones(1, 1, 2, 2, dtype=torch.bool), 0)


def test_a_curve_into_an_in_fill_that_ignores_the_mask_is_the_plain_one():
    mask, image = scene()
    other = torch.rand(1, 3, 1, 1, dtype=torch.float64)

    def mean(seen, owner):
        return seen.mean((1, 2, 3))

    plain = removal_curve(mask, other.expand_as(image), image, mean, 6)
    asked = removal_curve(mask, lambda x, m: other.expand_as(x), image, mean, 6)
    torch.testing.assert_close(asked, plain)
    assert area_under(plain).shape == (3,)


@pytest.mark.parametrize("metric", [Insertion, Deletion])
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": 0}, "steps and batch_size must be positive, got 0 and 32"),
        ({"batch_size": 0}, "steps and batch_size must be positive, got 224 and 0"),
        ({"score": "logit"}, "score is 'probability' or 'log_odds', got 'logit'"),
    ],
)
def test_settings_that_cannot_be(metric, settings, words):
    with pytest.raises(InputError, match=f"metric {metric.__name__}: {words}"):
        metric(**settings)


def test_what_decides_the_values_is_known():
    known = Insertion(9, Blur(2.0), batch_size=5).settings
    assert known == {"steps": 9, "infill": {"class": "Blur", "sigma": 2.0}, "score": "probability"}


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
