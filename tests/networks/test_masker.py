"""The masker: sizes, classes, encoders."""

import pytest
import torch
from torch import nn

from explainer.errors import InputError
from explainer.networks import Explanandum, Masker


def test_masker_takes_any_size_and_batches_of_one():
    masker = Masker("resnet18", arguments={"encoder_depth": 3, "decoder_channels": 8})
    masker.build(2)
    masker.train()
    assert masker(torch.rand(1, 3, 45, 70)).shape == (1, 2, 45, 70)


@pytest.mark.parametrize(
    "options", [{"encoder": "no_such"}, {"architecture": "NoSuchNet"}, {"arguments": {"no_such": 1}}]
)
def test_bad_maskers_are_named(options):
    with pytest.raises(InputError, match=r"(?i)no_?such"):
        Masker(**options).build(2)


@pytest.mark.parametrize("architecture", ["DeepLabV3", "Unet", "FPN"])
@pytest.mark.parametrize(("size", "training"), [(2, False), (1, True)])
def test_the_mask_of_one_class_is_that_of_all(architecture, size, training):
    masker = Masker("resnet18", architecture=architecture)
    masker.build(5)
    masker.train(training)
    torch.nn.init.normal_(next(iter(masker.network.segmentation_head.parameters())))
    for module in masker.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
    image, only = torch.rand(size, 3, 40, 64), torch.tensor([3, 1])[:size]
    whole = masker(image)
    assert torch.equal(masker(image, only), whole[torch.arange(size), only][:, None])
    assert masker(image).shape == (size, 5, 40, 64)  # and all of them again afterwards


@pytest.mark.parametrize(("network", "encoder"), [("resnet18", "resnet18"), ("timm/resnet10t", "tu-resnet10t")])
def test_an_encoder_starts_from_a_classifiers_weights(tmp_path, network, encoder):
    classifier = Explanandum(network, num_classes=2)
    torch.save(classifier.network.state_dict(), tmp_path / "weights.pth")
    spec = {"kind": "classifier", "classes": ["a", "b"], "multilabel": True, "explanandum": classifier.spec}
    state = {f"explanandum.{name}": tensor for name, tensor in classifier.state_dict().items()}
    torch.save({"explainer": spec, "state_dict": state}, tmp_path / "classifier.ckpt")
    want = classifier.network.state_dict()["layer1.0.conv1.weight"]
    for file in ("weights.pth", "classifier.ckpt"):
        masker = Masker(encoder, str(tmp_path / file), arguments={"encoder_depth": 3, "decoder_channels": 8})
        masker.build(5)
        got = next(t for n, t in masker.network.encoder.state_dict().items() if n.endswith("layer1.0.conv1.weight"))
        assert torch.equal(got, want)
    other = Masker("resnet34", str(tmp_path / "weights.pth"))
    with pytest.raises(InputError, match=r"weights\.pth"):
        other.build(5)
