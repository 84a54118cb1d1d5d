"""Gradients of every kind are those of captum; what has no such gradient is refused."""

import captum.attr
import pytest
import torch
from torch import nn

from explainer.attribution import (
    Deconvnet,
    GradCAM,
    Gradient,
    GuidedBackprop,
    InputXGradient,
    IntegratedGradients,
    SmoothGrad,
)
from explainer.attribution.gradient import simple_relu
from explainer.errors import InputError
from explainer.networks import Explanandum


def asking(image):
    return image.clone().requires_grad_()


def test_gradients_are_those_of_captum(single, image, target):
    want = captum.attr.Saliency(single).attribute(asking(image), target, abs=False)
    for channels, reduced in (("abs_sum", want.abs().sum(1)), ("abs_max", want.abs().amax(1)), ("sum", want.sum(1))):
        assert torch.equal(Gradient(channels)(single, image, target)[:, 0], reduced)


@pytest.mark.parametrize(("ours", "theirs"), [(GuidedBackprop, "GuidedBackprop"), (Deconvnet, "Deconvolution")])
def test_rectified_gradients_are_those_of_captum(single, image, target, ours, theirs):
    with simple_relu(single):
        want = getattr(captum.attr, theirs)(single).attribute(asking(image), target)
    assert torch.equal(ours("sum")(single, image, target)[:, 0], want.sum(1))
    assert not torch.allclose(want, captum.attr.Saliency(single).attribute(asking(image), target, abs=False))


def test_input_times_gradient_is_that_of_the_normalised_input(single, image, target):
    class Inner(nn.Module):
        def forward(self, normalised):
            return single.network(normalised)

    want = captum.attr.InputXGradient(Inner()).attribute(asking(single.normalised(image)), target)
    got = InputXGradient("sum")(single, image, target)
    torch.testing.assert_close(got[:, 0], want.sum(1), atol=1e-6, rtol=1e-4)


def test_integrated_gradients_are_those_of_captum(single, image, target):
    want = captum.attr.IntegratedGradients(single).attribute(
        asking(image), single.mean_colour.expand_as(image), target, n_steps=6, internal_batch_size=16
    )
    assert torch.equal(IntegratedGradients(6, "sum")(single, image, target)[:, 0], want.sum(1).to(image.dtype))


@pytest.mark.parametrize("method", [Gradient, InputXGradient, GuidedBackprop, Deconvnet, IntegratedGradients])
def test_smooth_grad_goes_around_every_one_of_them(single, image, target, method):
    around = method()
    got = SmoothGrad(around, samples=3, squared=False, deviation=1e-6)(single, image, target)
    # nearly no noise: nearly the gradient itself; signs are averaged before magnitudes are taken
    torch.testing.assert_close(got, around(single, image, target), atol=1e-4, rtol=1e-2)


# Networks that these methods cannot serve


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


def functional():
    return Functional()


class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3 * 32 * 32, 3)

    def forward(self, x):
        return self.fc(x.flatten(1))


def flat():
    return Flat()


@pytest.mark.parametrize("method", [GuidedBackprop(), Deconvnet()])
def test_functional_relu_is_refused_in_words(method, image, target):
    single = Explanandum("tests.attribution.test_gradient.functional", multilabel=False)
    with pytest.raises(InputError, match="changes what ReLU modules pass back; this classifier has none"):
        method(single, image, target)


def test_grad_cam_without_convolutions(image, target):
    single = Explanandum("tests.attribution.test_gradient.flat", multilabel=False)
    with pytest.raises(InputError, match="Grad-CAM weighs feature maps; this classifier has no convolution"):
        GradCAM()(single, image, target)


def test_relu6_and_in_place_activations_are_served_and_put_back():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU6(inplace=True), nn.ReLU(inplace=True))
    relu6 = network[1]
    x = torch.randn(1, 3, 8, 8) * 20
    want = network(x)
    with simple_relu(network):
        assert any(type(m) is nn.ReLU for m in network[1].modules())
        assert not network[2].inplace
        assert torch.equal(network(x), want)
    assert network[1] is relu6
    assert network[1].inplace
    assert network[2].inplace
