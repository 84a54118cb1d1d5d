"""Captum's and Quantus' callers can call our methods, and any method of captum is ours by its name."""

import captum.attr
import numpy as np
import pytest
import torch
from captum.metrics import infidelity, sensitivity_max

from explainer.attribution import RISE, Captum, ForCaptum, GradCAM, Gradient, Random, explain_func
from explainer.errors import InputError
from explainer.networks import Explanandum
from tests.support.small_checkpoints import CLASSES, SMALL


@pytest.fixture
def explanandum(device):
    built = Explanandum(**SMALL, num_classes=3, multilabel=False)
    built.describe_classes(CLASSES, False, new_head=False)
    return built.to(device)


@pytest.fixture
def image(device):
    return torch.rand(2, 3, 32, 32, device=device)


@pytest.fixture
def target(device):
    return torch.tensor([2, 0], device=device)


def asking(image):
    return image.clone().requires_grad_()


def test_any_method_of_captum_by_its_name(explanandum, image, target):
    baseline = explanandum.mean_colour.expand_as(image)
    want = captum.attr.DeepLift(explanandum).attribute(asking(image), baseline, target)
    assert torch.equal(Captum("DeepLift", baseline=True)(explanandum, image, target)[:, 0], want.sum(1))
    cam = Captum("LayerGradCam", layer=explanandum.taps[-1], arguments={"relu_attributions": True})
    torch.testing.assert_close(cam(explanandum, image, target), GradCAM()(explanandum, image, target))
    assert torch.equal(
        Captum("captum.attr.Saliency")(explanandum, image, target), Gradient("abs_sum")(explanandum, image, target)
    )


@pytest.mark.parametrize("name", ["NoSuchThing", "torch.nn.Linear"])
def test_a_name_that_is_no_method_of_captum(name):
    with pytest.raises(InputError, match="is no attribution method of"):
        Captum(name)


# Ours, called as theirs


def test_captums_own_metrics_take_our_methods(explanandum, image, target):
    ours = ForCaptum(Gradient(), explanandum)
    maps = ours.attribute(image, target=target)
    assert maps.shape == image.shape
    assert isinstance(ours.attribute((image,), target=target), tuple)
    drop = infidelity(explanandum, lambda x: (0.01 * torch.randn_like(x), x - 0.01), image, maps, target=target)
    assert drop.shape == (2,)
    assert sensitivity_max(ours.attribute, image, target=target, n_perturb_samples=2).shape == (2,)
    tunnel = captum.attr.NoiseTunnel(ours)
    assert tunnel.attribute(image, nt_samples=2, target=target).shape == image.shape
    with pytest.raises(InputError, match="Gradient takes n_steps in its constructor, if at all"):
        ours.attribute(image, target=target, n_steps=3)


def test_targets_may_be_written_as_captums_callers_do(explanandum, image, target):
    ours = ForCaptum(Gradient(), explanandum)
    want = ours.attribute(image, target=torch.tensor([1, 1]))
    for written in (1, [1], [1, 1], torch.tensor(1), torch.tensor([1]), np.array([1, 1])):
        assert torch.equal(ours.attribute(image, target=written), want)
    matrix = torch.tensor([[True, False, True], [False, True, False]])
    assert ours.attribute(image, target=matrix).shape == (3, 3, 32, 32)


def test_the_function_that_quantus_calls(explanandum, image, target):
    explain = explain_func(RISE(6, grid=4), explanandum)
    found = explain(model=explanandum, inputs=image.numpy(), targets=target.numpy(), device="cpu", anything=3)
    assert found.shape == (2, 1, 32, 32)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, RISE(6, grid=4)(explanandum, image, target).numpy())
    assert explain_func(Random(), explanandum)(inputs=list(image.numpy())).shape == (2, 1, 32, 32)


def test_quantus_itself(explanandum, image, target):
    quantus = pytest.importorskip("quantus")
    metric = quantus.Sparseness(disable_warnings=True)
    scores = metric(model=explanandum, x_batch=image.numpy(), y_batch=target.numpy(), a_batch=None,
                    explain_func=explain_func(Gradient(), explanandum), device="cpu")  # fmt: skip
    assert len(scores) == 2
