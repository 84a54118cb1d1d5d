"""Saliency ranks of a data set, and images degraded by them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explainer.data import Shapes, SmallImages
from explainer.data.cropping import centre_window, crop_sample
from explainer.data.sample import Sample
from explainer.errors import InputError
from explainer.experiments.retraining.degraded import Degraded, degrade, staying
from explainer.experiments.retraining.rank_store import LEVELS, Ranks, levels
from explainer.infill import CAInfill, Local, Noise
from tests.support import trees
from tests.support.small_infills import save_inpainter

SMALL = {"image_size": 16, "batch_size": 4, "num_workers": 0, "train_images": 6, "val_images": 3, "test_images": 3}


def ranked(folder, data, name="method", maps=None):
    """Ranks of every split; by default of random maps."""
    for split in ("train", "val", "test"):
        dataset, ranks = data.split(split), Ranks(folder, split)
        ranks.create(dataset.ids, data.image_size, {"name": name})
        shape = (len(dataset), 1, data.image_size, data.image_size)
        ranks.write(0, levels(torch.rand(shape) if maps is None else maps(dataset)), 1.5)
        ranks.finish((0.1, 0.2, 0.3))
    return str(folder)


@given(seed=st.integers(0, 10_000), side=st.sampled_from([10, 14, 28]))
@settings(max_examples=15, deadline=None)
def test_levels_are_ranks_in_half_percents(seed, side):
    generator = torch.Generator().manual_seed(seed)  # distinct values: ties are another test
    maps = torch.stack([torch.randperm(side * side, generator=generator).double() for _ in range(2)])
    maps = maps.view(2, 1, side, side) / side**2 - 0.5
    found = levels(maps)
    assert found.dtype == torch.uint8
    for n in range(2):
        order = maps[n].flatten().argsort(descending=True)
        want = torch.empty(side * side, dtype=torch.long)
        want[order] = torch.arange(side * side) * LEVELS // (side * side)
        assert torch.equal(found[n].flatten().long(), want)
    assert torch.equal(levels(maps.exp() * 7), found)  # only the order matters


def test_ties_are_broken_everywhere_and_always_alike():
    found = levels(torch.zeros(1, 1, 20, 20))
    assert torch.equal(found, levels(torch.ones(1, 1, 20, 20)))
    salient = found[0] < LEVELS // 2
    assert salient.sum() == 200
    for half in (salient[:10], salient[:, :10]):
        assert 60 < half.sum() < 140  # not simply the upper or the left half
    assert levels(torch.full((1, 1, 4, 4), torch.nan)).shape == (1, 4, 4)


@pytest.mark.parametrize("fraction", [0.0, 0.025, 0.1, 0.5, 0.9, 1.0])
def test_keeping_and_removing_share_the_image_out(fraction):
    image, colour = torch.rand(3, 20, 20), torch.tensor([0.1, 0.5, 0.9]).view(3, 1, 1)
    rank = levels(torch.rand(1, 1, 20, 20))[0]
    kept, removed = (degrade(image, rank, mode, fraction, colour) for mode in ("keep", "remove"))
    changed = (kept != image).any(0), (removed != image).any(0)
    assert changed[1].sum() == round(fraction * 400)
    assert torch.equal(changed[0], ~changed[1])
    assert torch.allclose(kept[:, changed[0]], colour.flatten()[:, None].expand(3, int(changed[0].sum())))


def test_the_most_salient_pixels_are_kept():
    rank = levels(torch.arange(100.0).view(1, 1, 10, 10))[0]
    kept = degrade(torch.ones(3, 10, 10), rank, "keep", 0.1, torch.zeros(3, 1, 1))
    assert kept[:, 9].all()
    assert not kept[:, :9].any()


def test_a_degraded_data_module_differs_in_its_images_alone(tmp_path):
    data = Shapes(**SMALL)
    degraded = Degraded(data, ranked(tmp_path, data), "remove", 0.5)
    assert (degraded.classes, degraded.multilabel, degraded.image_size) == (data.classes, True, 16)
    for split in ("train", "val", "test"):
        whole, part = data.split(split), degraded.split(split)
        changed = (whole.image(1) != part.image(1)).any(0)
        assert changed.float().mean() == pytest.approx(0.5, abs=0.01)
        torch.testing.assert_close(part.image(1)[:, changed][:, 0], torch.tensor([0.1, 0.2, 0.3]))
        assert torch.equal(whole.labels(1), part.labels(1))
        assert torch.equal(whole.segmentation(1), part.segmentation(1))
    batch = next(iter(degraded.test_dataloader()))
    assert batch.image.shape == (3, 3, 16, 16)


def test_flips_come_after_the_degradation(tmp_path):
    data = Shapes(**SMALL, flip=1.0)
    degraded = Degraded(data, ranked(tmp_path, data), "keep", 0.3)
    assert torch.equal(degraded.split("train")[2].image, degraded.split("train").image(2).flip(-1))


def test_crops_come_after_the_degradation_and_take_the_masked_pixels_along(tmp_path):
    data = Shapes(**SMALL | {"image_size": 28}, crop=True)
    base = data.split("test")
    assert base.image_size == 32
    for split in ("train", "val", "test"):
        dataset, ranks = data.split(split), Ranks(tmp_path, split)
        ranks.create(dataset.ids, 32, {"name": "m"})
        ranks.write(0, levels(torch.rand(len(dataset), 1, 32, 32)), 1.5)
        ranks.finish((0.1, 0.2, 0.3))
    degraded = Degraded(data, str(tmp_path), "remove", 0.5)
    part = degraded.split("test")
    found, whole = part[1], Sample(part.image(1), part.labels(1), "a", part.segmentation(1), part.boxes(1))
    want = crop_sample(whole, centre_window(32), 28)
    assert torch.equal(found.image, want.image)
    assert found.image.shape == (3, 28, 28)
    assert torch.equal(found.segmentation, base.segmentation(1)[:, 2:30, 2:30])
    grey = (found.image - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)).abs().amax(0) < 1e-6
    assert 0.4 < grey.float().mean() < 0.6
    assert degraded.split("train")[0].image.shape == (3, 28, 28)
    with pytest.raises(InputError, match="ranks images of 32 pixels, the data is at 28"):
        Degraded(Shapes(**SMALL | {"image_size": 28}), str(tmp_path)).split("test")


@pytest.mark.parametrize("infill", [Local(5), Noise()])
def test_another_infill_in_place_of_the_colour(tmp_path, infill):
    data = Shapes(**SMALL)
    ranks = ranked(tmp_path, data)
    for mode in ("keep", "remove"):
        part = Degraded(data, ranks, mode, 0.25, infill=infill).split("train")
        whole, found = data.split("train").image(3), part.image(3)
        stays = staying(part.ranks[3], mode, 0.25)
        assert torch.equal(found[:, stays], whole[:, stays])
        fill = infill(whole[None], stays.float()[None, None], torch.Generator().manual_seed(3))[0].expand_as(whole)
        assert torch.equal(found[:, ~stays], fill[:, ~stays])
        assert torch.equal(part.image(3), found)  # one data set, however often it is read
        assert found[:, ~stays].unique().numel() > 3  # no single colour


def test_a_learned_infill_of_another_data_set_is_refused(tmp_path):
    data = Shapes(**SMALL)
    folder = ranked(tmp_path / "ranks", data)
    infill = CAInfill(save_inpainter(tmp_path / "ca.ckpt", image_size=16, classes=("cat", "dog", "cow", "hen")))
    with pytest.raises(InputError, match=r"trained on a data set of 4 classes \(cat, dog, cow …\)"):
        Degraded(data, folder, infill=infill).split("train")
    own = CAInfill(save_inpainter(tmp_path / "own.ckpt", image_size=16, classes=data.classes))
    image = Degraded(data, folder, fraction=0.5, infill=own).split("train").image(0)
    assert ((image == data.split("train").image(0)).all(0)).float().mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("fraction", [-0.1, 1.5])
def test_a_fraction_that_is_none(fraction):
    with pytest.raises(InputError, match=r"fraction must lie in \[0, 1\]"):
        Degraded(Shapes(**SMALL), "ranks", fraction=fraction)


def test_ranks_of_something_else_are_refused(tmp_path):
    data = Shapes(**SMALL)
    folder = ranked(tmp_path / "ranks", data)
    with pytest.raises(InputError, match="ranks images of 16 pixels, the data is at 32"):
        Degraded(Shapes(**SMALL | {"image_size": 32}), folder).split("train")
    with pytest.raises(InputError, match="ranks another data set: 6 images there, 5 here"):
        Degraded(Shapes(**SMALL | {"train_images": 5}), folder).split("train")
    with pytest.raises(InputError, match="holds ranks by 'method', not by 'other'"):
        Degraded(data, folder, method="other").split("train")
    with pytest.raises(InputError, match=r"no saliency ranks .*train\.npy"):
        Degraded(data, str(tmp_path / "nowhere")).split("train")
    with pytest.raises(InputError, match="holds ranks of another fingerprint"):
        Ranks(folder, "train").create(data.split("train").ids, 16, {"name": "other"})


def test_ranking_goes_on_where_it_was(tmp_path):
    ids = ["a", "b", "c"]
    found = levels(torch.rand(3, 1, 8, 8))
    first = Ranks(tmp_path, "train")
    assert first.create(ids, 8, {"name": "m"}) == 0
    first.write(0, found[:2], 1.0)
    with pytest.raises(InputError, match="unfinished: 2 of 3"):
        Ranks(tmp_path, "train").open(ids, 8)
    again = Ranks(tmp_path, "train")
    assert again.create(ids, 8, {"name": "m"}) == 2
    again.write(2, found[2:], 0.5)
    again.finish((0.5, 0.5, 0.5))
    read = Ranks(tmp_path, "train")
    assert read.open(ids, 8, "m")["seconds"] == 1.5
    assert torch.equal(torch.stack([read[i] for i in range(3)]), found)


def test_fashion_mnist_from_its_files(tmp_path):
    data = SmallImages(root=str(trees.fashion_tree(tmp_path)), num_workers=0, train_images=20)
    data.prepare_data()
    assert not data.multilabel
    assert data.classes[:2] == ("T-shirt/top", "Trouser")
    assert [len(data.split(s)) for s in ("train", "val", "test")] == [20, 4, 20]
    image = data.split("test").image(9)
    assert image.shape == (3, 28, 28)
    assert torch.equal(image[0], image[2])
    assert data.split("test").labels(9).argmax() == 9
    assert 144 / 255 <= image.mean() <= 224 / 255  # the tree's images are as bright as their class
    assert not set(data.split("train").ids) & set(data.split("val").ids)


def test_a_small_set_without_files_or_network_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="no FashionMNIST in"):
        SmallImages(root=str(tmp_path / "none")).prepare_data()
