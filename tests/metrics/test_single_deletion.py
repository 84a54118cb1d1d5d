"""IDSDS: against a slow version, and by hand."""

import pytest
import torch

from explainer.errors import InputError
from explainer.metrics import IDSDS, patch_sums, single_deletion_score
from explainer.networks import Explanandum
from tests.support import removal_oracles
from tests.support.small_checkpoints import CLASSES, save_classifier
from tests.support.small_judged import judged


@pytest.mark.parametrize(("size", "grid"), [((8, 8), 4), ((10, 13), 3), ((6, 6), 2)])
@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_against_a_slow_version(size, grid, batch_size):
    mask = torch.rand(3, 1, *size, dtype=torch.float64)
    image = torch.rand(3, 3, *size, dtype=torch.float64)
    given_ones = judged(mask, image=image, fill=lambda images, masks: 0.1 * images)
    found = IDSDS(grid, batch_size).measure(given_ones).value
    for n in range(3):
        want = removal_oracles.single_deletion(
            mask[n, 0].numpy(), image[n].numpy(), lambda x, m: 0.1 * x, lambda x: 20 * x[0].mean(), grid
        )
        assert found[n].item() == pytest.approx(want, abs=1e-6)


def test_it_asks_for_the_logit_of_the_label():
    image = torch.rand(2, 3, 8, 8)
    labels = torch.tensor([[0.0, 1, 0], [0, 0, 1]])
    mask = torch.stack([image[0, 1], image[1, 2]])[:, None]  # of the label's own colour
    found = IDSDS(2).measure(judged(mask, image=image, labels=labels)).value
    assert found.tolist() == pytest.approx([1.0, 1.0])
    opposite = IDSDS(2).measure(judged(1 - mask, image=image, labels=labels)).value
    assert opposite.tolist() == pytest.approx([-1.0, -1.0])


def test_maps_and_falls_without_an_order():
    maps = torch.rand(3, 1, 4, 4)
    maps[0] = 0.5
    fall = torch.rand(3, 4)
    fall[1] = 0.25
    found = single_deletion_score(maps, fall)
    assert found[0].item() == 0
    assert found[1].isnan()
    assert -1 <= found[2].item() <= 1


def test_sums_of_patches_by_hand():
    maps = torch.arange(16.0).view(1, 1, 4, 4)
    assert patch_sums(maps, 2).tolist() == [[10.0, 18.0, 42.0, 50.0]]


def test_numbers_out_of_range():
    with pytest.raises(InputError, match="IDSDS: grid must be at least 2"):
        IDSDS(1)
    with pytest.raises(InputError, match="a grid of 9 patches does not fit images of 8×8"):
        IDSDS(9).measure(judged(torch.rand(1, 1, 8, 8)))


def test_the_classifier_that_judges_is_the_one_of_the_checkpoint(tmp_path):
    path = save_classifier(tmp_path / "judge.ckpt")
    image = torch.rand(2, 3, 32, 32)
    labels = torch.eye(len(CLASSES))[[0, 2]]
    mask = torch.rand(2, 1, 32, 32)
    of_judge = IDSDS(4, classifier=path)
    asked = judged(mask, image=image, labels=labels)
    network = Explanandum(path)
    itself = asked._replace(logits=lambda seen: network(seen).float())
    assert torch.equal(of_judge.measure(asked).value, IDSDS(4).measure(itself).value)
    assert not torch.equal(of_judge.measure(asked).value, IDSDS(4).measure(asked).value)
    assert len(of_judge.settings["sha256"]) == 64
    assert set(IDSDS(4).settings) == {"grid"}


def test_a_judge_of_other_classes_is_refused(tmp_path):
    path = save_classifier(tmp_path / "judge.ckpt")
    images = judged(torch.rand(1, 1, 32, 32), labels=torch.eye(len(CLASSES) + 1)[:1])
    with pytest.raises(InputError, match=f"metric IDSDS: .*judge.ckpt knows {len(CLASSES)} classes, the images have"):
        IDSDS(classifier=path).measure(images)
