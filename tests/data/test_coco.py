"""COCO: classes, labels, masks, and annotation files that cannot be."""

import pytest

from explainer.data import COCO
from explainer.errors import InputError
from tests.support import trees

SMALL = {"image_size": 32, "batch_size": 4, "num_workers": 0}


def test_coco_classes_labels_split_polygon_rle_and_crowd(tmp_path):
    data = COCO(root=str(trees.coco_tree(tmp_path)), **SMALL)
    assert len(data.classes) == 80
    train, val = data.split("train"), data.split("val")
    assert (len(train), len(val), len(data.split("test"))) == (11, 1, 4)
    assert not set(train.ids) & set(val.ids)
    test = data.split("test")
    assert test.labels(3).sum() == 0, "an unannotated image has no label"
    sample = test[0]  # image 13: polygon, RLE and crowd of categories 13, 18 and 23
    assert sample.labels.nonzero().flatten().tolist() == [13, 18, 23]
    assert sample.segmentation[13, :15, :15].all()
    assert sample.segmentation[13, 18:, 18:].sum() == 0
    assert sample.segmentation[18, 22:, 25:].all()
    assert sample.segmentation[23, 22:, 25:].all()
    assert sample.boxes[:, 0].tolist() == [13, 18], "the box of a crowd is left out"


def test_coco_takes_somebodys_own_categories(tmp_path):
    own = [{"id": 7, "name": "ripe"}, {"id": 2, "name": "raw"}]
    data = COCO(root=str(trees.coco_tree(tmp_path, "2017", categories=own)), year="2017", **SMALL)
    assert data.classes == ("raw", "ripe")


def test_coco_annotation_of_unknown_category(tmp_path):
    path = trees.coco_tree(tmp_path) / "annotations/instances_train2014.json"
    path.write_text(path.read_text().replace('"category_id": 4,', '"category_id": 999,'))
    with pytest.raises(InputError, match="unknown category 999"):
        _ = COCO(root=str(tmp_path), **SMALL).classes


def test_coco_broken_annotation_file(tmp_path):
    path = trees.coco_tree(tmp_path) / "annotations/instances_train2014.json"
    path.write_text(path.read_text()[:1000])
    with pytest.raises(InputError, match="not a COCO annotation file"):
        _ = COCO(root=str(tmp_path), **SMALL).classes
