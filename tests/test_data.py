import shutil
import warnings

import pytest
import torch
import trees
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from explainer.data import COCO, VOC, Folder, ImageNet, ImageNetCrops, Shapes, collate
from explainer.data.base import open_rgb, pixels
from explainer.data.sampler import EpochBatches, EpochSampler
from explainer.data.shapes import CLASSES, draw_scene
from explainer.data.small_images import SmallImages
from explainer.errors import InputError

SMALL = {"image_size": 32, "batch_size": 4, "num_workers": 0}


class Ten:
    def __init__(self, count=10):
        self.epoch = torch.zeros(1, dtype=torch.long)
        self.count = count

    def __len__(self):
        return self.count


def test_order_is_a_function_of_seed_and_epoch():
    one, two = EpochSampler(Ten(), 2, seed=1), EpochSampler(Ten(), 2, seed=1)
    first = list(one)
    assert first == list(two)
    assert sorted(first) == list(range(10))
    one.set_epoch(1)
    assert list(one) != first
    assert list(EpochSampler(Ten(), 2, seed=2)) != first


def test_resumed_epoch_is_the_tail_of_the_whole_one():
    whole, resumed = EpochSampler(Ten(), 2), EpochSampler(Ten(), 2)
    resumed.skip_images(6)
    assert list(resumed) == list(whole)[6:]
    assert list(resumed) == list(whole), "only the first pass is cut"


@given(
    count=st.integers(1, 40), batch=st.integers(1, 9), other=st.integers(1, 9), world=st.integers(1, 3),
    others=st.integers(1, 3), batches=st.integers(1, 5),
)  # fmt: skip
def test_a_resumed_epoch_takes_every_other_image_once(count, batch, other, world, others, batches):
    def epoch(size, processes, done):
        parts = [EpochSampler(Ten(count), size, rank=r, world=processes) for r in range(processes)]
        for part in parts:
            part.skip_images(done)
        found = [list(EpochBatches(part, size)) for part in parts]
        assert len({len(part) for part in found}) == 1, "processes wait for one another"
        assert len(found[0]) == EpochBatches(parts[0], size).left(done)
        return [index for step in zip(*found, strict=True) for part in step for index in part]

    before = epoch(batch, world, 0)[: batches * batch * world]
    done = len(before)
    if 0 < done < count:  # a run is saved within an epoch only before its last batch
        after = epoch(other, others, done)
        left = count - done
        assert not set(before) & set(after)
        # images are left out only at the ragged end, and seen twice only where there are fewer than processes
        assert len(set(after)) == len(after) or left < others
        assert left - len(set(after)) < other * others
        assert after or not left


def test_what_does_not_fill_a_batch_is_seen_only_if_there_is_nothing_else():
    sampler = EpochSampler(Ten(), 4)
    assert [len(batch) for batch in EpochBatches(sampler, 4)] == [4, 4]
    sampler.skip_images(8)
    assert [len(batch) for batch in EpochBatches(sampler, 4)] == [2]
    assert [len(batch) for batch in EpochBatches(sampler, 16)] == [10]


def test_processes_share_the_images():
    parts = [list(EpochSampler(Ten(), 2, rank=r, world=3)) for r in range(3)]
    assert len({i for part in parts for i in part}) == 9
    assert [len(p) for p in parts] == [3, 3, 3]
    ordered = [list(EpochSampler(Ten(), 2, shuffle=False, rank=r, world=3)) for r in range(3)]
    assert sorted(i for part in ordered for i in part) == list(range(10))


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


@pytest.mark.parametrize("module", [COCO, ImageNet, Folder])
def test_missing_root_says_what_to_put_there(tmp_path, module):
    data = module(root=str(tmp_path / "nothing"), **SMALL)
    with pytest.raises(InputError, match="nothing") as caught:
        data.prepare_data()
    assert "\n" not in str(caught.value)


def test_failed_download_of_voc_is_one_line(tmp_path, monkeypatch):
    def no_network(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("explainer.data.voc.VOCDetection", no_network)
    with pytest.raises(InputError, match=r"host\.robots\.ox\.ac\.uk") as caught:
        VOC(root=str(tmp_path / "voc"), **SMALL).prepare_data()
    assert "\n" not in str(caught.value)


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


def test_shapes_are_a_function_of_seed_split_and_index():
    first, again = draw_scene(0, 0, 5, 32), draw_scene(0, 0, 5, 32)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.image, draw_scene(0, 1, 5, 32).image)
    assert not torch.equal(first.image, draw_scene(1, 0, 5, 32).image)


def test_shapes_labels_masks_and_boxes_agree():
    dataset = Shapes(**SMALL, test_images=40).split("test")
    areas = []
    for sample in (dataset[i] for i in range(40)):
        present = sample.segmentation.flatten(1).any(1).float()
        assert torch.equal(present, sample.labels)
        assert sample.segmentation.sum(0).max() <= 1
        areas.append(float(sample.segmentation.sum(0).float().mean()))
        for c, x0, y0, x1, y1 in sample.boxes.int().tolist():
            assert sample.segmentation[c, y0:y1, x0:x1].any()
    assert 0.25 < sum(areas) / 40 < 0.42, "about a third of an image"
    assert dataset.classes == CLASSES


def test_a_central_map_scores_badly_on_shapes():
    dataset = Shapes(**SMALL, test_images=60).split("test")
    truth = torch.stack([dataset[i].segmentation.amax(0) for i in range(60)]).float()
    box = torch.zeros(32, 32)
    box[7:25, 7:25] = 1
    accuracy = (box * truth + (1 - box) * (1 - truth)).mean()
    assert accuracy < (1 - truth).mean() + 0.02, "no better than the empty mask"


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


def test_blank_images_are_refused_where_every_image_has_one_label():
    data = SmallImages(blank=0.1)
    with pytest.raises(InputError, match=r"data\.init_args\.blank"):
        data.options("train")


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
