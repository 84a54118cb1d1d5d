"""Classifiers of one, four and thirteen channels: normalised, traced, read and explained like those of three."""

import pytest
import timm
import torch
from torch import nn
from torchvision import models

import explainer
from explainer.attribution import (
    BBMP,
    FIDO,
    IGOS,
    LIME,
    RISE,
    SMOE,
    ExtremalPerturbation,
    FastCAM,
    GradCAM,
    Gradient,
    IntegratedGradients,
    Occlusion,
)
from explainer.errors import InputError
from explainer.infill import Blur, Constant, Noise, RandomColour
from explainer.networks import Explanandum, FeatureMasker, Masker
from explainer.networks.folding import faster
from explainer.networks.spatial import input_channels, known_channels
from tests.support.small_checkpoints import save_explanandum

SIDE = 32
CELL = 8


class LastBand(nn.Module):
    """One class or two; the last is as sure as the last channel is bright, 8 × 8 pixels together, anywhere."""

    def __init__(self, channels, classes=2):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(channels, 8, CELL, CELL), nn.BatchNorm2d(8), nn.ReLU())
        self.deeper = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
        self.fc = nn.Linear(8, classes)
        with torch.no_grad():
            for layer in (self.features[0], self.deeper[0]):
                layer.weight.zero_()
                layer.bias.zero_()
            self.features[0].weight[:, -1] = torch.linspace(0.5, 1, 8).view(8, 1, 1) / CELL**2
            self.features[0].bias[:] = -0.3
            self.deeper[0].weight[range(8), range(8)] = 1.0
            self.fc.weight.zero_()
            self.fc.bias.zero_()
            self.fc.weight[-1] = 1.0
            self.fc.bias[-1] = -1.0

    def forward(self, image):
        return self.fc(self.deeper(self.features(image)).mean((2, 3)))


def explanandum_of(channels, classes=2):
    torch.manual_seed(0)
    return Explanandum(LastBand(channels, classes), mean=(0.1,) * channels, std=(0.5,) * channels)


def evidence(channels):
    image = 0.1 + 0.1 * torch.rand(1, channels, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    image[:, -1, 8:24, 16:32] = 1.0
    return image


METHODS = {
    "Grad-CAM": GradCAM(), "FastCAM": FastCAM(), "SMOE": SMOE(), "RISE": RISE(masks=1500, grid=4), "Gradient": Gradient(),
    "IG": IntegratedGradients(steps=8), "Occlusion": Occlusion(window=8, stride=8),
    "FIDO": FIDO(grid=4, steps=30, samples=4), "FIDO with a blur": FIDO(grid=4, steps=30, samples=4, infill=Blur(4.0)),
    "BBMP": BBMP(grid=4, steps=40, sparsity=1e-4), "BBMP with a constant": BBMP(grid=4, steps=40, infill=Constant([0.1])),
    "EP": ExtremalPerturbation(areas=(0.3,), steps=12),
}  # fmt: skip


@pytest.mark.parametrize("channels", [1, 4, 13])
@pytest.mark.parametrize("method", METHODS)
def test_evidence_in_the_last_channel_is_found(channels, method):
    explanandum = explanandum_of(channels)
    image = evidence(channels)
    saliency = METHODS[method](explanandum, image, torch.tensor([1]))
    assert saliency.shape == (1, 1, SIDE, SIDE)
    saliency = saliency - saliency.amin()
    inside = saliency[0, 0, 8:24, 16:32].mean()
    assert inside > 1.5 * saliency.mean()


@pytest.mark.parametrize("method", [LIME(samples=20, segments=8), IGOS(iterations=2)], ids=lambda m: type(m).__name__)
def test_methods_that_look_for_long_run_on_four_channels(method):
    pytest.importorskip("skimage")
    assert method(explanandum_of(4), evidence(4), 1).isfinite().all()


@pytest.mark.parametrize("channels", [1, 4, 13])
@pytest.mark.parametrize(
    "infill", [Constant([0.3]), Noise(), RandomColour(), Blur(2.0)], ids=lambda i: type(i).__name__
)
def test_infills(channels, infill):
    image = torch.rand(2, channels, 8, 8)
    assert (infill(image) * torch.ones_like(image)).shape == image.shape


def test_a_colour_of_other_channels_is_refused():
    with pytest.raises(InputError, match="colour has 3 numbers, and the images have 4 channels"):
        Constant()(torch.rand(1, 4, 2, 2))
    with pytest.raises(InputError, match="none"):
        Constant(())
    colour = Constant((0.1, 0.2, 0.3, 0.4))(torch.rand(1, 4, 2, 2))
    assert colour.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_normalisation_and_mean_colour_of_any_number_of_channels():
    network = LastBand(4)
    explanandum = Explanandum(network, mean=(0.1, 0.2, 0.3, 0.4), std=(0.5, 0.6, 0.7, 0.8))
    assert explanandum.channels == 4
    image = torch.rand(2, 4, SIDE, SIDE)
    mean, std = torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([0.5, 0.6, 0.7, 0.8])
    want = (image - mean[:, None, None]) / std[:, None, None]
    torch.testing.assert_close(explanandum.normalised(image), want)
    assert explanandum.mean_colour.shape == (1, 4, 1, 1)
    assert explanandum.spec["mean"] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    # a frozen network with its normalisation layers folded in takes the same images
    torch.testing.assert_close(faster(explanandum, image)(image), explanandum(image))


@pytest.mark.parametrize("channels", [1, 4, 13])
def test_the_first_convolution_tells_the_channels(channels):
    with pytest.warns(UserWarning, match=f"images of {channels} channels are normalised: they are not"):
        explanandum = Explanandum(LastBand(channels))
    assert explanandum.channels == channels
    assert explanandum.mean.flatten().tolist() == [0.0] * channels
    assert explanandum.std.flatten().tolist() == [1.0] * channels
    changed = models.resnet18(num_classes=2)
    changed.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
    with pytest.warns(UserWarning, match="give mean and std"):
        assert Explanandum(changed).channels == channels


def test_a_library_that_was_asked_for_other_channels():
    config = timm.create_model("resnet10t").default_cfg
    grey = Explanandum("timm/resnet10t", network_args={"in_chans": 1})
    assert grey.mean.flatten().tolist() == pytest.approx([sum(config["mean"]) / 3])
    assert grey.num_classes == 1000
    assert len(grey.taps) == 5
    with pytest.warns(UserWarning, match="images of 4 channels"):
        assert Explanandum("timm/resnet10t", network_args={"in_chans": 4}).channels == 4


class OutOfOrder(nn.Module):
    """The convolution that is registered first is not the one that sees the image."""

    def __init__(self):
        super().__init__()
        self.last = nn.Conv2d(8, 2, 1)
        self.first = nn.Conv2d(3, 8, 3)

    def forward(self, image):
        return self.last(self.first(image)).mean((2, 3))


def test_an_inner_convolution_is_not_taken_for_the_first():
    assert input_channels(OutOfOrder()) == 3
    assert Explanandum(OutOfOrder(), mean=(0.0,) * 3, std=(1.0,) * 3).channels == 3
    assert known_channels(nn.Linear(2, 2)) is None
    rearranged = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert input_channels(rearranged) == 3


def test_a_perceptron_takes_the_channels_of_its_mean():
    network = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 10))
    explanandum = Explanandum(network, mean=[0.13], std=[0.31])
    assert explanandum.num_classes == 10
    assert explainer.explain(explanandum, torch.rand(1, 28, 28), "Gradient", image_size=28).saliency.shape[-1] == 28


@pytest.mark.parametrize(("mean", "std", "words"), [
    ((0.5,), (0.5,), "mean and std are of 1 channels, but LastBand takes images of 4"),
    ((0.5,) * 4, (0.5,) * 3, "mean is of 4 channels and std of 3"),
    ((), (), "mean must be numbers, one for each channel"),
    ((0.5,) * 4, (0.5, 0.5, 0.5, 0.0), "std must be numbers above 0, one for each channel"),
    (("a",) * 4, (0.5,) * 4, "mean must be numbers"),
])  # fmt: skip
def test_a_normalisation_that_does_not_fit_is_refused_in_one_line(mean, std, words):
    with pytest.raises(InputError, match=words) as refused:
        Explanandum(LastBand(4), mean=mean, std=std)
    assert "\n" not in str(refused.value)


def test_images_of_other_channels_are_refused():
    explanandum = explanandum_of(4)
    for channels in (1, 3):  # one would be repeated without a word
        with pytest.raises(InputError, match=f"images have {channels} channels, and the classifier takes 4"):
            explanandum(torch.rand(1, channels, SIDE, SIDE))
    with pytest.raises(InputError, match=r"images must be float \(B, 4, H, W\)"):
        RISE(masks=2)(explanandum, torch.rand(1, 3, SIDE, SIDE), 0)


def test_maskers_take_the_channels_of_the_classifier():
    explanandum = explanandum_of(4)
    reader = FeatureMasker(width=8, scales=2)
    reader.attach(explanandum)
    reader.build(2)
    assert reader(torch.rand(1, 4, SIDE, SIDE)).shape == (1, 2, SIDE, SIDE)
    segmenter = Masker("resnet18", arguments={"in_channels": 4})
    segmenter.attach(explanandum)
    segmenter.build(2)
    assert segmenter.eval()(torch.rand(1, 4, SIDE, SIDE)).shape == (1, 2, SIDE, SIDE)
    other = Masker("resnet18")
    other.attach(explanandum)
    with pytest.raises(InputError, match="classifier takes 4 channels, and the masker 3: set arguments"):
        other.build(2)


def test_a_checkpoint_keeps_the_channels(tmp_path):
    arguments = {"in_chans": 4}
    explanandum = Explanandum("timm/resnet10t", num_classes=2, mean=(0.2,) * 4, std=(0.3,) * 4, network_args=arguments)
    save_explanandum(explanandum, tmp_path / "x.ckpt", classes=["a", "b"])
    restored = Explanandum(str(tmp_path / "x.ckpt"))
    image = torch.rand(1, 4, 64, 64)
    assert torch.equal(restored(image), explanandum(image))
