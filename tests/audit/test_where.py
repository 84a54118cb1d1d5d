import pytest
import torch

from explainer.audit.shapes import kinds
from explainer.audit.where import border_ring, lies, objects_on_grid


def test_shares_come_to_one_and_void_counts_nothing():
    mask = torch.zeros(32, 32)
    mask[0, :8] = 1.0  # border: 8
    mask[10:14, 10:14] = 1.0  # object: 16
    mask[20:22, 20:24] = 0.5  # context: 4
    mask[25:27, 25:29] = 1.0  # void
    segmentation = torch.zeros(1, 64, 64, dtype=torch.uint8)
    segmentation[0, 20:28, 20:28] = 1
    segmentation[0, 50:54, 50:58] = 255
    shown, known = objects_on_grid(segmentation, 32)
    place = lies(mask, shown[0], known[0])
    assert place.object == pytest.approx(16 / 28)
    assert place.border == pytest.approx(8 / 28)
    assert place.context == pytest.approx(4 / 28)
    assert place.area == pytest.approx(36 / 1024)


def test_an_object_at_the_border_is_object():
    mask = torch.ones(32, 32)
    shown = border_ring(32).float()
    place = lies(mask, shown, torch.ones(32, 32))
    assert place.border == 0
    assert place.object == pytest.approx(float(border_ring(32).float().mean()))


def test_without_annotations_only_the_border_is_known():
    mask = border_ring(32).float()
    place = lies(mask)
    assert (place.border, place.object, place.context) == (1.0, None, None)
    assert place.centre == pytest.approx((0.5, 0.5))


def test_a_void_image_and_an_empty_mask_have_no_shares():
    zeros = torch.zeros(32, 32)
    assert lies(torch.ones(32, 32), zeros, zeros)[2:] == (0.0, None, None)
    assert lies(zeros).centre == (0.5, 0.5)
    assert lies(zeros).border == 0


def test_the_middle_is_the_mean_place():
    mask = torch.zeros(4, 4)
    mask[3, 0] = 1.0
    mask[3, 3] = 3.0
    assert lies(mask).centre == pytest.approx((0.25 * 0.125 + 0.75 * 0.875, 0.875))


def test_masks_without_any_mass_are_in_no_group():
    masks = torch.zeros(3, 32, 32, dtype=torch.uint8).numpy()
    assert kinds(masks) == []
    masks[1, :8] = 255
    (group,) = kinds(masks)
    assert group.members.tolist() == [1]
    assert group.together == pytest.approx(1.0)


def test_equal_masks_are_one_group():
    masks = torch.zeros(5, 32, 32, dtype=torch.uint8).numpy()
    masks[:, 4:9, 4:9] = 200
    (group,) = kinds(masks, 3)
    assert group.members.tolist() == [0, 1, 2, 3, 4]
    assert group.mean.max() == pytest.approx(200 / 255)
