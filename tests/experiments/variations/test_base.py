"""The contract of every source of variations."""

import pytest
import torch

from explainer.errors import InputError
from explainer.experiments.variations import (
    CompletedVariations,
    LatentSearch,
    MirroredContent,
    TrueContent,
    outside,
    shrink,
)
from explainer.infill import CAInfill, Constant, Local, RandomColour
from tests.support.small_checkpoints import save_classifier
from tests.support.small_generators import save_generator
from tests.support.small_infills import save_inpainter

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
