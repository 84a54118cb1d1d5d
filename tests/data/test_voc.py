"""PASCAL VOC: labels, splits, segmentation and boxes of a tree in its true layout."""

import pytest

from explainer.data import VOC
from explainer.errors import InputError
from tests.support import trees

SMALL = {"image_size": 32, "batch_size": 4, "num_workers": 0}


def test_voc_labels_splits_segmentation_and_boxes(tmp_path):
    data = VOC(root=str(trees.voc_tree(tmp_path)), **SMALL)
    assert [len(data.split(s)) for s in ("train", "val", "test")] == [8, 4, 4]
    assert len(data.classes) == 20
    first = data.split("train").labels(0)
    assert [data.classes[c] for c in first.nonzero().flatten()] == ["bicycle", "cat"], "the difficult cow is no label"
    hard = VOC(root=str(tmp_path), difficult=True, **SMALL).split("train").labels(0)
    assert hard[data.classes.index("cow")] == 1
    sample = data.split("test")[1]  # 000014: person, at the upper left
    assert sample.segmentation[:, 2, 2].nonzero().flatten().tolist() == [14]
    assert (sample.segmentation[:, 16, 4] == 255).all(), "the void border stays"
    assert sample.boxes[0].tolist() == pytest.approx([14, 0, 0, 16, 16])
    batch = next(iter(data.test_dataloader()))
    assert (batch.segmentation[0] == 255).all(), "an image without segmentation is all void"
    assert len(VOC(root=str(tmp_path), segmented_only=True, **SMALL).split("test")) == 2
    assert data.split("train")[0].segmentation is None, "training loads none"


def test_voc_2012_divides_train_and_tests_on_val(tmp_path):
    data = VOC(root=str(trees.voc_tree(tmp_path, "2012")), year="2012", **SMALL)
    assert [len(data.split(s)) for s in ("train", "val", "test")] == [7, 1, 4]


def test_annotation_of_unknown_class(tmp_path):
    trees.voc_tree(tmp_path)
    trees.xml(tmp_path / "VOCdevkit/VOC2007/Annotations/000002.xml", [("unicorn", False, (1, 1, 5, 5))])
    with pytest.raises(InputError, match=r"000002.xml.*unicorn"):
        VOC(root=str(tmp_path), **SMALL).split("train")


def test_empty_split(tmp_path):
    trees.voc_tree(tmp_path)
    (tmp_path / "VOCdevkit/VOC2007/ImageSets/Main/val.txt").write_text("\n")
    with pytest.raises(InputError, match="val split of VOC"):
        VOC(root=str(tmp_path), **SMALL).split("val")


def test_failed_download_of_voc_is_one_line(tmp_path, monkeypatch):
    def no_network(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("explainer.data.voc.VOCDetection", no_network)
    with pytest.raises(InputError, match=r"host\.robots\.ox\.ac\.uk") as caught:
        VOC(root=str(tmp_path / "voc"), **SMALL).prepare_data()
    assert "\n" not in str(caught.value)
