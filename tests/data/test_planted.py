"""Planted scenes: a function of seed, split and index; parts that cover the image; a shortcut at its rate."""

import pytest
import torch
from torch.nn.functional import max_pool2d

from explainer.data import PlantedShapes
from explainer.data.base import collate
from explainer.data.cropping import Window, crop_sample
from explainer.data.planted import SHORTCUTS, Shortcut, draw_planted, label_of
from explainer.data.sample import blank_sample, flip_sample
from explainer.data.shapes import CLASSES
from explainer.errors import InputError
from explainer.evaluation.batches import part, to_device
from explainer.evaluation.sanity_checks.base import select

SMALL = {"image_size": 32, "batch_size": 4, "num_workers": 0}
SIZE = 32
KINDS = sorted(SHORTCUTS)


def always(kind, **others):
    return Shortcut(kind, test_rate=1.0, **others)


def widened(region):
    """A region and its neighbours: pixels at an edge are means of samples of both sides."""
    return max_pool2d(region[None, None].float(), 3, 1, 1)[0, 0] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_scenes_are_a_function_of_seed_split_and_index(kind):
    first, again = (draw_planted(0, 2, 5, SIZE, always(kind)) for _ in range(2))
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.parts.regions, again.parts.regions)
    assert torch.equal(first.parts.pictures, again.parts.pictures)
    assert first.parts.names == again.parts.names
    assert not torch.equal(first.image, draw_planted(1, 2, 5, SIZE, always(kind)).image)
    assert not torch.equal(first.image, draw_planted(0, 2, 6, SIZE, always(kind)).image)
    without = draw_planted(0, 2, 5, SIZE, always(kind), with_parts=False)
    assert torch.equal(first.image, without.image)
    assert without.parts is None


@pytest.mark.parametrize("kind", KINDS)
def test_each_pixel_belongs_to_one_part_and_no_part_is_empty(kind):
    for index in range(12):
        parts = draw_planted(0, 2, index, SIZE, always(kind)).parts
        assert parts.regions.sum(0).eq(1).all()
        assert parts.regions.flatten(1).any(1).all()
        assert len(parts.names) == len(parts.regions) == len(parts.pictures)
        assert parts.names.count("background") == parts.names.count("shortcut") == 1
        assert parts.names.count("object") in (1, 2)
        assert parts.names.count("distractor") in (1, 2, 3)
        assert ((parts.pictures >= 0) & (parts.pictures <= 1)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_without_a_part_differs_there_alone(kind):
    """And, of the watermark, where the part shines through it."""
    for index in range(8):
        scene = draw_planted(0, 2, index, SIZE, always(kind))
        image = scene.image.float() / 255
        through = torch.zeros(SIZE, SIZE, dtype=torch.bool)
        if kind == "watermark":
            through = widened(scene.parts.regions[scene.parts.names.index("shortcut")])
        for region, picture in zip(scene.parts.regions, scene.parts.pictures, strict=True):
            changed = (picture != image).any(0)
            assert changed[region].any()
            elsewhere = changed & ~widened(region) & ~through
            # where a part is narrower than a pixel, no pixel is its own: a few of a thousand
            assert elsewhere.sum() <= 4


@pytest.mark.parametrize("kind", KINDS)
def test_without_its_shortcut_a_scene_is_the_plain_one_to_the_pixel(kind):
    for index in range(6):
        shown = draw_planted(0, 2, index, SIZE, always(kind))
        plain = draw_planted(0, 2, index, SIZE, Shortcut())
        place = shown.parts.names.index("shortcut")
        assert torch.equal(shown.parts.pictures[place], plain.image.float() / 255)
        assert "shortcut" not in plain.parts.names
        assert shown.label == plain.label == label_of(0, 2, index)


def test_the_background_gives_way_to_another_one_and_nothing_else_does():
    scene = draw_planted(0, 2, 3, SIZE, Shortcut())
    place = scene.parts.names.index("background")
    inside = scene.parts.regions[place]
    difference = (scene.parts.pictures[place] - scene.image.float() / 255).abs().amax(0)
    assert difference[inside].mean() > 0.05
    assert difference[~widened(inside)].max() == 0


def counts(split, count=300, **settings):
    """Of each class and with the shortcut or without: images, and those whose texture is hidden."""
    shortcut = Shortcut("mark", **settings)
    of_class, others = [], []
    for index in range(count):
        scene = draw_planted(3, split, index, 16, shortcut)
        row = ("shortcut" in scene.parts.names, not scene.objects.any().item())
        (of_class if CLASSES[scene.label] == shortcut.of_class else others).append(row)
    return torch.tensor(of_class).double(), torch.tensor(others).double()


def test_the_shortcut_comes_at_its_rates_in_training():
    of_class, others = counts(0, rate=0.8, rate_elsewhere=0.1, hidden=0.5, hidden_elsewhere=0.2)
    assert len(of_class) + len(others) == 300
    assert 25 < len(of_class) < 80, "a sixth of the images"
    assert abs(of_class[:, 0].mean() - 0.8) < 0.2
    assert abs(others[:, 0].mean() - 0.1) < 0.06
    hidden_with = of_class[of_class[:, 0] > 0, 1].mean()
    assert abs(hidden_with - 0.5) < 0.25
    assert abs(others[:, 1].mean() - 0.2) < 0.08


def test_in_the_test_it_is_independent_of_the_class_and_every_texture_is_seen():
    of_class, others = counts(2, test_rate=0.5)
    assert abs(of_class[:, 0].mean() - 0.5) < 0.25
    assert abs(others[:, 0].mean() - 0.5) < 0.1
    assert of_class[:, 1].sum() == others[:, 1].sum() == 0


def test_a_hidden_texture_changes_the_objects_alone():
    shown = draw_planted(0, 0, 4, SIZE, Shortcut("mark", hidden=0.0, hidden_elsewhere=0.0))
    hidden = draw_planted(0, 0, 4, SIZE, Shortcut("mark", hidden=1.0, hidden_elsewhere=1.0))
    assert shown.objects.any()
    assert not hidden.objects.any()
    assert len(hidden.boxes) == 0
    assert torch.equal(shown.parts.regions, hidden.parts.regions)
    changed = (shown.image != hidden.image).any(0)
    assert changed.any()
    assert not (changed & ~widened(shown.objects)).any()


def test_labels_masks_and_boxes_agree_and_parts_come_with_annotations_alone():
    data = PlantedShapes(**SMALL, test_images=12, train_images=3, shortcut=always("border"))
    dataset = data.split("test")
    assert data.multilabel is False
    for sample in (dataset[i] for i in range(12)):
        assert sample.labels.sum() == 1
        (category,) = sample.labels.nonzero().flatten().tolist()
        present = sample.segmentation.flatten(1).any(1)
        assert present.nonzero().flatten().tolist() == [category]
        objects = torch.stack([r for r, n in zip(sample.parts.regions, sample.parts.names, strict=True)
                               if n == "object"]).any(0)  # fmt: skip
        assert torch.equal(sample.segmentation[category].bool(), objects)
        for c, x0, y0, x1, y1 in sample.boxes.int().tolist():
            assert c == category
            assert sample.segmentation[c, y0:y1, x0:x1].any()
    assert data.split("train")[0].parts is None


def test_parts_travel_with_their_images():
    dataset = PlantedShapes(**SMALL, test_images=3).split("test")
    samples = [dataset[i] for i in range(3)]
    batch = collate([samples[0], samples[1]._replace(parts=None), None, samples[2]])
    assert batch.parts[1] is None
    assert collate([samples[1]._replace(parts=None)]).parts is None
    for chosen in (part(batch, [2]), select(batch, torch.tensor([2])), part(to_device(batch, "cpu"), [2])):
        assert torch.equal(chosen.parts[0].pictures, samples[2].parts.pictures)


def test_parts_are_mirrored_cropped_and_taken_away_with_the_image():
    sample = PlantedShapes(**SMALL, test_images=1).split("test")[0]
    mirrored = flip_sample(sample).parts
    assert torch.equal(mirrored.regions.flip(-1), sample.parts.regions)
    assert torch.equal(mirrored.pictures.flip(-1), sample.parts.pictures)
    cropped = crop_sample(sample, Window(4, 8, 16, 16), 16)
    assert cropped.parts.regions.sum(0).eq(1).all()
    assert len(cropped.parts.names) == len(cropped.parts.regions) == len(cropped.parts.pictures)
    assert cropped.parts.pictures.shape[1:] == cropped.image.shape
    assert blank_sample(sample).parts is None


@pytest.mark.parametrize("wrong", [{"rate": 1.5}, {"hidden": -0.1}, {"test_rate": float("nan")}, {"of_class": "cats"}])
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Shortcut("mark", **wrong)
