"""Our metrics beside those of Quantus 0.6 (`pip install '.[quantus]'`), where both define one."""

import warnings

import numpy as np
import pytest
import torch

from explainer.infill import Constant
from explainer.metrics import Complexity, Deletion, EnergyPointing, PointingGame, Sparseness
from tests.support.small_judged import judged

quantus = pytest.importorskip("quantus")

SIDE = 12
QUIET = {"disable_warnings": True, "display_progressbar": False}


class Logits(torch.nn.Module):
    """A classifier of three classes as any user of Quantus has it."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Tanh(), torch.nn.Flatten(),
                                          torch.nn.Linear(4 * (SIDE - 2) ** 2, 3))  # fmt: skip

    def forward(self, image):
        return 3 * self.layers(image)


def scene(count=3):
    model = Logits().eval().requires_grad_(False)
    image, mask = torch.rand(count, 3, SIDE, SIDE), torch.rand(count, 1, SIDE, SIDE)
    segmentation = torch.zeros(count, 3, SIDE, SIDE, dtype=torch.uint8)
    segmentation[:, 0] = (torch.rand(count, SIDE, SIDE) < 0.3).to(torch.uint8)

    def probability(seen, owner):
        return model(seen).softmax(1)[:, 0]

    return model, judged(mask, image=image, segmentation=segmentation, probability=probability)


def theirs(metric, model, given_ones, mask=None, **more):
    """Target class 0, precomputed maps."""
    mask = given_ones.mask if mask is None else mask
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.array(metric(
            model=model, x_batch=given_ones.image.numpy(), y_batch=np.zeros(len(mask), dtype=int),
            a_batch=mask.numpy().copy(), s_batch=given_ones.segmentation[:, :1].numpy(), channel_first=True,
            device="cpu", **more,
        ), dtype=float)  # fmt: skip


@pytest.mark.parametrize("steps", [12, 36])
def test_pixel_flipping_is_deletion_without_its_first_point(steps):
    model, given_ones = scene()
    features = 3 * SIDE * SIDE // steps  # it removes values of single channels; those of a pixel have equal ranks
    flipping = quantus.PixelFlipping(features_in_step=features, perturb_baseline=0.0, **QUIET)
    found = theirs(flipping, model, given_ones, softmax=True)
    curve = Deletion(steps, Constant((0.0, 0.0, 0.0))).measure(given_ones).curve
    np.testing.assert_allclose(found, curve[:, 1:].numpy(), atol=2e-6)


def test_the_pointing_game_without_tolerance_and_ties():
    model, given_ones = scene(12)
    found = theirs(quantus.PointingGame(**QUIET), model, given_ones)
    ours = PointingGame(0, None, "segmentation").measure(given_ones).value.numpy()
    np.testing.assert_array_equal(found, ours)
    assert 0 < ours.mean() < 1


def test_the_pointing_game_with_ties_differs():
    """Half of the pixels are maxima: any of them on the object is a hit there."""
    model, given_ones = scene(12)
    mask = (given_ones.mask > 0.5).float()
    found = theirs(quantus.PointingGame(**QUIET), model, given_ones, mask)
    ours = PointingGame(0, None, "segmentation").measure(given_ones._replace(mask=mask)).value
    assert found.mean() == 1
    assert ours.mean().item() == pytest.approx(0.3, abs=0.05)  # what the objects cover


def test_energy_is_relevance_mass_accuracy():
    model, given_ones = scene()
    found = theirs(quantus.RelevanceMassAccuracy(normalise=False, **QUIET), model, given_ones)
    ours = EnergyPointing("segmentation").measure(given_ones).value
    np.testing.assert_allclose(ours.numpy(), found, atol=1e-6)


@pytest.mark.parametrize(("name", "metric"), [("Sparseness", Sparseness()), ("Complexity", Complexity())])
@pytest.mark.parametrize("power", [0.3, 1.0, 8.0])
def test_sparseness_and_complexity(name, metric, power):
    model, given_ones = scene()
    mask = given_ones.mask**power
    found = theirs(getattr(quantus, name)(normalise=False, abs=True, **QUIET), model, given_ones, mask)
    ours = metric.measure(given_ones._replace(mask=mask)).value
    np.testing.assert_allclose(ours.numpy(), found, atol=1e-5)


def test_raw_attributions_and_scaled_masks_have_another_sparseness():
    """Theirs takes absolute raw attributions by default, ours the mask that was scaled to [0, 1]."""
    model, given_ones = scene()
    raw = 2 * given_ones.mask - 1
    found = theirs(quantus.Sparseness(**QUIET), model, given_ones, raw)
    ours = Sparseness().measure(given_ones).value.numpy()
    assert np.abs(found - ours).max() > 1e-3
    theirs_alike = theirs(quantus.Sparseness(normalise=False, **QUIET), model, given_ones)
    np.testing.assert_allclose(theirs_alike, ours, atol=1e-5)
