"""Boxes, reconstruction masks, the search for codes, pasting; and the contract of every source of variations."""

from dataclasses import replace

import numpy as np
import oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_checkpoints import save_classifier
from small_generators import FlatColours, save_generator
from small_infills import save_inpainter

from explainer.errors import InputError
from explainer.experiments.variations import (
    CompletedVariations,
    LatentSearch,
    MirroredContent,
    TrueContent,
    outside,
    saliency_boxes,
    shrink,
)
from explainer.experiments.variations.box import surroundings
from explainer.experiments.variations.latent_search import (
    SearchSettings,
    context_loss,
    discriminative_loss,
    reconstruction_mask,
    search,
)
from explainer.experiments.variations.pasting import seamless
from explainer.infill import CAInfill, Constant, Local, RandomColour

CLASSES = ("cat", "dog", "cow")
BOXES = torch.tensor([[3, 2, 9, 7], [0, 5, 4, 12]])
SOURCES = ["latent", "classes", "zoom", "not blended", "samples", "colours", "local", "constant",
           "true", "mirrored"]  # fmt: skip
SINGLE = ("local", "constant", "true", "mirrored")
"""Those with one variation an image, which no seed changes."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generators")
    return {"plain": save_generator(folder / "plain.ckpt"), "classes": save_generator(folder / "c.ckpt", 8, CLASSES)}


def source(name, files, seed=0, batch_size=64):
    latent = {"checkpoint": files["plain"], "count": 3, "steps": 2, "seed": seed, "batch_size": batch_size}
    more = {"latent": {}, "classes": {"checkpoint": files["classes"]}, "zoom": {"zoom": 0.5, "window": 3},
            "not blended": {"blend": False}, "samples": {"steps": 0, "checkpoint": files["classes"]}}  # fmt: skip
    if name in more:
        return LatentSearch(**latent | more[name])
    oracles_of = {"true": lambda: TrueContent(4), "mirrored": MirroredContent}
    if name in oracles_of:
        return oracles_of[name]()
    infill = {"colours": RandomColour(), "local": Local(5), "constant": Constant()}[name]
    return CompletedVariations(infill, 3, blend=name == "local", seed=seed, batch_size=batch_size)


def pictures(count=2, height=12, width=14):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("of", ["fraction", "quantile"])
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.9, 1.0])
def test_boxes_are_those_of_the_definition(of, threshold):
    saliency = torch.randn(6, 1, 9, 11, dtype=torch.float64) ** 3
    got = saliency_boxes(saliency, threshold, of)
    for box, values in zip(got.tolist(), saliency[:, 0].numpy(), strict=True):
        assert box == oracles.saliency_box(values, threshold, of == "quantile")


@pytest.mark.parametrize("of", ["fraction", "quantile"])
def test_a_map_without_a_box(of):
    saliency = torch.rand(4, 1, 6, 6)
    saliency[0], saliency[1, 0, 2, 3], saliency[2, 0, 0, 0] = 0.7, torch.nan, torch.inf
    boxes = saliency_boxes(saliency, 0.5, of)
    assert boxes[:3].tolist() == [[0, 0, 0, 0]] * 3
    assert (boxes[3, 2:] > boxes[3, :2]).all()
    assert shrink(boxes, 0.5)[:3].tolist() == [[0, 0, 0, 0]] * 3


def test_what_is_no_map_or_no_threshold_is_refused():
    with pytest.raises(InputError, match=r"shape \(2, 6, 6\)"):
        saliency_boxes(torch.rand(2, 6, 6))
    for threshold in (0.0, 1.5):
        with pytest.raises(InputError, match=r"in \(0, 1\]"):
            saliency_boxes(torch.rand(1, 1, 6, 6), threshold)
    for alpha in (0.0, 1.1):
        with pytest.raises(InputError, match="alpha"):
            shrink(BOXES, alpha)


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(0, 30)] * 2), st.tuples(*[st.integers(1, 30)] * 2), st.floats(0.01, 1), st.floats(0, 3))
def test_smaller_boxes_lie_in_the_middle_and_surroundings_around(start, sides, alpha, margin):
    box = torch.tensor([[*start, start[0] + sides[0], start[1] + sides[1]]])
    x0, y0, x1, y1 = shrink(box, alpha)[0].tolist()
    for low, high, first, side in ((x0, x1, start[0], sides[0]), (y0, y1, start[1], sides[1])):
        assert high - low == max(1, round(alpha * side))
        assert abs((low + high) / 2 - (first + side / 2)) <= 0.5
        assert first <= low < high <= first + side
    assert torch.equal(shrink(box, 1.0), box)
    a, b, c, d = surroundings(box, (64, 70), margin)[0].tolist()
    assert 0 <= a <= start[0] < start[0] + sides[0] <= c <= 70
    assert 0 <= b <= start[1] < start[1] + sides[1] <= d <= 64
    assert c - a == d - b or max(c - a, d - b) >= 64
    assert (c - a) * (d - b) > sides[0] * sides[1]


@pytest.mark.parametrize("window", [1, 5, 15])
def test_the_reconstruction_mask_is_that_of_the_definition(window):
    keep = outside(BOXES, (12, 14)).double()
    got = reconstruction_mask(keep, window)
    for n in range(2):
        np.testing.assert_allclose(
            got[n, 0].numpy(), oracles.reconstruction_mask(keep[n, 0].numpy(), window), atol=1e-12
        )
    assert (got * (1 - keep)).abs().max() == 0


def test_the_reconstruction_mask_falls_with_the_distance():
    weight = reconstruction_mask(outside(torch.tensor([[10, 0, 14, 21]]), (21, 30)))[0, 0, 10]
    right = weight[14:22]
    assert (right[:-1] > right[1:]).all()
    assert right[-1] == 0  # eight pixels away: out of the window's reach
    with pytest.raises(InputError, match="odd"):
        reconstruction_mask(torch.ones(1, 1, 4, 4), 4)


@pytest.mark.parametrize(("kind", "power"), [("l1", 1), ("squared", 2)])
def test_losses_by_hand(kind, power):
    made, image, weight = (torch.rand(2, c, 4, 5, dtype=torch.float64) for c in (3, 3, 1))
    got = context_loss(made, image, weight, kind)
    for n in range(2):
        error = np.abs((made[n] - image[n]).numpy()) ** power
        assert got[n].item() == pytest.approx((error.mean(0) * weight[n, 0].numpy()).sum() / weight[n].sum().item())
    assert context_loss(made, image, 0 * weight).tolist() == [0, 0]
    realism = torch.tensor([-30.0, 0.0, 2.0])
    np.testing.assert_allclose(discriminative_loss(realism), -np.log(oracles.sigmoid(realism.double().numpy())), 1e-5)


@pytest.mark.parametrize("box", [(3, 2, 9, 7), (0, 5, 4, 12), (0, 0, 14, 5), (9, 0, 14, 12), (5, 5, 6, 6)])
def test_a_seamless_patch_solves_poissons_equation(box):
    image, patch = torch.rand(3, 12, 14, dtype=torch.float64), torch.rand(2, 3, 12, 14, dtype=torch.float64)
    image, patch = 0.4 + 0.1 * image, 0.4 + 0.1 * patch  # far from where values are clipped
    got = seamless(image, patch, box)
    for k in range(2):
        for c in range(3):
            np.testing.assert_allclose(
                got[k, c], oracles.poisson(image[c].numpy(), patch[k, c].numpy(), box), atol=1e-9
            )


def test_the_search_finds_what_is_known():
    colours = torch.tensor([[0.2, 0.9, 0.4], [0.6, 0.1, 0.8]])
    image = colours[..., None, None].expand(-1, -1, 8, 8).clone()
    weight = torch.ones(2, 1, 8, 8)
    weight[:, :, 2:5, 2:5] = 0
    image[:, :, 2:5, 2:5] = 0.5  # not known: must not matter
    start = torch.zeros(2, 3)
    calls = []
    free_of_critic = SearchSettings(steps=300, realism=0.0)
    found = search(FlatColours(), start, image, weight, None, free_of_critic, lambda: calls.append(1))
    torch.testing.assert_close(found.images[:, :, 0, 0], colours, atol=0.02, rtol=0)
    assert len(calls) == 300
    assert torch.equal(start, torch.zeros(2, 3))
    sure = SearchSettings(steps=300, realism=100.0)
    real = search(FlatColours(), start, image, weight, None, sure)
    assert (real.codes[:, 0] == 1).all()  # as red as a code may be
    free = search(FlatColours(), start, image, weight, None, replace(sure, clip=None))
    assert (free.codes[:, 0] > 1.5).all()
    loss = context_loss(real.images, image, weight) + 100 * discriminative_loss(real.images[:, 0].mean((1, 2)))
    torch.testing.assert_close(real.loss, loss)


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_changes_the_box_alone(name, files):
    image, target = pictures(), torch.tensor([2, 0])
    ticks, made = [], source(name, files)
    before, state = image.clone(), torch.get_rng_state()
    found = made(image, BOXES, target, tick=lambda: ticks.append(1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(image, before)
    k = 1 if name in SINGLE else 3
    assert found.images.shape == (2, k, 3, 12, 14)
    assert found.loss.shape == (2, k)
    assert found.weight.shape == (2, 1, 12, 14)
    assert ((found.images >= 0) & (found.images <= 1)).all()
    for n, (x0, y0, x1, y1) in enumerate(BOXES.tolist()):
        changed = (found.images[n] != image[n]).any(1)
        assert changed[:, y0:y1, x0:x1].any()
        changed[:, y0:y1, x0:x1] = False
        assert not changed.any()
        assert found.weight[n, 0, y0:y1, x0:x1].max() == 0 or name == "zoom" or isinstance(made, LatentSearch)
    assert found.loss.isnan().all() == (name in ("colours", *SINGLE))
    if k > 1:
        assert not torch.equal(found.images[0, 0], found.images[0, 1])


@pytest.mark.parametrize("name", SOURCES)
def test_same_seed_same_samples_and_a_batch_equals_singles(name, files):
    image, target = pictures(), torch.tensor([2, 0])
    found = source(name, files)(image, BOXES, target).images
    assert torch.equal(source(name, files)(image, BOXES, target).images, found)
    if name not in SINGLE:
        assert not torch.equal(source(name, files, seed=1)(image, BOXES, target).images, found)
    parts = source(name, files, batch_size=2)(image, BOXES, target).images
    torch.testing.assert_close(parts, found, atol=1e-5, rtol=0)
    alone = [source(name, files)(image[n : n + 1], BOXES[n : n + 1], target[n : n + 1]).images for n in range(2)]
    torch.testing.assert_close(torch.cat(alone), found, atol=1e-5, rtol=0)


def test_one_call_makes_its_ticks(files):
    for name, batch_size, wanted in (("latent", 64, 2), ("latent", 2, 4), ("samples", 64, 1), ("colours", 64, 1)):
        ticks, made = [], source(name, files, batch_size=batch_size)
        made(pictures(1), BOXES[:1], torch.tensor([0]), tick=lambda t=ticks: t.append(1))
        assert len(ticks) == made.steps == wanted


def test_more_steps_fit_better(files):
    image = pictures(1, 8, 8)
    losses = [LatentSearch(files["plain"], 4, steps)(image, BOXES[:1].clamp(max=6)).loss for steps in (0, 60)]
    assert (losses[1] < losses[0]).all()


def test_the_class_decides_what_a_generator_of_classes_makes(files):
    made = source("samples", files)
    one, other = (made(pictures(1), BOXES[:1], torch.tensor([c])).images for c in (0, 1))
    assert torch.equal(one, other)  # fresh gains and offsets are the same for all classes
    torch.nn.init.normal_(made.network.generator.norms[0].offset.weight)
    one, other = (made(pictures(1), BOXES[:1], torch.tensor([c])).images for c in (0, 1))
    assert not torch.equal(one, other)
    with pytest.raises(InputError, match="give a target"):
        made(pictures(1), BOXES[:1])
    made.network.classes = CLASSES
    made.check(CLASSES)
    with pytest.raises(InputError, match="generates 3 classes"):
        made.check(("cat", "dog"))
    source("latent", files).check(("cat", "dog"))


def test_inside_boxes_are_seen_at_the_scale_of_those_around(files):
    made, image = source("zoom", files), pictures(1, 40, 40)
    box = torch.tensor([[10, 10, 26, 26]])
    small = shrink(box, 0.5)
    wide, close = (made(image, small, around=around).weight[0, 0] for around in (box, None))
    reach = [int(weight.nonzero().flatten().max()) for weight in (wide, close)]
    assert reach[0] > reach[1]


def test_gradients_work_within_inference_mode(files):
    made = source("classes", files)
    with torch.inference_mode():
        found = made(pictures(), BOXES, torch.tensor([1, 2]))
    assert found.images.isfinite().all()


@pytest.mark.parametrize("name", ["latent", "colours"])
@pytest.mark.parametrize(
    ("box", "words"),
    [((0, 0, 0, 0), "is empty"), ((4, 4, 4, 9), "is empty"), ((0, 0, 14, 12), "covers the whole image"),
     ((3, 3, 15, 9), "reaches out"), ((-1, 3, 5, 9), "reaches out")],
)  # fmt: skip
def test_boxes_that_cannot_be_varied(name, box, words, files):
    boxes = torch.stack([BOXES[0], torch.tensor(box)])
    with pytest.raises(InputError, match=f"box 1 .*{words}") as caught:
        source(name, files)(pictures(), boxes)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="wants"):
        source(name, files)(pictures(), boxes[:1])


def test_checkpoints_and_numbers_that_will_not_do(tmp_path, files):
    with pytest.raises(InputError, match="no file"):
        LatentSearch(str(tmp_path / "none.ckpt"))
    with pytest.raises(InputError, match="kind 'classifier', but 'generator'"):
        LatentSearch(save_classifier(tmp_path / "classifier.ckpt"))
    for wrong in ({"count": 0}, {"batch_size": 0}, {"steps": -1}, {"learning_rate": 0.0}, {"realism": -1.0},
                  {"clip": 0.0}, {"zoom": 0.0}, {"window": 4}):  # fmt: skip
        with pytest.raises(InputError):
            LatentSearch(files["plain"], **wrong)
    with pytest.raises(InputError, match="count"):
        CompletedVariations(RandomColour(), 0)


def test_a_network_that_completes_is_for_the_classes_it_was_trained_on(tmp_path):
    made = CompletedVariations(CAInfill(save_inpainter(tmp_path / "inpainter.ckpt", image_size=16, classes=CLASSES)), 5)
    image = pictures(2, 16, 16)
    found = made(image, BOXES).images
    assert found.shape == (2, 1, 3, 16, 16)  # it knows but one way
    keep = outside(BOXES, (16, 16))
    assert torch.equal(found[:, 0], made.infill(image, keep))
    made.check(CLASSES)
    with pytest.raises(InputError, match="trained on a data set of 3 classes"):
        made.check(("cat", "dog"))


def test_oracles_give_back_the_boxs_own_content():
    image = pictures()
    for number, (x0, y0, x1, y1) in enumerate(BOXES.tolist()):
        inside = image[number, :, y0:y1, x0:x1]
        mirrored = MirroredContent()(image, BOXES).images[number, 0, :, y0:y1, x0:x1]
        assert torch.equal(mirrored, inside.flip(-1))
        sharp = TrueContent(16)(image, BOXES).images[number, 0, :, y0:y1, x0:x1]
        torch.testing.assert_close(sharp, inside)  # the boxes have fewer pixels
        one = TrueContent(1)(image, BOXES).images[number, 0, :, y0:y1, x0:x1]
        assert one.flatten(1).std(1).max() < 1e-6
    with pytest.raises(InputError, match="variation TrueContent: side must be positive, got 0"):
        TrueContent(0)
