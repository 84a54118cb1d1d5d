"""What is as large as a photograph is computed when it is asked for, with the numbers of the whole computation."""

import pytest
import torch
from torch.nn import functional as F

import explainer
from explainer.errors import InputError
from explainer.functional.resizing import bands, enlarge_rows, resize, resize_bands
from explainer.inference import explanation as module
from tests.support.small_checkpoints import save_explainer


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return explainer.load(save_explainer(tmp_path_factory.mktemp("explanation") / "x.ckpt"), "cpu")


SIZES = [(32, 32), (300, 70), (7, 90), (1, 1), (32, 50), (50, 32), (2, 500)]


@pytest.mark.parametrize("size", SIZES)
def test_bands_of_enlarged_maps_are_the_rows_of_the_whole(size):
    maps = 5 * torch.randn(2, 3, 32, 32)
    whole = maps if size == (32, 32) else F.interpolate(maps, size, mode="bilinear", align_corners=False)
    parts = [enlarge_rows(maps, size, rows) for rows in bands(*size, pixels=4 * size[1])]
    torch.testing.assert_close(torch.cat(parts, 2), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_an_image_in_bands_is_resized_as_the_whole(size):
    image = torch.rand(1, 3, *size)
    parts = [image[..., rows, :] for rows in bands(*size, pixels=5 * size[1])]
    assert torch.equal(resize_bands(parts, (32, 32)), resize(image, (32, 32)))


def test_an_explanation_has_the_numbers_of_the_whole_computation(loaded, monkeypatch):
    """As it was computed before: every mask enlarged, their maximum, and the networks on the image through it."""
    monkeypatch.setattr(module, "bands", lambda height, width: bands(height, width, 300))
    image = torch.rand(1, 3, 90, 110)
    got = loaded.explain(image, threshold=0.0)
    small = resize(image, (32, 32))
    with torch.no_grad():
        logits = F.interpolate(loaded.masker(small), (90, 110), mode="bilinear", align_corners=False)
        target = logits.sigmoid().amax(1, keepdim=True)
        seen = resize(target, (32, 32))
        colour = loaded.explanandum.mean_colour
        kept = loaded.explanandum(seen * small + (1 - seen) * colour).sigmoid()[0]
    torch.testing.assert_close(got.masks, logits.sigmoid(), rtol=0, atol=1e-6)
    torch.testing.assert_close(got.target, target, rtol=0, atol=1e-6)
    torch.testing.assert_close(got.through_mask, kept, rtol=0, atol=1e-5)
    assert torch.equal(got.image, image)
    assert got.logits.shape == (1, 3, 32, 32)


def test_only_the_masks_that_are_asked_for_are_enlarged(loaded):
    images = torch.rand(2, 3, 40, 50)
    assert torch.equal(loaded.masks(images, ["cow", "cat"]), loaded.masks(images)[:, [2, 0]])
    with pytest.raises(InputError, match="no class 'bird'; there are cat, dog, cow"):
        loaded.masks(images, ["bird"])


def test_masks_that_do_not_fit_are_refused_and_single_ones_are_not(loaded, monkeypatch):
    got = loaded.explain(torch.rand(3, 40, 50))
    monkeypatch.setattr(module, "free_memory", lambda: 4 * 3 * 40 * 50 - 1)
    with pytest.raises(InputError, match=r"3 masks of 50×40 pixels take 0.0 GiB, more memory than is free"):
        _ = got.masks
    assert got.mask("dog").shape == (1, 1, 40, 50)


@pytest.mark.parametrize(("top", "threshold"), [(0, 0.5), (-6, 0.5), (1, float("nan"))])
def test_numbers_that_choose_no_class_are_refused(loaded, top, threshold):
    with pytest.raises(InputError, match=r"top must be at least 1|threshold must be a number"):
        loaded.explain(torch.rand(3, 32, 32), threshold, top)


def test_masks_of_a_photograph_keep_an_order_that_the_sigmoid_loses():
    logits = torch.tensor([[-300.0, -200.0, 5.0], [20.0, 40.0, 600.0]]).view(1, 2, 1, 3)
    before = logits.clone()
    mask = module.highest_rows(logits, (1, 3), slice(0, 1), [1])
    assert bool((mask.diff() > 0).all())
    assert torch.equal(module.highest_rows(logits, (1, 3), slice(0, 1), [0, 1]), mask)
    assert torch.equal(logits, before)
