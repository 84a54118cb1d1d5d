"""Shapes: a function of seed, split and index, whose labels, masks and boxes agree."""

import torch

from explainer.data import Shapes
from explainer.data.shapes import CLASSES, draw_scene

SMALL = {"image_size": 32, "batch_size": 4, "num_workers": 0}


def test_shapes_are_a_function_of_seed_split_and_index():
    first, again = draw_scene(0, 0, 5, 32), draw_scene(0, 0, 5, 32)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.image, draw_scene(0, 1, 5, 32).image)
    assert not torch.equal(first.image, draw_scene(1, 0, 5, 32).image)


def test_shapes_labels_masks_and_boxes_agree():
    dataset = Shapes(**SMALL, test_images=40).split("test")
    areas = []
    for sample in (dataset[i] for i in range(40)):
        present = sample.segmentation.flatten(1).any(1).float()
        assert torch.equal(present, sample.labels)
        assert sample.segmentation.sum(0).max() <= 1
        areas.append(float(sample.segmentation.sum(0).float().mean()))
        for c, x0, y0, x1, y1 in sample.boxes.int().tolist():
            assert sample.segmentation[c, y0:y1, x0:x1].any()
    assert 0.25 < sum(areas) / 40 < 0.42, "about a third of an image"
    assert dataset.classes == CLASSES


def test_a_central_map_scores_badly_on_shapes():
    dataset = Shapes(**SMALL, test_images=60).split("test")
    truth = torch.stack([dataset[i].segmentation.amax(0) for i in range(60)]).float()
    box = torch.zeros(32, 32)
    box[7:25, 7:25] = 1
    accuracy = (box * truth + (1 - box) * (1 - truth)).mean()
    assert accuracy < (1 - truth).mean() + 0.02, "no better than the empty mask"
