import numpy as np
import pytest
import torch
from PIL import Image

from explainer.audit.sources import boxed, folder_source, module_source, read
from explainer.data import Folder, PlantedShapes, Shapes
from explainer.data.planted import Shortcut
from explainer.errors import InputError
from tests.support.trees import photo

CLASSES = ("cat", "dog")


def labels_of(source):
    return {name: [CLASSES[k] for k in source.images.labels(n).nonzero()] for n, name in enumerate(source.images.ids)}


def test_folders_that_bear_a_class_s_name_are_labels(tmp_path):
    for name in ("cat/a.jpg", "dog/deep/b.png", "train/dog/c.jpg", "other/d.jpg", "e.jpg"):
        photo(tmp_path / name)
    source = folder_source(tmp_path, CLASSES, 32, workers=0)
    want = {"cat/a.jpg": ["cat"], "dog/deep/b.png": ["dog"], "train/dog/c.jpg": ["dog"], "other/d.jpg": [], "e.jpg": []}
    assert labels_of(source) == want
    assert source.labelled
    assert source.remark == "2 of 5 images lie in no folder with the name of a class: no label"
    (batch,) = read(source, range(5), 8, 32)
    assert batch.images.shape == (5, 3, 32, 32)
    assert batch.ids == source.images.ids
    assert batch.objects is None


def test_a_folder_without_classes_has_no_labels(tmp_path):
    photo(tmp_path / "a.jpg")
    flat = folder_source(tmp_path, CLASSES, 32)
    assert (flat.labelled, flat.remark) == (False, "")
    photo(tmp_path / "summer/b.jpg")
    other = folder_source(tmp_path, CLASSES, 32)
    assert not other.labelled
    assert "has the name of a class, such as 'cat'" in other.remark


@pytest.mark.parametrize("channels", [1, 3])
def test_images_come_as_the_classifier_sees_them(tmp_path, channels):
    photo(tmp_path / "a.png", mode="L" if channels == 1 else "RGB")
    source = folder_source(tmp_path, CLASSES, 16, channels, workers=0)
    (batch,) = read(source, [0], 4, 16)
    assert batch.images.shape == (1, channels, 16, 16)


def test_a_broken_image_is_a_fault_with_its_file(tmp_path):
    photo(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    source = folder_source(tmp_path, CLASSES, 32, workers=0)
    (batch,) = read(source, [0, 1], 4, 32)
    assert batch.ids == ["a.jpg"]
    (fault,) = batch.faults
    assert (fault.number, fault.id) == (1, "b.jpg")
    assert "b.jpg" in fault.words
    (empty,) = read(source, [1], 4, 32)
    assert (empty.ids, len(empty.faults)) == ([], 1)


def test_workers_read_the_same(tmp_path):
    for number in range(5):
        photo(tmp_path / f"{number}.png", number)
    alone = list(read(folder_source(tmp_path, CLASSES, 16, workers=0), range(5), 2, 16))
    together = list(read(folder_source(tmp_path, CLASSES, 16, workers=1), range(5), 2, 16))
    assert [batch.ids for batch in alone] == [batch.ids for batch in together]
    for one, other in zip(alone, together):
        torch.testing.assert_close(one.images, other.images)


def test_what_is_no_folder_of_images_is_one_line(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        folder_source(tmp_path / "missing", CLASSES, 32)
    with pytest.raises(InputError, match="no images in"):
        folder_source(tmp_path, CLASSES, 32)


def test_a_data_module_brings_its_annotations_and_no_augmentation():
    module = PlantedShapes(
        Shortcut("mark", rate=1.0), image_size=32, train_images=3, num_workers=0, flip=1.0, erase=1.0
    )
    source = module_source(module, "train", module.classes)
    (batch,) = read(source, range(3), 4, 32)
    plain = PlantedShapes(Shortcut("mark", rate=1.0), image_size=32, train_images=3, num_workers=0).split("train")
    for number in range(3):
        assert torch.equal(batch.images[number], plain.image(number))
        assert torch.equal(batch.objects[number], plain.segmentation(number))
    # the module's own split stays as it was
    assert module.split("train").flip == 1.0


def test_images_of_another_size_are_resized_with_their_objects():
    module = Shapes(image_size=32, val_images=2, num_workers=0)
    (batch,) = read(module_source(module, "val", module.classes), [0, 1], 4, 48)
    assert batch.images.shape == (2, 3, 48, 48)
    assert batch.objects.shape[-2:] == (48, 48)
    assert set(np.unique(batch.objects)) <= {0, 1, 255}


def test_data_of_other_classes_is_refused():
    with pytest.raises(InputError, match="audit a classifier of this data set"):
        module_source(Shapes(image_size=32, val_images=2), "val", CLASSES)


def test_a_split_without_images_is_refused(tmp_path):
    photo(tmp_path / "train/cat/a.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "train/cat/b.png")
    photo(tmp_path / "val/dog/c.png")
    module = Folder(root=str(tmp_path), class_names=list(CLASSES), num_workers=0)
    module.build("val")
    module._divided["test"] = []
    with pytest.raises(InputError, match=r"the test split of Folder in .* has no images"):
        module_source(module, "test", CLASSES)


def test_boxes_are_drawn_within_the_image():
    drawn = boxed([torch.tensor([[0.0, -3, 1, 2, 9], [1.0, 3, 3, 4, 4]]), torch.zeros(0, 5)], 2, 4)
    assert drawn[0, 0].tolist() == [[0] * 4, [1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]]
    assert drawn[0, 1].nonzero().tolist() == [[3, 3]]
    assert not drawn[1].any()
