"""Images as they are read, what cannot be read, and what holds for every data set."""

import warnings

import pytest
import torch
from PIL import Image

from explainer.data import COCO, VOC, Folder, ImageNet, Shapes, collate
from explainer.data.base import open_rgb, pixels
from explainer.errors import InputError
from tests.support import trees

SMALL = {"image_size": 32, "batch_size": 4, "num_workers": 0}


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "LA", "1"])
def test_images_of_any_mode(tmp_path, mode):
    path = trees.photo(tmp_path / ("x.jpg" if mode == "CMYK" else "x.png"), mode=mode)
    assert pixels(open_rgb(path), 8).shape == (3, 8, 8)


def test_sixteen_bit_images_keep_their_brightness(tmp_path):
    Image.new("I;16", (4, 4), 32768).save(tmp_path / "x.png")
    assert pixels(open_rgb(tmp_path / "x.png"), 4).mean().item() == pytest.approx(0.5, abs=0.01)


def test_one_pixel_image(tmp_path):
    trees.photo(tmp_path / "x.png", size=(1, 1))
    assert pixels(open_rgb(tmp_path / "x.png"), 8).unique(dim=1).shape[1] == 1


def truncate(path):
    path.write_bytes(path.read_bytes()[:300])


def test_truncated_image_is_named_once_counted_and_skipped(tmp_path):
    truncate(trees.voc_tree(tmp_path) / "VOCdevkit/VOC2007/JPEGImages/000013.jpg")
    data = VOC(root=str(tmp_path), **SMALL)
    with pytest.warns(UserWarning, match="000013"):
        batch = next(iter(data.test_dataloader()))
    assert len(batch.id) == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert data.split("test")[0] is None
    assert data.split("test").unreadable == ["000013"]


def test_truncated_image_is_an_error_when_strict(tmp_path):
    truncate(trees.voc_tree(tmp_path) / "VOCdevkit/VOC2007/JPEGImages/000013.jpg")
    with pytest.raises(InputError, match="000013"):
        VOC(root=str(tmp_path), strict=True, **SMALL).split("test")[0]


def test_batch_of_unreadable_images_is_empty():
    assert collate([None, None]).id == []


@pytest.mark.parametrize("module", [COCO, ImageNet, Folder])
def test_missing_root_says_what_to_put_there(tmp_path, module):
    data = module(root=str(tmp_path / "nothing"), **SMALL)
    with pytest.raises(InputError, match="nothing") as caught:
        data.prepare_data()
    assert "\n" not in str(caught.value)


def test_augmentation_is_reproducible_and_keeps_truth_with_the_image():
    data = Shapes(**SMALL, flip=1.0, erase=0.5, train_images=4)
    train, plain = data.split("train"), Shapes(**SMALL, train_images=4).split("train")
    assert torch.equal(train[0].image, train[0].image)
    train.annotations = plain.annotations = True
    train.erase = 0.0
    assert torch.equal(train[1].image.flip(-1), plain[1].image)
    assert torch.equal(train[1].segmentation.flip(-1), plain[1].segmentation)
    x0, x1 = plain[1].boxes[:, 1], plain[1].boxes[:, 3]
    torch.testing.assert_close(train[1].boxes[:, [1, 3]], torch.stack([32 - x1, 32 - x0], 1))


def test_blank_images_have_their_mean_colour_and_no_labels():
    data = Shapes(**SMALL, blank=0.5, flip=0.5, train_images=40)
    train, plain = data.split("train"), Shapes(**SMALL, flip=0.5, train_images=40).split("train")
    blanks = 0
    for sample, untouched in zip(train, plain, strict=True):
        if torch.equal(sample.image, untouched.image):
            assert torch.equal(sample.labels, untouched.labels)
            continue
        blanks += 1
        torch.testing.assert_close(sample.image, untouched.image.mean((1, 2), keepdim=True).expand(3, 32, 32))
        assert not sample.labels.any()
    assert 8 < blanks < 32
    assert torch.equal(data.split("val")[0].image, Shapes(**SMALL).split("val")[0].image)
