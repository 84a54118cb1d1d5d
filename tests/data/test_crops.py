"""Crops of ImageNet's images by their boxes."""

import shutil

import pytest
import torch
from PIL import Image

from explainer.data import ImageNetCrops
from explainer.errors import InputError
from tests.support import trees

SMALL = {"image_size": 32, "batch_size": 4, "num_workers": 0}


def crops(root, **options):
    return ImageNetCrops(root=str(root), val_fraction=0.25, **SMALL, **options)


def test_crops_are_parts_of_the_image_and_move_with_the_epoch_in_training(tmp_path):
    data = crops(trees.imagenet_tree(tmp_path), crops=3, smallest=0.4)
    train, val = data.split("train"), data.split("val")
    assert (len(train), len(val), len(data.split("test"))) == (27, 3, 3)
    assert len(set(train.ids)) == 27
    assert train[0].image.shape == (3, 32, 32)
    assert train[0].labels.argmax() == train[2].labels.argmax()
    assert not torch.equal(train[0].image, train[1].image)
    before, seen = train[0].image, val[0].image
    assert torch.equal(before, train[0].image)
    train.epoch.fill_(1)
    val.epoch.fill_(1)
    assert not torch.equal(before, train[0].image)
    assert torch.equal(seen, val[0].image)
    assert {i.split("#")[0] for i in train.ids}.isdisjoint(i.split("#")[0] for i in val.ids)


def test_a_whole_crop_is_the_shorter_side(tmp_path):
    left, right = Image.new("RGB", (40, 30)), Image.new("RGB", (40, 30), "white")
    for index, picture in enumerate((left, right)):
        path = tmp_path / "train" / "n01440764" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.paste("red", (0, 0, 40, 10))
        picture.save(path)
    data = crops(tmp_path, crops=4, smallest=1.0)
    for sample in data.split("train"):
        assert sample.image[0, :10].mean() > 0.95  # the upper third is red whatever the crop
        assert sample.image[1, :10].mean() < 0.05


def test_crops_of_a_tree_without_train(tmp_path):
    root = trees.imagenet_tree(tmp_path, train=0, wnids=("n01440764", "n02123045", "n07753592", "n02085620"))
    shutil.rmtree(root / "train", ignore_errors=True)
    data = crops(root, crops=2)
    assert (len(data.split("train")), len(data.split("val"))) == (6, 1)
    assert data.split("val")[0].boxes is None


@pytest.mark.parametrize("options", [{"crops": 0}, {"smallest": 0.0}, {"smallest": 1.5}])
def test_crops_that_cannot_be(tmp_path, options):
    with pytest.raises(InputError, match=r"crops must be at least 1, smallest in \(0, 1\]"):
        crops(tmp_path, **options)
