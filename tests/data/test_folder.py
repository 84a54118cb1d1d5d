"""Folders and CSVs: what is an image, a class, a split."""

import os

import numpy as np
import pytest
from PIL import Image

from explainer.data import Folder, ImageNet
from explainer.data.listing import list_folders
from explainer.errors import InputError
from tests.support import trees

SMALL = {"image_size": 32, "batch_size": 4, "num_workers": 0}


def folder(root, **options):
    return Folder(root=str(root), **SMALL, **options)


def paths(root):
    return [item.path for item in list_folders(root)]


# -- what is an image, a class, a split --------------------------------------------------------------------------------


def test_hidden_entries_are_passed_over(tmp_path):
    trees.folder_tree(tmp_path, count=2)
    whole = paths(tmp_path)
    for hidden in (".ipynb_checkpoints/0-checkpoint.png", "cat/.ipynb_checkpoints/1.png", "__MACOSX/cat/0.png"):
        trees.photo(tmp_path / hidden)
    (tmp_path / "cat" / "._0.png").write_bytes(b"\0\5\x16\7")
    (tmp_path / "Thumbs.db").write_bytes(b"")
    (tmp_path / "cat" / "desktop.ini").write_bytes(b"")
    assert paths(tmp_path) == whole
    assert folder(tmp_path).classes == ("cat", "dog")


def test_pipes_broken_links_and_loops_are_passed_over(tmp_path):
    trees.folder_tree(tmp_path, count=2)
    whole = paths(tmp_path)
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    (tmp_path / "cat" / "broken.png").symlink_to(tmp_path / "nothing.png")
    (tmp_path / "cat" / "self.png").symlink_to("self.png")
    (tmp_path / "cat" / "loop").symlink_to(tmp_path)
    (tmp_path / "loop").symlink_to(tmp_path)
    assert paths(tmp_path) == whole


def test_links_to_folders_and_files_are_followed(tmp_path):
    root = trees.folder_tree(tmp_path / "root", classes=("cat",), count=2)
    trees.folder_tree(tmp_path / "elsewhere", classes=("dog",), count=2)
    (root / "dog").symlink_to(tmp_path / "elsewhere" / "dog")
    (root / "cat" / "linked.png").symlink_to(tmp_path / "elsewhere" / "dog" / "0.png")
    assert paths(root) == ["cat/0.png", "cat/1.png", "cat/linked.png", "dog/0.png", "dog/1.png"]


def test_folders_named_like_images_are_folders(tmp_path):
    trees.photo(tmp_path / "cat" / "x.png" / "0.png")
    assert paths(tmp_path) == ["cat/x.png/0.png"]


def test_the_folder_of_the_masks_is_no_class(tmp_path):
    trees.folder_tree(tmp_path, count=2)
    trees.folder_tree(tmp_path / "masks", count=2)
    assert folder(tmp_path, masks="masks").classes == ("cat", "dog")
    assert folder(tmp_path, masks="./masks/").classes == ("cat", "dog")


@pytest.mark.parametrize("name", ["train", "test", "val", "valid", "Training"])
def test_a_class_may_be_called_like_a_split(tmp_path, name):
    trees.folder_tree(tmp_path, classes=("bus", name))
    assert set(folder(tmp_path).classes) == {"bus", name}


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("train", "valid", "test"), ("Training", "validation", "Testing")]
)
def test_splits_have_the_names_that_labelling_tools_give(tmp_path, names):
    trees.folder_tree(tmp_path, count=3, splits=names)
    trees.photo(tmp_path / "readme.png")
    data = folder(tmp_path)
    assert data.classes == ("cat", "dog")
    for split, name in zip(("train", "val", "test"), names):
        assert data.split(split).ids == [f"{name}/{c}/{k}.png" for c in ("cat", "dog") for k in range(3)]


def test_a_folder_beside_the_splits_is_no_split_and_no_class(tmp_path):
    trees.folder_tree(tmp_path, count=3, splits=("train", "val", "test", "extra"))
    assert len(folder(tmp_path).items) == 18


def test_a_missing_split_is_made_from_what_is_there_and_said(tmp_path, caplog):
    trees.folder_tree(tmp_path / "a", splits=("train",))
    data = folder(tmp_path / "a")
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [16, 2, 2]
    trees.folder_tree(tmp_path / "b", splits=("train", "test"))
    data = folder(tmp_path / "b")
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [18, 2, 20]
    assert data.split("val").ids[0].startswith("train/")
    trees.folder_tree(tmp_path / "c", splits=("train", "val"))
    data = folder(tmp_path / "c")
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [20, 20, 20]
    assert data.split("val").ids == data.split("test").ids


def test_imagenet_passes_over_what_is_hidden_or_no_file(tmp_path):
    root = trees.imagenet_tree(tmp_path)
    (root / "val" / ".ipynb_checkpoints").mkdir()
    (root / "val" / "n01440764" / "._x.JPEG").write_bytes(b"")
    os.mkfifo(root / "val" / "n01440764" / "pipe.JPEG")
    assert len(ImageNet(root=str(root), **SMALL).split("test")) == 3


# -- CSV ---------------------------------------------------------------------------------------------------------------


def table(root, text, encoding="utf-8"):
    for name in "abc":
        trees.photo(root / f"{name}.png")
    (root / "x.csv").write_bytes(text.encode(encoding))
    return folder(root, csv="x.csv")


def test_a_csv_in_long_format_is_joined(tmp_path):
    data = table(tmp_path, "path,labels,split\na.png,cat,test\na.png,dog,test\n./a.png,cow,test\nb.png,dog,test\n")
    assert [(item.path, item.labels) for item in data.items] == [
        ("a.png", ("cat", "cow", "dog")),
        ("b.png", ("dog",)),
    ]
    assert data.multilabel


def test_absolute_paths_are_the_same_images_and_have_the_same_masks(tmp_path):
    data = table(tmp_path, f"path,labels,split\n{tmp_path}/a.png,cat,test\na.png,dog,test\nb.png,dog,test\n")
    assert [item.labels for item in data.items] == [("cat", "dog"), ("dog",)]
    (tmp_path / "masks").mkdir()
    Image.new("L", (40, 30), 1).save(tmp_path / "masks/a.png")
    dataset = folder(tmp_path, csv="x.csv", masks="masks").split("test")
    assert dataset.segmentation(0)[0].all()
    assert dataset.segmentation(1) is None


def test_an_image_in_two_splits_is_said(tmp_path):
    with pytest.warns(UserWarning, match=r"1 images are in several splits, such as a\.png"):
        assert len(table(tmp_path, "path,labels,split\na.png,cat,test\na.png,cat,train\n").items) == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_csv_of_any_marked_encoding(tmp_path, encoding):
    assert table(tmp_path, "path,labels\na.png,Kühe\n", encoding).classes == ("Kühe",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "'path' is missing"),
        ("path;labels\na.png;cat\n", "'path' is missing"),
        ("path,labels,split\na.png,cat,train\nb.png,cat,\n", "line 3: some lines have a split"),
        ("path,labels,split\na.png,cat,\nb.png,cat,train\n", "line 3: some lines have a split"),
        ("path,labels,split\na.png,cat,dev\n", "line 2: split 'dev'"),
        ("path,labels\na.png\n", "line 2: not as many columns"),
        ("path,labels\na.png,cat,dog\n", "line 2: not as many columns"),
        ("path,labels\n,cat\n", "line 2: no image"),
        ("path,labels\nmissing.png,cat\n", "line 2: no image"),
        ("path,labels\n" + "x" * 5000 + ".png,cat\n", "line 2: no image"),
    ],
)
def test_a_csv_that_cannot_be_is_refused_with_its_line(tmp_path, text, words):
    with pytest.raises(InputError, match=words) as caught:
        _ = table(tmp_path, text).classes
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["path,labels\na.png,Kühe\n".encode("latin-1"), bytes(range(256))])
def test_a_csv_that_is_no_utf8(tmp_path, content):
    table(tmp_path, "")
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.csv is not UTF-8"):
        _ = folder(tmp_path, csv="x.csv").classes


def test_a_csv_with_a_field_of_many_labels(tmp_path):
    labels = ";".join(f"class{i:06d}" for i in range(20_000))
    assert len(table(tmp_path, f"path,labels\na.png,{labels}\n").classes) == 20_000


def test_a_csv_without_any_label(tmp_path):
    with pytest.raises(InputError, match=r"no image in .* has a label"):
        _ = table(tmp_path, "path,labels\na.png,\nb.png,\n").classes


@pytest.mark.parametrize("names", [["cat", "cat"], ["cat", 7], [""], []])
def test_class_names_that_cannot_be(tmp_path, names):
    with pytest.raises(InputError, match=r"data\.init_args\.class_names"):
        folder(tmp_path, class_names=names)


SMALL = {"image_size": 32, "batch_size": 4, "num_workers": 0}


def test_folder_of_classes_is_split_by_seed(tmp_path):
    data = Folder(root=str(trees.folder_tree(tmp_path)), **SMALL)
    assert data.classes == ("cat", "dog")
    assert not data.multilabel
    ids = [set(data.split(s).ids) for s in ("train", "val", "test")]
    assert [len(i) for i in ids] == [16, 2, 2]
    assert len(set.union(*ids)) == 20


def test_folder_with_the_classifiers_own_order_of_classes(tmp_path):
    root, names = str(trees.folder_tree(tmp_path)), ["dog", "bird", "cat"]
    data = Folder(root=root, class_names=names, **SMALL)
    assert data.classes == ("dog", "bird", "cat")
    assert data.split("val").labels(0).tolist() == [0, 0, 1]
    with pytest.raises(InputError, match=r"class 'cat' of images in .* is not among class_names"):
        _ = Folder(root=root, class_names=["dog"], **SMALL).classes


def test_folder_of_splits(tmp_path):
    data = Folder(root=str(trees.folder_tree(tmp_path, count=3, splits=("train", "val", "test"))), **SMALL)
    assert data.split("val").ids[0] == "val/cat/0.png"
    assert data.split("val").labels(0).tolist() == [1, 0]


def test_folder_from_csv_with_masks(tmp_path):
    rows = [("a.png", "cat;dog", "train"), ("b.png", "", "val"), ("c.png", "dog", "test")]
    trees.csv_tree(tmp_path, rows)
    (tmp_path / "masks").mkdir()
    Image.new("L", (40, 30), 2).save(tmp_path / "masks/c.png")
    data = Folder(root=str(tmp_path), csv="images.csv", masks="masks", **SMALL)
    assert data.multilabel
    assert data.split("train").labels(0).tolist() == [1, 1]
    assert data.split("val").labels(0).tolist() == [0, 0]
    assert data.split("test")[0].segmentation.float().mean((1, 2)).tolist() == [0, 1]


def test_csv_that_names_a_missing_image(tmp_path):
    trees.csv_tree(tmp_path, [("a.png", "cat", "train")])
    (tmp_path / "a.png").unlink()
    with pytest.raises(InputError, match=r"line 2.*a\.png"):
        _ = Folder(root=str(tmp_path), csv="images.csv", **SMALL).classes


# -- channels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 4, 13])
def test_images_keep_their_channels_and_all_sixteen_bits(tmp_path, channels):
    tifffile = pytest.importorskip("tifffile")
    values = np.random.default_rng(0).integers(0, 2**16, (channels, 32, 32), dtype=np.uint16)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "0.tif", values.squeeze(), photometric="minisblack")
    sample = folder(tmp_path, channels=channels).build("train")[0]
    np.testing.assert_array_equal(sample.image.numpy(), (values / 65535).astype(np.float32))


def test_images_of_other_channels_are_one_line(tmp_path):
    trees.folder_tree(tmp_path, count=5)
    with pytest.raises(InputError, match=r"none of its 8 images can be read; the first: .* 3 channels") as refused:
        folder(tmp_path, channels=4).split("train")
    assert "\n" not in str(refused.value)
    with pytest.raises(InputError, match=r"channels"):
        folder(tmp_path, channels=0)
