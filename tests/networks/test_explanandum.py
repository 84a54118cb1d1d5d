"""Classifiers of any family: their normalisation, heads, layers and weights; frozen means frozen."""

import pytest
import torch
from torch import nn
from torchvision import models

from explainer.errors import InputError
from explainer.functional.masking import composite
from explainer.networks import Explanandum, Masker
from explainer.networks.build import build_network, load_weights
from explainer.networks.heads import heads, width
from explainer.networks.loading import read_tensors
from explainer.networks.taps import find_taps
from explainer.training.modules import AmortizedExplainer, Classifier, ExplainerObjective
from tests.support.small_checkpoints import save_classifier
from tests.support.small_networks import tiny


def test_any_family_by_name_with_a_head_of_any_size():
    for name in ("alexnet", "squeezenet1_1", "timm/resnet10t", "tests.support.small_networks.tiny"):
        network = Explanandum(name, num_classes=7, multilabel=True).eval()
        assert network(torch.rand(2, 3, 64, 64)).shape == (2, 7), name


def test_another_class_count_than_the_checkpoints_is_refused(tmp_path):
    path = save_classifier(tmp_path / "x.ckpt")
    assert Explanandum(path, num_classes=3).classes == ("cat", "dog", "cow")
    with pytest.raises(
        InputError, match=r"num_classes is 4, the checkpoint .*x\.ckpt has 3 classes: leave it out"
    ) as error:
        Explanandum(path, num_classes=4)
    assert "\n" not in str(error.value)


def test_normalisation_is_inside_and_mean_colour_is_its_zero():
    network = Explanandum("tests.support.small_networks.tiny", multilabel=True)
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
    network = Explanandum("tests.support.small_networks.tiny", multilabel=True)
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
        Explanandum("tests.support.small_networks.tiny", multilabel=True),
        Explanandum("tests.support.small_networks.tiny", multilabel=False),
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
        _ = Explanandum("tests.support.small_networks.of_the_mean_colour").taps


def test_unknown_tap_lists_those_that_exist():
    with pytest.raises(InputError, match="layer4"):
        Explanandum("resnet18", taps=["layer9"])


@pytest.mark.parametrize(("arguments", "words"), [
    ({"network": "no_such_network"}, "neither a torchvision model"),
    ({"network": "os.no_such_function"}, "os.no_such_function"),
    ({"network": "os.getcwd"}, "not a torch network"),
    ({"network": "vgg16", "weights": "IMAGENET9K"}, "IMAGENET9K"),
    ({"network": "vgg16", "weights": "missing.pth"}, "no file missing.pth"),
    ({"network": "tests.support.small_networks.tiny", "network_args": {"colour": 1}}, "colour"),
    ({"network": "missing.ckpt"}, "no file missing.ckpt"),
])  # fmt: skip
def test_bad_networks_are_named(arguments, words):
    with pytest.raises(InputError, match=words) as caught:
        Explanandum(**arguments)
    assert "\n" not in str(caught.value)


def test_weights_from_a_local_file(tmp_path):
    source = tiny()
    torch.save(source.state_dict(), tmp_path / "w.pth")
    loaded = Explanandum("tests.support.small_networks.tiny", weights=str(tmp_path / "w.pth"))
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
    explanandum = Explanandum("tests.support.small_networks.tiny", multilabel=True)
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


def test_torchvision_arguments_are_passed_on():
    assert build_network("alexnet", arguments={"num_classes": 9}).classifier[-1].out_features == 9


def test_layers_that_were_found_are_not_described_as_named():
    found = Explanandum("resnet18", num_classes=2)
    assert found.taps[0] == "relu"
    assert found.spec["taps"] is None
    named = Explanandum("resnet18", num_classes=2, taps=["layer1", "layer2"])
    assert named.spec["taps"] == ["layer1", "layer2"]


def test_weights_that_a_network_does_not_have_are_told_from_those_that_it_has():
    with pytest.raises(InputError, match="'resnet18' has no weights 'none': there are IMAGENET1K_V1; or give a file"):
        Explanandum("resnet18", weights="none")
