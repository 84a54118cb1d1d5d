"""What the saliency callback learns of a module, of this project or not."""

import dataclasses
from collections import namedtuple

import pytest
import torch
from torch import nn

from explainer.errors import InputError
from explainer.networks import Explanandum
from explainer.training.callbacks.subject import (
    AnySubject,
    Normalisation,
    ProjectSubject,
    Wanted,
    described,
    first_images,
    guesses,
    part_of,
    subject_of,
)
from explainer.training.modules import Classifier
from tests.support.strangers import lit_classifier


@dataclasses.dataclass
class Data:
    label: int
    pixels: torch.Tensor


def stranger(**wanted):
    return AnySubject(nn.Sequential(nn.Conv2d(3, 4, 3)), Wanted(**wanted))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x: x,
        lambda x: (x, torch.zeros(2)),
        lambda x: [torch.zeros(2), x],
        lambda x: {"label": torch.zeros(2), "pixels": x},
        lambda x: namedtuple("Pair", "y x")(1, x),
        lambda x: Data(1, x),
        lambda x: {"inner": ("name", (torch.zeros(2, 3), x))},
    ],
    ids=["tensor", "tuple", "list", "dict", "named tuple", "dataclass", "nested"],
)
def test_images_are_found_in_a_batch_of_any_form(wrap):
    images = torch.rand(2, 3, 4, 4)
    assert first_images(wrap(images)) is images
    assert stranger().images(wrap(images)) is images
    assert stranger(images=lambda batch: images[:1]).images(wrap(images)).shape == (1, 3, 4, 4)


@pytest.mark.parametrize(
    ("find", "batch", "words"),
    [
        (None, (torch.ones(2, 3), torch.ones(2)), r"no tensor of four dimensions .* a tuple of a Tensor \(2, 3\) and a"),
        (None, "text", r"is in a batch, a str: give a function"),
        (lambda b: b["image"], {"pixels": torch.ones(1, 1, 2, 2)}, r"the function fails \(KeyError: 'image'\) .* with pixels"),
        (lambda b: b[0][0], (torch.ones(2, 3, 4, 4),), r"must return images \(B, C, H, W\), got a Tensor \(3, 4, 4\)"),
        (lambda b: None, (torch.ones(2, 3, 4, 4),), r"got a NoneType of a batch, a tuple of a Tensor \(2, 3, 4, 4\)"),
    ],
)  # fmt: skip
def test_a_batch_without_images_is_refused_in_words(find, batch, words):
    with pytest.raises(InputError, match=rf"^saliency\.images: .*{words}"):
        stranger(images=find).images(batch)


def test_images_are_shown_as_they_were():
    pixels = torch.rand(2, 3, 4, 4)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.1, 0.3)
    normalised = (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(stranger(normalisation=Normalisation(mean, std)).shown(normalised), pixels)
    assert torch.equal(stranger().shown(pixels), pixels)  # in [0, 1] as they are
    scaled = stranger().shown(torch.stack([pixels[0], pixels[1] * 6 - 3]))
    assert torch.equal(scaled[0], pixels[0])  # each image by itself
    torch.testing.assert_close(scaled[1], (pixels[1] - pixels[1].min()) / (pixels[1].max() - pixels[1].min()))
    assert torch.equal(stranger().shown((pixels * 255).byte()), (pixels * 255).byte() / 255)
    assert stranger().shown(torch.full((1, 3, 2, 2), torch.nan)).isfinite().all()


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_images_of_any_number_of_channels_are_shown(channels):
    pixels = torch.rand(2, channels, 4, 4)
    shown = stranger().shown(pixels)
    assert shown.shape == (2, 3, 4, 4)
    if channels < 3:
        torch.testing.assert_close(shown[:, 0], pixels.mean(1))
    else:
        assert torch.equal(shown, pixels[:, :3])


def test_a_normalisation_of_other_channels_is_refused():
    subject = stranger(normalisation=Normalisation((0.5, 0.5), (1.0, 1.0)))
    with pytest.raises(InputError, match=r"saliency\.mean has 2 numbers, the images have 3 channels"):
        subject.images(torch.rand(1, 3, 4, 4))


def test_an_unknown_part_names_near_ones():
    module = lit_classifier()
    with pytest.raises(InputError, match=r"LitClassifier has no part 'backbon'; there are backbone"):
        subject_of(module, Wanted(network="backbon"))
    with pytest.raises(InputError, match=r"no part 'xyz'; there are backbone, head$"):
        part_of(module, "xyz")
    with pytest.raises(InputError, match="no part ''"):
        part_of(module, "")


def test_whose_module_it_is_decides_unless_the_user_does():
    project = Classifier(Explanandum("explainer.networks.small.small_cnn", network_args={"width": 4}))
    assert isinstance(subject_of(project, Wanted()), ProjectSubject)
    assert (
        subject_of(project, Wanted(network="explanandum.network.stages")).network is project.explanandum.network.stages
    )
    assert subject_of(project, Wanted()).network is project.explanandum.network
    module = lit_classifier()
    assert subject_of(module, Wanted()).network is module
    assert subject_of(module, Wanted(network="backbone")).network is module.backbone
    module.backbone = torch.compile(module.backbone, backend="eager")
    assert isinstance(subject_of(module, Wanted(network="backbone")).network, nn.Sequential)


def test_named_taps_of_the_explanandum_are_those_of_the_classifier_alone():
    named = Explanandum("explainer.networks.small.small_cnn", taps=["stages.1"], network_args={"width": 4})
    assert subject_of(Classifier(named), Wanted()).taps == ("stages.1",)
    found = Explanandum("explainer.networks.small.small_cnn", network_args={"width": 4})
    assert subject_of(Classifier(found), Wanted()).taps is None
    assert stranger().taps is None


def test_guesses_name_the_most_probable_class():
    explanandum = Explanandum("explainer.networks.small.small_cnn", num_classes=2, network_args={"width": 4})
    explanandum.describe_classes(("cat", "dog"), False, new_head=False)
    logits = torch.tensor([[0.0, 0.0], [0.0, 100.0]])
    assert guesses(explanandum, logits) == ["predicted: cat 0.50", "predicted: dog 1.00"]


def test_a_batch_is_described():
    assert described(torch.ones(2, 3)) == "a Tensor (2, 3)"
    assert described({"a": 1, "b": 2}) == "a dict with a, b"
    assert described([1, 2]) == "a list"


def test_the_fixed_image_is_the_first_and_with_it_what_the_network_was_fed():
    module = lit_classifier()
    subject = AnySubject(module, Wanted(network="backbone"))
    batch = torch.rand(4, 3, 16, 16)
    with torch.inference_mode():
        with subject.validating((batch, None)):
            module.backbone((batch - 0.5) / 0.1)
        with subject.validating((batch + 1, None)):
            module.backbone(batch + 1)
    fixed = subject.fixed(None)
    assert torch.equal(fixed.image, batch[:1])
    assert torch.equal(fixed.fed, (batch[:1] - 0.5) / 0.1)
    assert not module.backbone._forward_hooks
    again = AnySubject(module, Wanted(network="backbone"))
    assert again.fixed(None) is None
    with again.validating(batch):
        module.backbone(batch)
        module.backbone(batch.flip(3))  # another view of the images
    assert torch.equal(again.fixed(None).fed, batch[:1])
