"""Counterfactuals: what remains of an image, and what replaces it."""

import pytest
import torch

from explainer.data import Batch
from explainer.evaluation.report.counterfactuals import counterfactual_gallery, counterfactuals
from explainer.evaluation.storage.fingerprint import infill_settings
from explainer.infill import Blur, CAInfill, Local, RandomColour
from tests.support.small_evaluation import classifier, pictures
from tests.support.small_infills import save_inpainter


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("infill", [None, Blur(2.0), Local(3), RandomColour()], ids=lambda i: type(i).__name__)
def test_what_remains_and_what_replaces_it(infill):
    explanandum, image = classifier(), torch.rand(2, 3, 16, 16)
    region = (torch.rand(2, 1, 16, 16) > 0.5).float()
    remains, replaced = counterfactuals(explanandum, image, region, infill)
    inside = region.expand_as(image) == 1
    assert torch.equal(remains[inside], image[inside])
    assert torch.equal(replaced[~inside], image[~inside])
    assert not torch.equal(remains[~inside], image[~inside])
    assert torch.equal(remains, counterfactuals(explanandum, image, region, infill)[0])
    for everything, found in ((torch.ones_like(region), 0), (torch.zeros_like(region), 1)):  # full and empty masks
        assert torch.equal(counterfactuals(explanandum, image, everything, infill)[found], image)


def test_a_learned_in_fill_takes_full_and_empty_regions(here):
    fill = CAInfill(save_inpainter(here / "ca.ckpt", image_size=16))
    explanandum, image = classifier(), torch.rand(1, 3, 16, 16)
    remains, replaced = counterfactuals(explanandum, image, torch.ones(1, 1, 16, 16), fill)
    assert torch.equal(remains, image)
    assert replaced.isfinite().all()
    assert infill_settings(fill)["sha256"] == fill.sha256


def test_the_picture_has_two_rows_an_image_and_a_column_an_in_fill():
    batch = pictures((2,), side=32)[0]
    mask, level = torch.rand(2, 1, 32, 32), torch.full((2,), 0.5)
    whole = counterfactual_gallery(classifier(), mask, level, batch, {"mean": None, "blur": Blur(2.0)})
    one = Batch(batch.image[:1], batch.labels[:1], batch.id[:1])
    less = counterfactual_gallery(classifier(), mask[:1], level[:1], one, {"mean": None})
    assert whole.width / less.width == pytest.approx(4 / 3, abs=0.02)
    assert whole.height / less.height == pytest.approx(2, abs=0.1)
    unlabelled = one._replace(labels=torch.zeros(1, 3))
    assert counterfactual_gallery(classifier(), mask[:1], level[:1], unlabelled, {"mean": None}).size == less.size
