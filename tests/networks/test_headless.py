"""Networks that return features get a head when they are to be trained, and have it again after a checkpoint."""

import pytest
import timm
import torch
from torch import nn
from torchvision import models

from explainer.attribution import RISE
from explainer.errors import InputError
from explainer.networks import Explanandum
from explainer.networks.headless import is_headless, with_head
from explainer.networks.heads import _trace_heads, heads
from explainer.networks.outputs import features_of
from explainer.training.modules import Classifier
from tests.support.small_checkpoints import save_explanandum

PLAIN = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
SMALL = {"img_size": 32, "depth": 2, "embed_dim": 32, "num_heads": 2}
TIMM = {
    "vit_small_patch14_dinov2": ({**SMALL, "img_size": 56}, "head"),
    "vit_base_patch16_siglip_224": (SMALL, "head"),
    "vit_small_patch16_dinov3": ({"depth": 2, "img_size": 64}, "head"),
    "resnet10t": ({"num_classes": 0}, "fc"),
    "mobilenetv3_small_050": ({"num_classes": 0}, "classifier"),
}


@pytest.mark.parametrize("name", TIMM)
def test_networks_of_timm_make_their_own_head(name):
    arguments, head = TIMM[name]
    explanandum = Explanandum(f"timm/{name}", num_classes=7, network_args=arguments)
    side = arguments.get("img_size", 64)
    assert [n for n, _ in explanandum.heads] == [head]
    assert _trace_heads(explanandum.network, None) == (head,)
    assert explanandum(torch.rand(2, 3, side, side)).shape == (2, 7)
    assert explanandum.num_classes == 7
    # a second number of classes replaces the head, and adds no other
    explanandum.describe_classes(["a", "b"], False, new_head=True)
    assert explanandum(torch.rand(2, 3, side, side)).shape == (2, 2)


def backbone():
    """Features (B, 6); nothing stands in the place of a head, and the last layer is a normalisation."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.LayerNorm(6),
    )  # fmt: skip


def without_head():
    """What many do to torchvision's networks."""
    network = models.resnet18()
    network.fc = nn.Identity()
    return network


def with_identity_behind_its_head():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5), nn.Identity())


def test_an_identity_in_the_place_of_the_head_is_replaced():
    explanandum = Explanandum(without_head(), num_classes=3)
    assert [name for name, _ in explanandum.heads] == ["fc"]
    assert explanandum(torch.rand(1, 3, 64, 64)).shape == (1, 3)
    vgg = models.vgg11(init_weights=False)
    vgg.classifier[6] = nn.Identity()
    replaced = Explanandum(vgg, num_classes=3)
    assert [name for name, _ in replaced.heads] == ["classifier.6"]
    assert replaced.network.classifier[3].out_features == 4096
    assert isinstance(vgg.classifier[6], nn.Identity)  # a live network is left as it is


def test_an_identity_behind_a_head_is_none():
    network = with_identity_behind_its_head()
    assert not is_headless(network)
    explanandum = Explanandum(network, num_classes=3, **PLAIN)
    assert [name for name, _ in explanandum.heads] == ["3"]


def test_features_have_no_classes():
    for network in (without_head(), timm.create_model("resnet10t", num_classes=0)):
        explanandum = Explanandum(network)
        with pytest.raises(InputError, match=r"returns features|cannot tell|no linear layer") as refused:
            RISE(masks=2)(explanandum, torch.rand(1, 3, 64, 64), 0)
        assert "\n" not in str(refused.value)


def test_new_puts_a_head_around_any_features():
    explanandum = Explanandum("tests.networks.test_headless.backbone", num_classes=4, head="new", taps=["1", "3"])
    assert [name for name, _ in explanandum.heads] == ["head"]
    assert explanandum.taps == ("features.1", "features.3")
    assert explanandum.spec["head"] == ["new"]
    assert explanandum.spec["taps"] == ["1", "3"]
    network = explanandum.network
    image = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(network(image), network.head(network.features(image)))
    explanandum.describe_classes(["a", "b"], False, new_head=True)
    assert explanandum(image).shape == (2, 2)
    assert explanandum.network.features is network.features


def test_the_head_alone_is_trained():
    explanandum = Explanandum("tests.networks.test_headless.backbone", num_classes=4, head="new")
    explanandum.unfreeze(head_only=True)
    trained = [name for name, weight in explanandum.network.named_parameters() if weight.requires_grad]
    assert trained == ["head.weight", "head.bias"]


@pytest.mark.parametrize(("network", "options"), [
    ("tests.networks.test_headless.backbone", {"head": "new"}),
    ("tests.networks.test_headless.without_head", {}),
    ("timm/vit_small_patch14_dinov2", {"network_args": TIMM["vit_small_patch14_dinov2"][0]}),
])  # fmt: skip
def test_a_checkpoint_has_the_head(tmp_path, network, options):
    module = Classifier(Explanandum(network, **options))
    module.build(("a", "b", "c"), False)
    explanandum = module.explanandum
    save_explanandum(explanandum, tmp_path / "x.ckpt", image_size=56)
    restored = Explanandum(str(tmp_path / "x.ckpt"), allow=["tests.networks.test_headless"])
    image = torch.rand(1, 3, 56, 56)
    explanandum.freeze()
    assert torch.equal(restored(image), explanandum(image))
    assert restored.spec == explanandum.spec


def test_backbones_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.Dinov2Config(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, image_size=32, patch_size=4
    )
    network = transformers.Dinov2Model(config)
    explanandum = Explanandum(network, num_classes=3, **PLAIN)
    image = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        pooled = network.eval()(image).pooler_output
        torch.testing.assert_close(explanandum(image), explanandum.network.head(pooled))
    assert explanandum.taps[-1] == "features.encoder.layer.2"
    save_explanandum(explanandum, tmp_path / "x.ckpt")
    assert torch.equal(Explanandum(str(tmp_path / "x.ckpt"))(image), explanandum(image))


class Output:
    """What a library may return."""

    def __init__(self, **parts):
        self.__dict__.update(parts)


def test_features_are_found_in_what_is_returned():
    tokens = torch.arange(12.0).view(1, 3, 4)
    assert torch.equal(features_of(Output(last_hidden_state=tokens)), tokens.mean(1))
    assert torch.equal(features_of(Output(last_hidden_state=tokens, pooler_output=tokens[:, 0])), tokens[:, 0])
    assert torch.equal(features_of(Output(last_hidden_state=torch.ones(2, 3, 4, 4))), torch.ones(2, 3))
    assert features_of(torch.ones(2, 3, 4, 4)) is None
    assert features_of("text") is None


def test_maps_get_no_head():
    with pytest.raises(InputError, match="Conv2d returns no features"):
        with_head(nn.Conv2d(3, 4, 1), 3)
    assert heads(with_head(backbone(), 3))[0][0] == "head"
