"""Crops of He et al.: random parts in training, the middle elsewhere, with all that belongs to the image."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import RandomResizedCrop

from explainer.data import ImageNet, Shapes
from explainer.data.cropping import CROP_DRAWS, Window, centre_window, crop_sample, random_window
from explainer.data.sample import Sample
from explainer.functional.seeds import derived_seed
from tests.support import trees

SMALL = {"image_size": 28, "batch_size": 4, "num_workers": 0, "train_images": 8, "val_images": 3, "test_images": 3}


@given(seed=st.integers(0, 100_000), side=st.sampled_from([8, 32, 256]))
@settings(max_examples=40, deadline=None)
def test_a_random_window_lies_within_the_image(seed, side):
    draws = torch.rand(CROP_DRAWS, generator=torch.Generator().manual_seed(seed)).tolist()
    window = random_window(side, draws)
    assert window == random_window(side, draws)
    assert 0 <= window.top <= side - window.height
    assert 0 <= window.left <= side - window.width
    assert min(window.height, window.width) >= 1


def test_random_windows_are_distributed_as_torchvisions():
    """Shares and ratios of 3,000 windows, ours and those of the transform with which ResNets are trained."""
    torch.manual_seed(0)
    image = torch.zeros(3, 256, 256)
    theirs = [RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(3000)]
    ours = [random_window(256, torch.rand(CROP_DRAWS).tolist()) for _ in range(3000)]
    for number in (lambda w: w[2] * w[3] / 256**2, lambda w: math.log(w[3] / w[2]), lambda w: w[0], lambda w: w[1]):
        a, b = (torch.tensor([float(number(w)) for w in windows]) for windows in (ours, theirs))
        levels = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95])
        scale = float(b.std())
        assert ((a.quantile(levels) - b.quantile(levels)).abs() < 0.12 * scale).all()


def test_the_middle_is_cut_out_where_no_window_fits():
    assert random_window(100, [0.999, 0.0, 0.0, 0.0] * 10) == centre_window(100)
    assert centre_window(256) == Window(16, 16, 224, 224)


def test_segmentation_and_boxes_are_cropped_with_the_image():
    rows, columns = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    inside = (rows >= 4) & (rows < 10) & (columns >= 6) & (columns < 12)
    segmentation = torch.stack([inside, ~inside]).to(torch.uint8)
    boxes = torch.tensor([[0.0, 6, 4, 12, 10], [1.0, 0, 0, 3, 3]])
    sample = Sample(inside.float().expand(3, -1, -1), torch.ones(2), "a", segmentation, boxes)
    found = crop_sample(sample, Window(4, 8, 8, 8), 16)  # twice as large
    assert torch.equal(found.segmentation[0], found.segmentation[1] ^ 1)
    truth = torch.zeros(16, 16)
    truth[:12, :8] = 1
    assert torch.equal(found.segmentation[0].float(), truth)
    assert ((found.image[0] > 0.5).float() - truth).abs().max() == 0
    assert found.boxes.tolist() == [[0.0, 0.0, 0.0, 8.0, 12.0]]  # cut at the border; the other one is outside
    assert torch.equal(found.labels, sample.labels)
    same = crop_sample(sample, Window(0, 0, 16, 16), 16)
    assert torch.equal(same.image, sample.image)
    assert torch.equal(same.segmentation, segmentation)
    assert torch.equal(same.boxes, boxes)


def test_training_sees_other_parts_in_every_epoch_and_the_same_ones_again():
    data = Shapes(**SMALL, crop=True, flip=0.5)
    dataset = data.split("train")
    passes = []
    for epoch in (0, 1, 0):
        dataset.epoch.fill_(epoch)
        passes.append(torch.stack([dataset[i].image for i in range(8)]))
    assert passes[0].shape == (8, 3, 28, 28)
    assert torch.equal(passes[0], passes[2])
    assert not torch.equal(passes[0], passes[1])
    again = Shapes(**SMALL, crop=True, flip=0.5).split("train")
    again.epoch.fill_(1)
    assert torch.equal(torch.stack([again[i].image for i in range(8)]), passes[1])
    other = Shapes(**SMALL, crop=True, flip=0.5, seed=43).split("train")
    assert not torch.equal(other[0].image, passes[0][0])


@pytest.mark.parametrize("split", ["val", "test"])
def test_everything_else_sees_the_middle_whatever_the_epoch(split):
    dataset = Shapes(**SMALL, crop=True, flip=1.0).split(split)
    assert dataset.image_size == 32
    for epoch in (0, 3):
        dataset.epoch.fill_(epoch)
        sample = dataset[1]
        assert torch.equal(sample.image, dataset.image(1)[:, 2:30, 2:30])
        assert torch.equal(sample.segmentation, dataset.segmentation(1)[:, 2:30, 2:30])
        assert sample.boxes.numel() == 0 or float(sample.boxes[:, 1:].max()) <= 28


def test_without_it_nothing_has_changed():
    """The augmentation that stopped runs go on with: the same six numbers of the same generator."""
    dataset = Shapes(**SMALL, flip=0.5, erase=0.5).split("train")
    for index in range(8):
        draw = torch.rand(6, generator=torch.Generator().manual_seed(derived_seed(42, 0, index))).tolist()
        flipped = dataset.image(index).flip(-1) if draw[0] < 0.5 else dataset.image(index)
        same = (dataset[index].image == flipped).float().mean()
        assert same == 1 if draw[1] >= 0.5 else same < 1


def test_photographs_and_their_boxes_in_batches(tmp_path):
    data = ImageNet(root=str(trees.imagenet_tree(tmp_path)), image_size=28, batch_size=2, num_workers=0, crop=True)
    for name in ("train", "val", "test"):
        batch = next(iter(data.loader(name)))
        assert batch.image.shape[1:] == (3, 28, 28)
        for boxes in batch.boxes or []:
            assert boxes.numel() == 0 or (float(boxes[:, 1:].min()) >= 0 and float(boxes[:, 1:].max()) <= 28)
