"""ImageNet: its classes among all thousand, and folders that are none."""

import pytest

from explainer.data import ImageNet
from explainer.errors import InputError
from tests.support import trees

SMALL = {"image_size": 32, "batch_size": 4, "num_workers": 0}


def test_imagenet_counts_classes_among_all_thousand(tmp_path):
    data = ImageNet(root=str(trees.imagenet_tree(tmp_path)), val_fraction=0.25, **SMALL)
    assert [len(data.split(s)) for s in ("train", "val", "test")] == [9, 3, 3]
    assert len(data.classes) == len(set(data.classes)) == 1000
    assert not data.multilabel
    assert [int(data.split("test").labels(i).argmax()) for i in range(3)] == [0, 281, 954]  # tench, tabby, banana
    assert data.split("test")[1].boxes[0].tolist() == pytest.approx([281, 0, 0, 16, 16])


def test_imagenet_refuses_other_folders(tmp_path):
    (trees.imagenet_tree(tmp_path) / "val" / "n99999999").mkdir()
    with pytest.raises(InputError, match="n99999999"):
        ImageNet(root=str(tmp_path), **SMALL).split("test")
