"""Methods by captum give captum's own output; captum's and Quantus' callers can call ours."""

import captum.attr
import numpy as np
import pytest
import torch
from captum.metrics import infidelity, sensitivity_max
from small_checkpoints import CLASSES, SMALL
from torch import nn

from explainer.attribution import (
    LIME,
    RISE,
    Captum,
    Deconvnet,
    ForCaptum,
    GradCAM,
    Gradient,
    GuidedBackprop,
    InputXGradient,
    IntegratedGradients,
    Occlusion,
    Random,
    SmoothGrad,
    explain_func,
)
from explainer.attribution.gradient import simple_relu
from explainer.attribution.lime import superpixels
from explainer.errors import InputError
from explainer.networks import Explanandum


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


def test_gradients_are_those_of_captum(explanandum, image, target):
    want = captum.attr.Saliency(explanandum).attribute(asking(image), target, abs=False)
    for channels, reduced in (("abs_sum", want.abs().sum(1)), ("abs_max", want.abs().amax(1)), ("sum", want.sum(1))):
        assert torch.equal(Gradient(channels)(explanandum, image, target)[:, 0], reduced)


@pytest.mark.parametrize(("ours", "theirs"), [(GuidedBackprop, "GuidedBackprop"), (Deconvnet, "Deconvolution")])
def test_rectified_gradients_are_those_of_captum(explanandum, image, target, ours, theirs):
    with simple_relu(explanandum):
        want = getattr(captum.attr, theirs)(explanandum).attribute(asking(image), target)
    assert torch.equal(ours("sum")(explanandum, image, target)[:, 0], want.sum(1))
    assert not torch.allclose(want, captum.attr.Saliency(explanandum).attribute(asking(image), target, abs=False))


def test_input_times_gradient_is_that_of_the_normalised_input(explanandum, image, target):
    class Inner(nn.Module):
        def forward(self, normalised):
            return explanandum.network(normalised)

    want = captum.attr.InputXGradient(Inner()).attribute(asking(explanandum.normalised(image)), target)
    got = InputXGradient("sum")(explanandum, image, target)
    torch.testing.assert_close(got[:, 0], want.sum(1), atol=1e-6, rtol=1e-4)


def test_integrated_gradients_are_those_of_captum(explanandum, image, target):
    want = captum.attr.IntegratedGradients(explanandum).attribute(
        asking(image), explanandum.mean_colour.expand_as(image), target, n_steps=6, internal_batch_size=16
    )
    assert torch.equal(IntegratedGradients(6, "sum")(explanandum, image, target)[:, 0], want.sum(1).to(image.dtype))


@pytest.mark.parametrize("method", [Gradient, InputXGradient, GuidedBackprop, Deconvnet, IntegratedGradients])
def test_smooth_grad_goes_around_every_one_of_them(explanandum, image, target, method):
    around = method()
    got = SmoothGrad(around, samples=3, squared=False, deviation=1e-6)(explanandum, image, target)
    # nearly no noise: nearly the gradient itself; signs are averaged before magnitudes are taken
    torch.testing.assert_close(got, around(explanandum, image, target), atol=1e-4, rtol=1e-2)


def test_occlusion_is_that_of_captum(explanandum, image, target):
    want = captum.attr.Occlusion(lambda x, c: explanandum(x).softmax(1)[torch.arange(len(x)), c.expand(len(x))])
    for n in range(2):
        values = want.attribute(
            image[n : n + 1], (3, 8, 8), (3, 4, 4), explanandum.mean_colour.expand(1, 3, 32, 32),
            additional_forward_args=(target[n : n + 1],),
        )  # fmt: skip
        got = Occlusion(8, 4, batch_size=3)(explanandum, image[n : n + 1], target[n : n + 1])
        torch.testing.assert_close(got, values[:, :1].to(image.dtype), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("kernel", ["lime", "shap"])
def test_lime_is_that_of_captum(explanandum, image, target, kernel):
    got = LIME(samples=20, segments=6, kernel=kernel, seed=3)(explanandum, image[:1], target[:1])
    segments = superpixels(image[0], 6, 10.0)
    theirs = {"lime": captum.attr.Lime, "shap": captum.attr.KernelShap}[kernel]
    torch.manual_seed(3)
    want = theirs(lambda x: explanandum(x).softmax(1)[:, target[0]]).attribute(
        image[:1], feature_mask=segments[None, None].expand(1, 3, 32, 32), n_samples=20,
        baselines=explanandum.mean_colour.expand(1, 3, 32, 32),
    )  # fmt: skip
    torch.testing.assert_close(got, want[:, :1].to(image.dtype), atol=1e-5, rtol=1e-3)


def test_superpixels_cover_the_image():
    picture = torch.zeros(3, 40, 40)
    picture[:, :, 20:] = 1
    for shown in (picture, torch.rand(3, 40, 40)):
        segments = superpixels(shown, 9, 10.0)
        assert segments.shape == (40, 40)
        assert sorted(segments.unique().tolist()) == list(range(int(segments.max()) + 1))
        assert segments.max() > 0


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
    explanandum = Explanandum("test_captum.functional", multilabel=False)
    with pytest.raises(InputError, match="changes what ReLU modules pass back; this classifier has none"):
        method(explanandum, image, target)


def test_grad_cam_without_convolutions(image, target):
    explanandum = Explanandum("test_captum.flat", multilabel=False)
    with pytest.raises(InputError, match="Grad-CAM weighs feature maps; this classifier has no convolution"):
        GradCAM()(explanandum, image, target)


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


@pytest.mark.parametrize(("build", "words"), [
    (lambda: Occlusion(window=8, stride=9), "stride 9 would skip pixels"), (lambda: LIME(samples=0), "samples must be"),
    (lambda: LIME(kernel="rbf"), "kernel must be lime or shap"),
    (lambda: Occlusion(window=0), "window must be positive"),
])  # fmt: skip
def test_settings_that_make_no_sense(build, words):
    with pytest.raises(InputError, match=words):
        build()


def test_a_window_larger_than_the_image(explanandum, image, target):
    with pytest.raises(InputError, match="window 64 is larger than the image"):
        Occlusion(64, 8)(explanandum, image, target)
