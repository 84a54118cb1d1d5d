"""Boxes, masks and ids that cannot be: put right where it is clear what was meant, else refused by name beforehand."""

import gzip
import json
import os
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as run_lengths

from explainer.data import COCO, VOC, Folder, ImageNet, SmallImages
from explainer.data.annotations import check_box, turn_box
from explainer.data.coco_file import read_annotations, unpack
from explainer.errors import InputError
from explainer.experiments.retraining.rank_store import Ranks
from explainer.files.pictures import TURNS, turned
from tests.support import trees

SMALL = {"image_size": 32, "batch_size": 4, "num_workers": 0}


# -- boxes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_turn_as_pictures_do(orientation):
    drawn = np.zeros((40, 60), np.uint8)
    drawn[5:12, 10:45] = 1
    upright = np.asarray(turned(Image.fromarray(drawn), orientation))
    height, width = upright.shape
    x0, y0, x1, y1 = turn_box((10 / 60, 5 / 40, 45 / 60, 12 / 40), orientation)
    rows, columns = np.nonzero(upright)
    want = (columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height)
    assert (x0, y0, x1, y1) == pytest.approx(want)


def test_boxes_are_put_in_order_clipped_or_refused():
    assert check_box((30, 20, 10, 5), 40, 30, "a") == (10, 5, 30, 20)
    assert check_box((-1, -1, 41, 31), 40, 30, "a") == (0, 0, 40, 30)
    assert check_box((5, 5, 5, 20), 40, 30, "a") is None
    assert check_box((5, 5, 500, 20), 0, 0, "a") == (5, 5, 500, 20)
    for wrong in ((float("nan"), 0, 1, 1), (0, 0, float("inf"), 1), (40, 0, 50, 10), (-9, -9, 0, 0)):
        with pytest.raises(InputError, match=r"a\.xml: cat"):
            check_box(wrong, 40, 30, "a.xml: cat")


# -- COCO --------------------------------------------------------------------------------------------------------------


def coco(root, change=None, image=None, whole=None, photo=None, count=3, split="test"):
    """A tree of three photographs; one object a photograph, in its upper left quarter. Returns a split."""
    for part in ("train", "val"):
        images, items = [], []
        for i in range(count):
            path = trees.photo(root / f"{part}2017" / f"{i}.png", i)
            if photo:
                photo(path)
            images.append({"id": i + 1, "file_name": f"{i}.png", "width": 40, "height": 30} | (image or {}))
            images[-1] = {key: value for key, value in images[-1].items() if value != "absent"}
            item = {"id": i + 1, "image_id": i + 1, "category_id": 1, "iscrowd": 0, "bbox": [0, 0, 20, 15]}
            item["segmentation"] = [[0, 0, 20, 0, 20, 15, 0, 15]]
            item |= change or {}
            items.append({key: value for key, value in item.items() if value != "absent"})
        content = {
            "images": images,
            "annotations": items,
            "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
        }
        if whole:
            whole(content)
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"instances_{part}2017.json").write_text(json.dumps(content))
    return COCO(root=str(root), year="2017", **SMALL).split(split)


def test_coco_as_it_should_be(tmp_path):
    sample = coco(tmp_path)[0]
    assert sample.boxes.tolist() == [[0, 0, 0, 16, 16]]
    assert sample.segmentation[0, :16, :16].all()
    assert sample.segmentation.sum() == 256


@pytest.mark.parametrize("segmentation", ["absent", None, [], [[]], [[0, 0, 20, 15]]])
def test_coco_without_segmentation_has_boxes_and_labels(tmp_path, segmentation):
    sample = coco(tmp_path, {"segmentation": segmentation})[0]
    assert sample.segmentation is None
    assert sample.boxes.tolist() == [[0, 0, 0, 16, 16]]
    assert sample.labels.tolist() == [1, 0]


@pytest.mark.parametrize("bbox", ["absent", None, []])
def test_coco_without_boxes_takes_them_from_the_segmentation(tmp_path, bbox):
    assert coco(tmp_path, {"bbox": bbox})[0].boxes.tolist() == [[0, 0, 0, 16, 16]]


def test_coco_with_neither_has_labels(tmp_path):
    sample = coco(tmp_path, {"bbox": "absent", "segmentation": "absent"})[0]
    assert sample.boxes.shape == (0, 5)
    assert sample.labels.tolist() == [1, 0]


@pytest.mark.parametrize("size", ["absent", None, 0, "40"])
def test_coco_without_sizes_reads_them_from_the_pictures(tmp_path, size):
    height = "30" if size == "40" else size
    assert coco(tmp_path, image={"width": size, "height": height})[0].boxes.tolist() == [[0, 0, 0, 16, 16]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bbox": [0, 0, 20]}, "annotation 1 of 0.png: its bbox has 3 numbers"),
        ({"bbox": ["a", 0, 20, 15]}, r"annotations\.0\.bbox\.0: input should be a valid number"),
        ({"bbox": [float("nan"), 0, 20, 15]}, "annotation 1 of 0.png: it has the box"),
        ({"bbox": [0, 0, float("inf"), 15]}, "annotation 1 of 0.png: it has the box"),
        ({"bbox": [100, 0, 20, 15]}, "outside its image of 40 x 30"),
        ({"segmentation": [[0, 0, 20, 0, 20]]}, "pairs of finite numbers"),
        ({"segmentation": [[0, 0, 20, 0, 20, float("nan")]]}, "pairs of finite numbers"),
        ({"segmentation": [["a", 0, 20, 0, 20, 3]]}, r"annotations\.0\.segmentation"),
        ({"segmentation": [[0, 0, 1e9, 0, 1e9, 1e9]]}, "goes far beyond its image"),
        ({"segmentation": [[50, 50, 60, 50, 60, 60]]}, "a polygon lies outside"),
        ({"segmentation": {"size": [30, 40], "counts": [-5, 1205]}}, "do not fill"),
        ({"segmentation": {"size": [30, 40], "counts": [5, 5]}}, "do not fill"),
        ({"segmentation": {"size": [30, 40], "counts": "garbage"}}, "do not fill"),
        ({"segmentation": {"size": [30, 40], "counts": ""}}, "do not fill"),
        ({"segmentation": {"size": [30, 40], "counts": [2**40]}}, "do not fill"),
        ({"segmentation": {"size": [60, 40], "counts": [2400]}}, "are of 40 x 60 pixels"),
        ({"segmentation": {"size": [10**10, 1], "counts": [10**10]}}, "cannot be of"),
        ({"segmentation": {"size": [0, 0], "counts": []}}, "cannot be of"),
        ({"segmentation": "text"}, r"annotations\.0\.segmentation"),
        ({"category_id": 9}, "unknown category 9"),
        ({"category_id": "absent"}, r"annotations\.0\.category_id"),
        ({"image_id": "absent"}, r"annotations\.0\.image_id"),
        ({"image_id": 99}, "no annotation names an image"),
    ],
)
def test_coco_annotations_that_cannot_be_are_refused_by_name(tmp_path, change, words):
    with pytest.raises(InputError, match=words) as caught:
        coco(tmp_path, change)
    assert "\n" not in str(caught.value)
    assert "instances_" in str(caught.value)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ({"file_name": "absent"}, r"images\.0\.file_name"),
        ({"file_name": 7}, r"images\.0\.file_name"),
        ({"file_name": "0.png"}, "image 0.png stands twice"),
        ({"id": 1}, "image id 1 stands twice"),
        ({"width": -4}, "cannot have -4 x 30"),
        ({"width": "wide"}, "size that is no number"),
        ({"width": 10**6, "height": 10**6}, "cannot have"),
    ],
)
def test_coco_images_that_cannot_be_are_refused_by_name(tmp_path, image, words):
    with pytest.raises(InputError, match=words):
        coco(tmp_path, image=image)


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
def test_coco_files_of_another_form_are_refused_in_one_line(tmp_path, key):
    for number, content in enumerate(("absent", None, 5, [5], {"a": 1})):
        path = tmp_path / str(number)
        path.mkdir()
        with pytest.raises(InputError, match="not a COCO annotation file") as caught:
            coco(path, whole=lambda c, value=content: c.pop(key) if value == "absent" else c.update({key: value}))
        assert "\n" not in str(caught.value)


def test_coco_that_is_nested_too_deeply(tmp_path):
    coco(tmp_path)
    (tmp_path / "annotations/instances_train2017.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="not a COCO annotation file"):
        COCO(root=str(tmp_path), year="2017", **SMALL).split("train")


def test_coco_ids_as_text_are_joined_with_numbers(tmp_path):
    def texts(content):
        for item in content["annotations"]:
            item["image_id"] = str(item["image_id"])

    assert [coco(tmp_path, whole=texts)[i].labels.tolist() for i in range(3)] == [[1, 0]] * 3


def test_coco_annotations_of_no_image_are_counted_and_named(tmp_path):
    def lost(content):
        content["annotations"][1]["image_id"] = 99

    with pytest.warns(UserWarning, match=r"1 annotations name no image and are left out, such as annotation 2"):
        dataset = coco(tmp_path, whole=lost)
    assert [dataset[i].labels.sum().item() for i in range(3)] == [1, 0, 1]


def test_coco_boxes_without_area_are_counted_and_left_out(tmp_path):
    with pytest.warns(UserWarning, match=r"3 boxes have no area and are left out, such as annotation 1 of 0\.png"):
        sample = coco(tmp_path, {"bbox": [3, 3, 0, 5]})[0]
    assert sample.boxes.shape == (0, 5)
    assert sample.labels.tolist() == [1, 0]


def test_coco_reversed_boxes_are_put_in_order(tmp_path):
    assert coco(tmp_path, {"bbox": [20, 15, -20, -15]})[0].boxes.tolist() == [[0, 0, 0, 16, 16]]


@pytest.mark.parametrize("orientation", TURNS)
def test_coco_annotations_of_the_stored_picture_turn_with_it(tmp_path, orientation):
    def sideways(path):
        image = Image.open(path)
        exif = image.getexif()
        exif[0x0112] = orientation
        image.save(path, exif=exif)

    (tmp_path / "a").mkdir()
    sample = coco(tmp_path / "a", photo=sideways)[0]
    drawn = np.zeros((2, 2), np.uint8)
    drawn[0, 0] = 1
    # an orientation that keeps width and height cannot be told by them: annotations are taken to be upright
    upright = np.asarray(turned(Image.fromarray(drawn), orientation)) if orientation >= 5 else drawn
    assert np.array_equal(sample.segmentation[0, 8::16, 8::16].numpy(), upright)
    y, x = np.argwhere(upright)[0]
    assert sample.boxes.tolist() == [[0, 16 * x, 16 * y, 16 * x + 16, 16 * y + 16]]
    if orientation >= 5:
        (tmp_path / "b").mkdir()
        polygon = [[0, 0, 15, 0, 15, 20, 0, 20]]
        change = {"bbox": [0, 0, 15, 20], "segmentation": polygon}
        sample = coco(tmp_path / "b", change, image={"width": 30, "height": 40}, photo=sideways)[0]
        assert sample.boxes.tolist() == [[0, 0, 0, 16, 16]]
        assert sample.segmentation[0, :16, :16].all()


def test_run_lengths_are_unpacked_as_pycocotools_does():
    for seed in range(20):
        drawn = np.asfortranarray(np.random.default_rng(seed).random((300, 200)) < 0.02 * seed, np.uint8)
        packed = run_lengths.encode(drawn)["counts"].decode()
        flat = drawn.flatten(order="F")
        edges = np.flatnonzero(np.diff(flat)) + 1
        want = np.diff([0, *edges, flat.size]).tolist()
        assert unpack(packed) == ([0, *want] if flat[0] else want)
    assert unpack("52203") == [5, 2, 2, 2, 5]


# -- VOC and ImageNet --------------------------------------------------------------------------------------------------


def voc(root, name="000013"):
    return trees.voc_tree(root) / f"VOCdevkit/VOC2007/Annotations/{name}.xml"


def voc_sample(root):
    return VOC(root=str(root), **SMALL).split("test")[0]


def test_voc_boxes_are_put_in_order_and_clipped(tmp_path):
    trees.xml(voc(tmp_path), [("cat", False, (20, 15, 1, 1)), ("dog", False, (21, 16, 60, 33))])
    assert voc_sample(tmp_path).boxes.tolist() == [[7, 0, 0, 16, 16], [11, 16, 16, 32, 32]]


@pytest.mark.parametrize("size", [(0, 0), ("", "")])
def test_voc_sizes_that_are_not_given_are_read_from_the_picture(tmp_path, size):
    trees.xml(voc(tmp_path), [("cat", False, (1, 1, 20, 15))], size)
    assert voc_sample(tmp_path).boxes.tolist() == [[7, 0, 0, 16, 16]]
    trees.xml(voc(tmp_path), [("cat", False, (100, 100, 120, 115))], size)
    with pytest.raises(InputError, match=r"000013\.xml: cat has the box .* outside"):
        voc_sample(tmp_path)


@pytest.mark.parametrize(
    ("box", "size"),
    [
        (("nan", 1, 20, 15), (40, 30)),
        (("inf", 1, 20, 15), (40, 30)),
        (("", 1, 20, 15), (40, 30)),
        ((100, 1, 120, 15), (40, 30)),
        ((1, 1, 20, 15), (-40, 30)),
        ((1, 1, 20, 15), ("nan", 30)),
        ((1, 1, 20, 15), (40.5, 30)),
    ],
)
def test_voc_annotations_that_cannot_be_are_refused_by_name(tmp_path, box, size):
    trees.xml(voc(tmp_path), [("cat", False, box)], size)
    with pytest.raises(InputError, match=r"000013\.xml") as caught:
        voc_sample(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"<a>", b'<?xml version="1.0" encoding="foo-9"?><a/>', b"\xff\xfe\x00"])
def test_voc_annotations_that_are_no_xml(tmp_path, content):
    voc(tmp_path).write_bytes(content)
    with pytest.raises(InputError, match=r"cannot read annotation .*000013\.xml"):
        voc_sample(tmp_path)


def test_voc_lists_that_name_an_image_twice_or_are_no_text(tmp_path):
    voc(tmp_path)
    path = tmp_path / "VOCdevkit/VOC2007/ImageSets/Main/test.txt"
    path.write_text("000013\n000013\n")
    with pytest.raises(InputError, match="image 000013 is listed twice"):
        voc_sample(tmp_path)
    path.write_bytes("﻿000013\n".encode())
    assert voc_sample(tmp_path).id == "000013"
    path.write_bytes(b"\xff000013\n")
    with pytest.raises(InputError, match=r"test\.txt is not UTF-8"):
        voc_sample(tmp_path)


def test_imagenet_boxes_are_checked_beforehand(tmp_path):
    root = trees.imagenet_tree(tmp_path)
    trees.xml(next((root / "Annotations/CLS-LOC/val").iterdir()), [("n01440764", False, (90, 90, 99, 99))])
    with pytest.raises(InputError, match=r"ILSVRC2012_val_.*\.xml: n01440764 has the box"):
        ImageNet(root=str(root), **SMALL).split("test")


# -- masks -------------------------------------------------------------------------------------------------------------


def masked(root, make):
    """A folder of classes whose test image has a mask: class 2 in its upper left quarter."""
    data = Folder(root=str(trees.folder_tree(root)), **SMALL)
    name = data.split("test").ids[0]
    path = (root / "masks" / name).with_suffix(".png")
    path.parent.mkdir(parents=True)
    drawn = np.zeros((30, 40), np.uint8)
    drawn[:15, :20] = 2
    make(drawn, path)
    return Folder(root=str(root), masks="masks", **SMALL)


MEANT = {
    "grey": lambda drawn, path: Image.fromarray(drawn).save(path),
    "palette": lambda drawn, path: Image.fromarray(drawn).convert("P").save(path),
    "LA": lambda drawn, path: Image.merge("LA", [Image.fromarray(drawn)] * 2).save(path),
    "16 bit": lambda drawn, path: Image.fromarray(drawn.astype(np.uint16)).save(path),
    "RGB of equal channels": lambda drawn, path: Image.merge("RGB", [Image.fromarray(drawn)] * 3).save(path),
    "twice as large": lambda drawn, path: Image.fromarray(drawn).resize((80, 60), 0).save(path),
    "of the data's size": lambda drawn, path: Image.fromarray(drawn).resize((32, 32), 0).save(path),
}


def colours(drawn, path):
    Image.merge("RGB", [Image.fromarray(channel) for channel in (drawn, drawn * 0, drawn)]).save(path)


WRONG = {
    "colours": (colours, "holds colours"),
    "class index": (lambda drawn, path: Image.fromarray(drawn * 39).save(path), "holds 78, and there are 2 classes"),
    "16 bit": (lambda drawn, path: Image.fromarray(drawn.astype(np.uint16) * 1000).save(path), "holds 2000"),
    "format": (lambda drawn, path: Image.fromarray(drawn.T).resize((10, 90)).save(path), "cannot be laid on"),
}
DAMAGED = {
    "text": lambda drawn, path: path.write_text("hello"),
    "empty": lambda drawn, path: path.write_bytes(b""),
    "pipe": lambda drawn, path: os.mkfifo(path),
}


@pytest.mark.parametrize("kind", MEANT)
def test_masks_are_read_where_it_is_clear_what_is_meant(tmp_path, kind):
    sample = masked(tmp_path, MEANT[kind]).split("test")[0]
    assert sample.segmentation[1, :15, :15].all()
    assert sample.segmentation.sum() == 256


@pytest.mark.parametrize("kind", WRONG)
def test_masks_that_are_none_are_refused_by_name_before_any_work(tmp_path, kind):
    make, words = WRONG[kind]
    with pytest.raises(InputError, match=rf"mask .*\.png .*{words}"):
        masked(tmp_path, make).split("test")


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_mask_is_named_and_its_image_skipped(tmp_path, kind):
    data = masked(tmp_path, DAMAGED[kind])
    with pytest.warns(UserWarning, match=r"skipping unreadable image .*cannot read mask"):
        batches = list(data.test_dataloader())
    assert sum(len(batch.id) for batch in batches) == 1
    assert len(data.split("test").unreadable) == 1
    with pytest.raises(InputError, match="cannot read mask"):
        Folder(root=str(tmp_path), masks="masks", strict=True, **SMALL).split("test")


# -- nothing can be read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"text", bytes(500)])
def test_a_split_of_which_nothing_can_be_read_is_refused_with_the_first_error(tmp_path, content):
    for path in trees.folder_tree(tmp_path).rglob("*.png"):
        path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=r"train split of Folder .*none of its 16 images.*cat/\d\.png") as caught:
            Folder(root=str(tmp_path), **SMALL).split("train")
    assert "\n" not in str(caught.value)


def test_half_of_a_split_that_cannot_be_read_is_skipped_and_named(tmp_path):
    for path in sorted(trees.folder_tree(tmp_path).rglob("*.png"))[::2]:
        path.write_bytes(b"")
    data = Folder(root=str(tmp_path), **SMALL)
    with pytest.warns(UserWarning, match="skipping unreadable image"):
        seen = sum(len(batch.id) for batch in data.train_dataloader())
    assert 0 < seen == len(data.split("train")) - len(data.split("train").unreadable)


# -- numbers that the user gives ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "option",
    [
        {"flip": 2.0}, {"flip": -1.0}, {"flip": float("nan")}, {"erase": 7.0}, {"num_workers": -1}, {"seed": -1},
        {"seed": 2**32}, {"batch_size": 0}, {"image_size": 0}, {"image_size": 100_000},
    ],
)  # fmt: skip
def test_numbers_that_cannot_be_are_refused_by_their_key(tmp_path, option):
    with pytest.raises(InputError, match=rf"data\.init_args\.{next(iter(option))} must"):
        Folder(root=str(tmp_path), **SMALL | option)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, float("nan")])
def test_fractions_that_cannot_be(tmp_path, fraction):
    with pytest.raises(InputError, match=r"data\.init_args\.val_fraction must"):
        ImageNet(root=str(tmp_path), val_fraction=fraction, **SMALL)


def test_an_absurd_number_of_workers_is_cut_and_said(tmp_path):
    with pytest.warns(UserWarning, match="num_workers 5000 is too many"):
        data = Folder(root=str(tmp_path), **SMALL | {"num_workers": 5000})
    assert data.num_workers == 4 * os.cpu_count()


# -- files that a kill tore --------------------------------------------------------------------------------------------


def small(root):
    data = SmallImages(root=str(root), **SMALL | {"image_size": 28})
    data.prepare_data()
    return data


def test_a_torn_raw_file_is_unpacked_again(tmp_path):
    trees.fashion_tree(tmp_path)
    whole = torch.stack([small(tmp_path).split("train")[i].image for i in range(3)])
    for content in (b"", b"\0\0\x08", None):
        raw = tmp_path / "FashionMNIST/raw/train-images-idx3-ubyte"
        raw.write_bytes(raw.read_bytes()[:500] if content is None else content)
        assert torch.equal(torch.stack([small(tmp_path).split("train")[i].image for i in range(3)]), whole)


@pytest.mark.parametrize("content", ["text", "torn", "huge", "other"])
def test_a_packed_file_that_cannot_be_is_refused_by_name(tmp_path, content):
    path = trees.fashion_tree(tmp_path) / "train-images-idx3-ubyte.gz"
    head = b"\0\0\x08\x01"
    contents = {
        "text": b"hello",
        "torn": path.read_bytes()[:2000],
        "huge": gzip.compress(head + b"\xff\xff\xff\xff" + bytes(1000)),
        "other": gzip.compress(head + b"\0\0\0\x05" + bytes(1000)),
    }
    path.write_bytes(contents[content])
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte\.gz") as caught:
        small(tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "FashionMNIST/raw/train-images-idx3-ubyte").exists()


def test_torn_ranks_are_made_again_and_said(tmp_path):
    for name, content in (("train.json", ""), ("train.json", "{"), ("train.json", "[]"), ("train.npy", "")):
        ranks = Ranks(tmp_path, "train")
        ranks.create(["a", "b"], 4, {"name": "x"})
        ranks.write(0, torch.ones(2, 4, 4, dtype=torch.uint8), 1.0)
        ranks.finish((0.1, 0.2, 0.3))
        (tmp_path / name).write_text(content)
        with pytest.raises(InputError, match="is torn: delete it"):
            Ranks(tmp_path, "train").open(["a", "b"], 4)
        with pytest.warns(UserWarning, match="the ranks are made again"):
            assert Ranks(tmp_path, "train").create(["a", "b"], 4, {"name": "x"}) == 0


def test_annotations_are_read_in_the_order_of_their_ids(tmp_path):
    coco(tmp_path)
    content = json.loads((tmp_path / "annotations/instances_val2017.json").read_text())
    content["images"].reverse()
    (tmp_path / "again.json").write_text(json.dumps(content))
    assert [photo.file_name for photo in read_annotations(tmp_path / "again.json").photos] == [
        "0.png",
        "1.png",
        "2.png",
    ]
