"""One photograph, any classifier, any method, no training."""

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from torch import nn

import explainer
from explainer.attribution import Constant, GradCAM
from explainer.errors import InputError
from explainer.inference.by_method import build_method
from explainer.networks import Explanandum
from tests.support.small_checkpoints import save_explainer


class Redness(nn.Module):
    """Two classes, the second as sure as the middle of the image is red; returns what libraries return."""

    def __init__(self, kind=torch.Tensor):
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 1, bias=False)
        self.kind = kind
        with torch.no_grad():
            self.layer.weight.zero_()
            self.layer.weight[1, 0] = 10.0

    def forward(self, image):
        logits = self.layer(image)[:, :, 8:16, 8:16].mean((2, 3)) - torch.tensor([0.0, 5.0])
        return {"tuple": (logits, image), "dict": {"logits": logits}}.get(self.kind, logits)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "red.png"
    picture = Image.new("RGB", (60, 48), "blue")
    picture.paste("red", (20, 16, 40, 32))
    picture.save(path)
    return path


PLAIN = {"mean": (0.0,) * 3, "std": (1.0,) * 3, "image_size": 24}


@pytest.mark.parametrize("kind", ["tensor", "tuple", "dict"])
def test_a_live_network_in_one_line(photo, kind):
    model = Redness(kind)
    result = explainer.explain(model, photo, "Gradient", classes=["blue", "red"], **PLAIN)
    assert (result.label, result.target) == ("red", 1)
    assert result.probability > 0.9
    assert result.saliency.shape == (1, 1, 48, 60)
    row, column = divmod(int(result.saliency.flatten().argmax()), 60)
    assert 15 <= row < 33
    assert 19 <= column < 41
    assert model.training
    assert model.layer.weight.grad is None
    assert repr(result) == f"Gradient of 'red' (p {result.probability:.3f}), 48×60"
    html = result._repr_html_()
    assert html.startswith('<figure><img src="data:image/png;base64,')
    assert "&#x27;red&#x27;" in html


@pytest.mark.parametrize(
    "photo_of", [lambda p: p, str, Image.open, lambda p: torch.rand(3, 30, 20), lambda p: torch.rand(1, 3, 30, 20)]
)
def test_photographs_of_every_kind(photo, photo_of):
    assert explainer.explain(Redness(), photo_of(photo), GradCAM("layer"), target=1, **PLAIN).saliency.isfinite().all()


@pytest.fixture(scope="module", params=["resnet18", "swin_t", "timm/vit_tiny_patch16_224"])
def architecture(request):
    """A network of each layout: channels first, channels last, tokens."""
    library, _, name = request.param.rpartition("/")
    if library:
        return timm.create_model(name)
    return getattr(torchvision.models, name)(weights=None)


@pytest.mark.parametrize("name", ["FastCAM", "Grad-CAM", "grad-cam++", "SMOE", "SmoothGrad"])
def test_methods_by_name_on_architectures(name, architecture):
    few = {"samples": 2} if name == "SmoothGrad" else {}
    result = explainer.explain(architecture, torch.rand(3, 224, 200), name, target=3, **few)
    assert result.saliency.shape == (1, 1, 224, 200)
    assert result.attribution.isfinite().all()


def test_a_method_that_masks_each_channel():
    model = torchvision.models.resnet18(weights=None)
    # small, because there is a pass for each of 512 channels
    result = explainer.explain(model, torch.rand(3, 90, 80), "ScoreCAM", target=3, image_size=32)
    assert result.saliency.shape == (1, 1, 90, 80)
    assert result.attribution.isfinite().all()


def test_an_explanandum_is_taken_as_it_is(photo):
    explanandum = Explanandum("alexnet", num_classes=3)
    explanandum.describe_classes(["a", "b", "c"], False, new_head=False)
    assert explainer.explain(explanandum, photo, "RISE", "b", masks=10).label == "b"


def test_the_classifier_of_a_checkpoint_sees_images_of_its_training_size(photo, tmp_path):
    save_explainer(tmp_path / "x.ckpt", image_size=48)
    explained = explainer.load(tmp_path / "x.ckpt", "cpu", allow=["tests"])
    result = explainer.explain(explained.explanandum, photo, "Gradient")
    assert result.attribution.shape == (1, 1, 48, 48)
    # the same photograph, the same probabilities, whichever way it is explained
    torch.testing.assert_close(result.probabilities, explained.explain(photo).probabilities)


def test_a_picture_is_saved(photo, tmp_path):
    result = explainer.explain(Redness(), photo, Constant(0.5), **PLAIN)
    assert Image.open(result.save(tmp_path / "map.png")).size == (60, 48)


@pytest.mark.parametrize(("options", "words"), [
    ({"method": "GradCAN"}, "no method 'GradCAN', only .*GradCAM"),
    ({"method": "RISE", "mask": 3}, "RISE takes the hyperparameters .*masks"),
    ({"method": Constant(0.5), "masks": 3}, "masks cannot be set"),
    ({"target": "green"}, "no class 'green'; there are 0, 1"),
    ({"target": 2}, "target 2 is no class: they are numbered from 0 to 1"),
    ({"classes": ["a"]}, "2 classes, and 1 names"),
])  # fmt: skip
def test_what_cannot_be_is_said_in_one_line(photo, options, words):
    with pytest.raises(InputError, match=words) as refused:
        explainer.explain(Redness(), photo, **{"method": "Gradient", **PLAIN, **options})
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.jpg"):
        explainer.explain(Redness(), tmp_path / "nowhere.jpg", "Gradient", **PLAIN)


def test_every_method_can_be_named():
    for name in (
        "Gradient",
        "InputXGradient",
        "GuidedBackprop",
        "FIDO",
        "BBMP",
        "ExtremalPerturbation",
        "IGOS",
        "LIME",
    ):
        assert type(build_method(name, {})).__name__ == name


class Brightness(nn.Module):
    """One class or several, as sure as the middle of the last channel is bright; or what is no classifier."""

    def __init__(self, channels, classes=2, output="logits"):
        super().__init__()
        self.layer = nn.Conv2d(channels, classes, 1, bias=False)
        self.output = output
        with torch.no_grad():
            self.layer.weight.zero_()
            self.layer.weight[-1, -1] = 10.0

    def forward(self, image):
        maps = self.layer(image)
        if self.output == "maps":
            return maps
        if self.output == "number":
            return maps.mean()
        return maps[:, :, 8:16, 8:16].mean((2, 3)) - 5.0 * (maps.shape[1] == 1)


def plain(channels):
    return {"mean": (0.0,) * channels, "std": (1.0,) * channels, "image_size": 24}


@pytest.mark.parametrize("channels", [1, 4, 13])
@pytest.mark.parametrize("method", ["Gradient", "RISE"])
def test_tensors_of_any_number_of_channels(channels, method):
    options = {"masks": 50} if method == "RISE" else {}
    image = torch.zeros(channels, 48, 48)
    image[-1, 16:32, 16:32] = 1.0
    result = explainer.explain(Brightness(channels), image, method, **plain(channels), **options)
    assert (result.target, tuple(result.image.shape)) == (1, (1, channels, 48, 48))
    assert result.probability > 0.9
    assert result.picture().size == (48, 48)


def test_sixteen_bits_reach_a_classifier_of_one_channel(tmp_path):
    values = np.full((24, 24), 258, np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    result = explainer.explain(Brightness(1), tmp_path / "a.png", "Gradient", 1, **plain(1))
    torch.testing.assert_close(result.image, torch.full((1, 1, 24, 24), 258 / 65535))
    Image.new("RGB", (24, 24), "red").save(tmp_path / "red.png")
    assert explainer.explain(Brightness(1), tmp_path / "red.png", "Gradient", 1, **plain(1)).image.shape[1] == 1
    Image.new("L", (24, 24)).save(tmp_path / "grey.png")
    assert explainer.explain(Redness(), tmp_path / "grey.png", "Gradient", 1, **PLAIN).image.shape[1] == 3


def test_pictures_show_chosen_bands(tmp_path):
    image = np.zeros((13, 24, 24), np.float32)
    image[3] = 1.0
    np.save(tmp_path / "a.npy", image)
    shades = {}
    result = explainer.explain(Brightness(13), tmp_path / "a.npy", "Gradient", 1, **plain(13))
    for bands in (None, (3, 2, 1), (3,)):
        pixels = np.asarray(result.picture(bands)).astype(int)
        shades[bands] = pixels.mean()
        assert pixels.shape == (24, 24, 3)
    assert shades[None] < shades[3, 2, 1] < shades[3,]
    for bands in ((3, 2), (13,), (-1, 0, 1), (0.5,)):
        with pytest.raises(InputError, match="bands are one or three channels from 0 to 12"):
            result.picture(bands)


def test_one_logit():
    image = torch.zeros(1, 24, 24)
    assert explainer.explain(Brightness(1, classes=1), image, "Gradient", **plain(1)).probability < 0.1
    for method in ("Gradient", "GradCAM", "RISE", "FIDO"):
        options = {"RISE": {"masks": 10}, "GradCAM": {"layer": "layer"}, "FIDO": {"steps": 2}}.get(method, {})
        result = explainer.explain(Brightness(1, classes=1), image + 1, method, **plain(1), **options)
        assert result.target == 0
        assert result.probability == pytest.approx(1 / (1 + np.exp(-5.0)))
        assert result.attribution.isfinite().all()


@pytest.mark.parametrize(("model", "photo", "words"), [
    (Brightness(4), torch.rand(3, 24, 24), r"\(B, 4, H, W\), got \(1, 3, 24, 24\)"),
    (Brightness(4), Image.new("RGB", (24, 24)), "it has 3 channels, and the classifier takes 4"),
    (Brightness(4, output="maps"), torch.rand(4, 24, 24), r"returned a tensor \(1, 2, 24, 24\), not logits"),
    (Brightness(4, output="number"), torch.rand(4, 24, 24), r"returned a tensor \(\), not logits"),
])  # fmt: skip
def test_what_does_not_fit_together_is_said_in_one_line(model, photo, words):
    with pytest.raises(InputError, match=words) as refused:
        explainer.explain(model, photo, "Gradient", **plain(4))
    assert "\n" not in str(refused.value)


def test_a_function_of_several_numbers_is_refused_in_one_line():
    explanandum = Explanandum(Brightness(3), mean=(0.0,) * 3, std=(1.0,) * 3)
    with pytest.raises(InputError, match="one number an image") as refused:
        GradCAM("layer")(explanandum, torch.rand(2, 3, 24, 24), lambda logits: logits[:, :2])
    assert "\n" not in str(refused.value)


def test_a_function_in_place_of_a_class(photo):
    def redder_than_blue(logits):
        return logits[:, 1] - logits[:, 0]

    result = explainer.explain(Redness(), photo, "Gradient", redder_than_blue, classes=["blue", "red"], **PLAIN)
    assert result.label == "redder_than_blue"
    row, column = divmod(int(result.saliency.flatten().argmax()), 60)
    assert 15 <= row < 33
    assert 19 <= column < 41
