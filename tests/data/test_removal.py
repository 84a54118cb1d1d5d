"""Random removal from training images: how often, what, and that other draws stay what they were."""

import pytest
import torch

from explainer.data import VOC, RandomPixels, Shapes, SinglePatch
from explainer.data.later import without_unused
from explainer.errors import InputError
from explainer.functional.masking import grid_cells

QUICK = {"image_size": 32, "train_images": 12, "val_images": 2, "test_images": 2, "num_workers": 0}


def draws(removal, count=400, size=(8, 8)):
    return torch.stack([removal.gone(size, torch.Generator().manual_seed(seed)) for seed in range(count)])


def test_one_cell_of_the_grid_or_none():
    gone = draws(SinglePatch(grid=4, probability=0.5))
    counts = gone.sum((1, 2))
    assert set(counts.tolist()) == {0, 4}
    assert (counts > 0).float().mean().item() == pytest.approx(0.5, abs=0.08)
    cells = grid_cells((8, 8), 4)
    taken = [cells[one].unique().tolist() for one in gone if one.any()]
    assert all(len(cell) == 1 for cell in taken)
    assert {cell[0] for cell in taken} == set(range(16))


def test_which_cell_goes_does_not_depend_on_the_probability():
    always = draws(SinglePatch(probability=1.0), 50)
    half = draws(SinglePatch(probability=0.5), 50)
    some = half.flatten(1).any(1)
    assert torch.equal(always[some], half[some])


def test_pixels_go_at_any_rate_up_to_the_largest():
    shares = draws(RandomPixels(rate=0.4), 300, (32, 32)).float().mean((1, 2))
    assert shares.max().item() < 0.48
    assert shares.mean().item() == pytest.approx(0.2, abs=0.03)
    assert shares.min().item() < 0.02


@pytest.mark.parametrize(("colour", "want"), [(None, None), ([0.1, 0.2, 0.3], [0.1, 0.2, 0.3])])
def test_what_stands_there_instead(colour, want):
    image = torch.rand(3, 8, 8)
    before = image.clone()
    found = SinglePatch(probability=1.0, colour=colour)(image, torch.Generator().manual_seed(5))
    assert torch.equal(image, before)
    gone = (found != image).any(0)
    assert gone.sum() == 4
    want = image.mean((1, 2)).tolist() if want is None else want
    for channel in range(3):
        assert found[channel][gone].tolist() == pytest.approx([want[channel]] * 4)


def test_training_images_lose_a_part_and_no_other_draw_changes():
    plain = Shapes(flip=0.5, erase=0.5, **QUICK)
    removed = Shapes(flip=0.5, erase=0.5, removal=SinglePatch(probability=1.0), **QUICK)
    first, second = plain.split("train"), removed.split("train")
    for index in range(12):
        before, after = first[index].image, second[index].image
        same = (before == after).all(0)
        # all but the cell are equal to the bit; within the cell a pixel may have that colour already
        cells = grid_cells((32, 32), 4)
        assert len(cells[~same].unique()) == 1
        assert torch.equal(second[index].image, after)
    for split in ("val", "test"):
        assert torch.equal(plain.split(split)[0].image, removed.split(split)[0].image)
    second.epoch.fill_(1)
    assert any(not torch.equal(second[i].image, first[i].image) for i in range(12))


def test_images_differ_from_each_other_and_from_epoch_to_epoch():
    dataset = Shapes(removal=SinglePatch(probability=1.0), **QUICK).split("train")
    plain = Shapes(**QUICK).split("train")
    cells = grid_cells((32, 32), 4)

    def taken():
        return [int(cells[(dataset[i].image != plain[i].image).any(0)][0]) for i in range(12)]

    first = taken()
    dataset.epoch.fill_(1)
    assert len(set(first)) > 3
    assert taken() != first


def test_a_data_set_without_it_is_what_it_was_before():
    settings = {"class_path": "VOC", "init_args": {"root": "data", "removal": None}}
    assert without_unused(settings) == {"class_path": "VOC", "init_args": {"root": "data"}}
    assert VOC().removal is None


def test_wrong_numbers():
    with pytest.raises(InputError, match=r"removal.init_args.grid must be at least 1"):
        SinglePatch(grid=0)
    with pytest.raises(InputError, match=r"removal.init_args.probability"):
        SinglePatch(probability=2)
    with pytest.raises(InputError, match=r"removal.init_args.rate"):
        RandomPixels(rate=-1)
    with pytest.raises(InputError, match="RandomPixels: colour must lie in"):
        RandomPixels(colour=[0.5, 2.0, 0.5])
    with pytest.raises(InputError, match="colour has 2 numbers, and the images have 3 channels"):
        SinglePatch(colour=[0.5, 0.5])(torch.rand(3, 8, 8), torch.Generator())
    with pytest.raises(InputError, match="a grid of 4 cells does not fit"):
        SinglePatch()(torch.rand(3, 3, 3), torch.Generator())
