"""Shards of WebDataset and tables of Hugging Face: the same batches as from files, each image once, in any order."""

import io
import json
import os
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from explainer.data import Folder, Shards, Table
from explainer.data.hugging_face import parquet_files
from explainer.data.shards import list_members, members_of, split_name
from explainer.errors import InputError

SMALL = {"image_size": 16, "batch_size": 4, "num_workers": 0}
CLASSES = ("cat", "dog", "cow")


def jpeg(seed, size=(24, 20)):
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(noise).save(content, "JPEG")
    return content.getvalue()


def shards(root, counts, label="cls"):
    """Written by WebDataset itself."""
    webdataset = pytest.importorskip("webdataset")
    root.mkdir(exist_ok=True)
    (root / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    number = 0
    for name, count in counts.items():
        with webdataset.TarWriter(str(root / f"{name}.tar")) as writer:
            for _ in range(count):
                value = number % 3 if label == "cls" else {"label": number % 3, "url": "x"}
                writer.write({"__key__": f"n{number:04d}", "jpg": jpeg(number), label: value})
                number += 1
    return root


def folder(root, count):
    """The same photographs as files."""
    for number in range(count):
        path = root / "train" / CLASSES[number % 3] / f"n{number:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(number))
    return root


@pytest.mark.parametrize("label", ["cls", "json"])
def test_an_image_of_a_shard_is_that_of_its_file(tmp_path, label):
    root = shards(tmp_path / "shards", {"in-train-000": 5, "in-train-001": 4, "in-val-000": 3}, label)
    packed = Shards(root=str(root), val_fraction=0.25, **SMALL)
    assert packed.classes == CLASSES
    assert not packed.multilabel
    sizes = [len(packed.split(name)) for name in ("train", "val", "test")]
    assert sizes == [7, 2, 3]
    ids = [*packed.split("train").ids, *packed.split("val").ids]
    assert sorted(ids) == [f"in-train-{n // 5:03d}/n{n:04d}" for n in range(9)]
    files = folder(tmp_path / "files", 12)
    unpacked = Folder(root=str(files), class_names=list(CLASSES), **SMALL)
    of_file = {}
    for name in ("train", "val", "test"):
        for sample in unpacked.split(name):
            of_file[sample.id.split("/")[-1].removesuffix(".jpg")] = sample
    for name in ("train", "val", "test"):
        for sample in packed.split(name):
            twin = of_file[sample.id.split("/")[-1]]
            assert torch.equal(sample.image, twin.image)
            assert sample.labels.tolist() == twin.labels.tolist()


def test_every_image_once_an_epoch_and_a_resumed_one_goes_on(tmp_path):
    root = shards(tmp_path / "shards", {"train-0": 6, "train-1": 7, "val-0": 2})
    data = Shards(root=str(root), val_fraction=0.08, **SMALL)
    seen = [name for batch in data.train_dataloader() for name in batch.id]
    assert len(seen) == len(set(seen)) == 12
    loader = data.train_dataloader()
    loader.batch_sampler.order.skip_images(4)
    assert [name for batch in loader for name in batch.id] == seen[4:]


def test_several_workers_read_the_same(tmp_path):
    root = shards(tmp_path / "shards", {"train-0": 9, "val-0": 4})
    alone = next(iter(Shards(root=str(root), **SMALL).test_dataloader()))
    several = next(iter(Shards(root=str(root), **{**SMALL, "num_workers": 2}).test_dataloader()))
    assert alone.id == several.id
    assert torch.equal(alone.image, several.image)


def test_the_list_of_a_shard_is_kept_and_made_again_for_another_file(tmp_path):
    shard = shards(tmp_path, {"train-0": 3}) / "train-0.tar"
    members = members_of(shard)
    kept = tmp_path / "train-0.tar.members.json"
    content = json.loads(kept.read_text())
    assert [row[0] for row in content["members"]] == ["n0000", "n0001", "n0002"]
    content["members"] = content["members"][:1]
    kept.write_text(json.dumps(content))
    assert members_of(shard) == members[:1]  # the list, not the file
    os.utime(shard, ns=(1, 1))
    assert members_of(shard) == members
    kept.write_text("{")
    assert members_of(shard) == members


def test_names_are_split_as_webdataset_splits_them():
    assert split_name("a/b.c/d.e.f") == ("a/b.c/d", "e.f")
    assert split_name("plain") == ("plain", "")


def write_tar(path, members):
    with tarfile.open(path, "w") as file:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"a.jpg": b"x"}, "sample a has an image and no label"),
        ({"a.jpg": b"x", "a.cls": b"dog"}, r"a\.cls holds no index"),
        ({"a.jpg": b"x", "a.cls": b"-1"}, r"a\.cls holds no index"),
        ({"a.jpg": b"x", "a.cls": b"true"}, r"a\.cls holds no index"),
        ({"a.jpg": b"x", "a.json": b'{"name": "dog"}'}, r"a\.json holds no index"),
    ],
)
def test_a_shard_whose_labels_cannot_be_told(members, words, tmp_path):
    with pytest.raises(InputError, match=words):
        list_members(write_tar(tmp_path / "train.tar", members))


def test_what_is_no_shard(tmp_path):
    (tmp_path / "train.tar").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"train\.tar is no plain tar file .*must not be compressed"):
        list_members(tmp_path / "train.tar")
    with tarfile.open(tmp_path / "z-train.tar", "w:gz") as file:
        file.addfile(tarfile.TarInfo("a.cls"))
    with pytest.raises(InputError, match="must not be compressed"):
        list_members(tmp_path / "z-train.tar")
    with pytest.raises(InputError, match="no shard "):
        Shards(root=str(tmp_path), test="none*.tar", **SMALL).split("test")
    with pytest.raises(InputError, match="val_fraction must lie between 0 and 1"):
        Shards(val_fraction=1.0)


def test_labels_beyond_the_classes_and_names_that_stand_twice(tmp_path):
    write_tar(tmp_path / "train.tar", {"a.jpg": jpeg(0), "a.cls": b"3"})
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    with pytest.raises(InputError, match=r"sample a is of class 3, and there are 2 classes: put their names into"):
        Shards(root=str(tmp_path), test="train.tar", **SMALL).split("test")
    (tmp_path / "classes.txt").write_text("cat\ncat\n")
    with pytest.raises(InputError, match="none of them twice"):
        _ = Shards(root=str(tmp_path), **SMALL).classes
    (tmp_path / "classes.txt").unlink()
    assert len(Shards(root=str(tmp_path), **SMALL).classes) == 1000


def test_a_damaged_image_is_skipped_and_named(tmp_path):
    write_tar(tmp_path / "val.tar", {"a.jpg": jpeg(0), "a.cls": b"0", "b.jpg": b"x", "b.cls": b"1"})
    data = Shards(root=str(tmp_path), **SMALL)
    with pytest.warns(UserWarning, match="skipping unreadable image val/b: cannot read image val/b: it is no picture"):
        (batch,) = data.test_dataloader()
    assert batch.id == ["val/a"]
    assert data.split("test").unreadable == ["val/b"]


def table(rows, multilabel=False):
    datasets = pytest.importorskip("datasets")
    label = datasets.ClassLabel(names=list(CLASSES))
    features = datasets.Features({"image": datasets.Image(), "label": [label] if multilabel else label})
    content = {
        "image": [{"bytes": jpeg(n), "path": None} for n in rows],
        "label": [[n % 3] if multilabel else n % 3 for n in rows],
    }
    return datasets.Dataset.from_dict(content, features=features)


def test_an_image_of_a_table_is_that_of_its_file(tmp_path):
    datasets = pytest.importorskip("datasets")
    tables = datasets.DatasetDict({"train": table(range(8)), "validation": table(range(8, 12))})
    tables.save_to_disk(str(tmp_path / "table"))
    data = Table(root=str(tmp_path / "table"), val_fraction=0.25, **SMALL)
    assert data.classes == CLASSES
    assert not data.multilabel
    # as ImageNet: the official validation images are tested on, and train is divided
    assert [len(data.split(name)) for name in ("train", "val", "test")] == [6, 2, 4]
    assert data.split("test").ids == ["validation/0", "validation/1", "validation/2", "validation/3"]
    files = folder(tmp_path / "files", 12)
    twin = Folder(root=str(files), class_names=list(CLASSES), **SMALL)
    pictures = [sample for name in ("train", "val", "test") for sample in twin.split(name)]
    for index, sample in enumerate(data.split("test")):
        (same,) = (picture for picture in pictures if picture.id.endswith(f"n{8 + index:04d}.jpg"))
        assert torch.equal(sample.image, same.image)
        assert sample.labels.tolist() == same.labels.tolist()
    seen = [name for batch in data.train_dataloader() for name in batch.id]
    assert len(seen) == len(set(seen)) == 4  # whole batches


def test_a_table_of_parquet_files_with_three_splits_and_lists_of_labels(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "data").mkdir()
    for name, rows in (("train", range(4)), ("validation", range(4, 6)), ("test", range(6, 9))):
        table(rows, multilabel=True).to_parquet(str(tmp_path / "data" / f"{name}-00000-of-00001.parquet"))
    data = Table(root=str(tmp_path), **SMALL)
    assert data.multilabel
    assert [len(data.split(name)) for name in ("train", "val", "test")] == [4, 2, 3]
    assert data.split("test")[0].labels.tolist() == [1.0, 0.0, 0.0]
    assert data.split("val").ids == ["validation/0", "validation/1"]


def test_what_is_no_table(tmp_path):
    datasets = pytest.importorskip("datasets")
    with pytest.raises(InputError, match=r"no table in .*: expected what save_to_disk wrote, or Parquet files"):
        parquet_files(tmp_path)
    (tmp_path / "train.parquet").write_bytes(b"nothing")
    with pytest.raises(InputError, match="the table cannot be opened"):
        Table(root=str(tmp_path), **SMALL).split("train")
    plain = datasets.Dataset.from_dict({"image": [None], "text": ["a"]})
    plain.save_to_disk(str(tmp_path / "plain"))
    with pytest.raises(InputError, match="has no column label; there are image, text"):
        Table(root=str(tmp_path / "plain"), **SMALL).split("train")
    numbers = datasets.Dataset.from_dict({"image": [None], "label": [1]}).cast_column("image", datasets.Image())
    numbers.save_to_disk(str(tmp_path / "numbers"))
    with pytest.raises(InputError, match="does not name its classes: make it a ClassLabel"):
        _ = Table(root=str(tmp_path / "numbers"), **SMALL).classes
    hidden = table([0, 1])
    hidden = hidden.map(lambda row: {"label": -1}, cache_file_name=str(tmp_path / "cache.arrow"))
    hidden.save_to_disk(str(tmp_path / "hidden"))
    with pytest.raises(InputError, match=r"row \d of train: label -1 is none of the 3 classes"):
        Table(root=str(tmp_path / "hidden"), **SMALL).split("train")
    with pytest.raises(InputError, match="the table has no split for test"):
        Table(root=str(tmp_path / "hidden"), **SMALL).split("test")


def test_without_the_library_it_is_said_which_extra_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(InputError, match=r"pip install 'saliency-explainer\[datasets\]'"):
        Table(root=str(tmp_path), **SMALL).split("train")
