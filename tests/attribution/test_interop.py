"""Captum's and Quantus' callers can call our methods, and any method of captum is ours by its name."""

import captum.attr
import numpy as np
import pytest
import torch
from captum.metrics import infidelity, sensitivity_max

from explainer.attribution import RISE, Captum, GradCAM, Gradient, Random, explain_func
from explainer.attribution.for_captum import ForCaptum
from explainer.errors import InputError


def asking(image):
    return image.clone().requires_grad_()


def test_any_method_of_captum_by_its_name(single, image, target):
    baseline = single.mean_colour.expand_as(image)
    want = captum.attr.DeepLift(single).attribute(asking(image), baseline, target)
    assert torch.equal(Captum("DeepLift", baseline=True)(single, image, target)[:, 0], want.sum(1))
    cam = Captum("LayerGradCam", layer=single.taps[-1], arguments={"relu_attributions": True})
    torch.testing.assert_close(cam(single, image, target), GradCAM()(single, image, target))
    assert torch.equal(
        Captum("captum.attr.Saliency")(single, image, target), Gradient("abs_sum")(single, image, target)
    )


@pytest.mark.parametrize("name", ["NoSuchThing", "torch.nn.Linear"])
def test_a_name_that_is_no_method_of_captum(name):
    with pytest.raises(InputError, match="is no attribution method of"):
        Captum(name)


# Ours, called as theirs


def test_captums_own_metrics_take_our_methods(single, image, target):
    ours = ForCaptum(Gradient(), single)
    maps = ours.attribute(image, target=target)
    assert maps.shape == image.shape
    assert isinstance(ours.attribute((image,), target=target), tuple)
    drop = infidelity(single, lambda x: (0.01 * torch.randn_like(x), x - 0.01), image, maps, target=target)
    assert drop.shape == (3,)
    assert sensitivity_max(ours.attribute, image, target=target, n_perturb_samples=2).shape == (3,)
    tunnel = captum.attr.NoiseTunnel(ours)
    assert tunnel.attribute(image, nt_samples=2, target=target).shape == image.shape
    with pytest.raises(InputError, match="Gradient takes n_steps in its constructor, if at all"):
        ours.attribute(image, target=target, n_steps=3)


def test_targets_may_be_written_as_captums_callers_do(single, image, target):
    ours = ForCaptum(Gradient(), single)
    want = ours.attribute(image, target=torch.tensor([1, 1, 1]))
    for written in (1, [1], [1, 1, 1], torch.tensor(1), torch.tensor([1]), np.array([1, 1, 1])):
        assert torch.equal(ours.attribute(image, target=written), want)
    matrix = torch.tensor([[True, False, True], [False, True, False], [True, False, False]])
    assert ours.attribute(image, target=matrix).shape == (4, 3, 32, 32)


def test_the_function_that_quantus_calls(single, image, target):
    explain = explain_func(RISE(6, grid=4), single)
    found = explain(model=single, inputs=image.numpy(), targets=target.numpy(), device="cpu", anything=3)
    assert found.shape == (3, 1, 32, 32)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, RISE(6, grid=4)(single, image, target).numpy())
    assert explain_func(Random(), single)(inputs=list(image.numpy())).shape == (3, 1, 32, 32)


def test_quantus_itself(single, image, target):
    quantus = pytest.importorskip("quantus")
    metric = quantus.Sparseness(disable_warnings=True)
    scores = metric(model=single, x_batch=image.numpy(), y_batch=target.numpy(), a_batch=None,
                    explain_func=explain_func(Gradient(), single), device="cpu")  # fmt: skip
    assert len(scores) == 3
