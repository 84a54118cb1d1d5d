"""Which layers give the class scores, over families of networks with random weights."""

import pytest
import timm
import torch
from torch import nn
from torchvision import models

from explainer.errors import InputError
from explainer.networks import Explanandum
from explainer.networks.build import load_weights
from explainer.networks.heads import _trace_heads, heads, replace_head
from tests.support.small_checkpoints import save_explanandum

FAMILIES = {
    "resnet18": ("fc",),
    "squeezenet1_1": ("classifier.1",),
    "mobilenet_v3_small": ("classifier.3",),
    "shufflenet_v2_x0_5": ("fc",),
    "mnasnet0_5": ("classifier.1",),
    "densenet121": ("classifier",),
    "googlenet": ("fc",),
    "inception_v3": ("fc",),
    "timm/resnet10t": ("fc",),
    "timm/deit_tiny_distilled_patch16_224": ("head", "head_dist"),
    "timm/levit_128s": ("head.linear", "head_dist.linear"),
    "timm/efficientformer_l1": ("head", "head_dist"),
    "timm/repvit_m0_9": ("head.head.l", "head.head_dist.l"),
    "timm/vit_tiny_patch16_224": ("head",),
    "timm/mobilenetv3_small_050": ("classifier",),
    "timm/convnext_atto": ("head.fc",),
    "timm/pit_ti_distilled_224": ("head", "head_dist"),
    "timm/edgenext_xx_small": ("head.fc",),
    "timm/crossvit_tiny_240": ("head.0", "head.1"),
    "timm/swiftformer_xs": ("head", "head_dist"),
    "timm/cait_xxs24_224": ("head",),
    "timm/efficientvit_b0": ("head.classifier.4",),
}


@pytest.mark.parametrize(("name", "wanted"), FAMILIES.items())
def test_every_head_and_nothing_else_is_replaced(name, wanted):
    network = Explanandum(name, multilabel=True)
    # what the library says of itself is what a forward pass shows
    assert [n for n, _ in heads(network.network)] == list(wanted)
    assert set(_trace_heads(network.network, None)) == set(wanted)
    before = {n for n, _ in network.network.named_modules()}
    network.describe_classes([str(i) for i in range(7)], True, new_head=True)
    assert {n for n, _ in network.network.named_modules()} == before
    network.unfreeze(head_only=True)
    trained = {n for n, p in network.network.named_parameters() if p.requires_grad}
    assert trained == {f"{head}.{part}" for head in wanted for part in ("weight", "bias")}
    size = max(64, (getattr(network.network, "default_cfg", None) or {}).get("input_size", (3, 96, 96))[1])
    logits = network(torch.rand(2, 3, size, size))
    assert logits.shape == (2, 7)
    logits.sum().backward()
    touched = {n for n, p in network.network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert touched == trained
    assert not any(m._forward_hooks for m in network.network.modules())


class Mine(nn.Module):
    """Features, a head, and more linear layers that are registered after it."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.inner = nn.Linear(4, 4)
        self.score = nn.Linear(4, 5)
        self.projector = nn.Linear(4, 9)
        self.auxiliary = nn.Linear(4, 5)

    def forward(self, x):
        features = self.features(x)
        scores = self.score(self.inner(features))
        extra = self.projector(features)
        if self.kind == "tuple":
            return scores, extra
        if self.kind == "sum":
            return scores + self.auxiliary(features)
        if self.kind == "residual":
            return scores + self.projector2(scores)
        if self.kind == "cat":
            return torch.cat([scores, extra], 1)
        if self.kind == "norm":
            return torch.nn.functional.layer_norm(scores, (5,), torch.ones(5))
        return scores.relu_() if self.kind == "inplace" else scores


@pytest.mark.parametrize(("kind", "wanted"), [
    ("plain", ["score"]), ("tuple", ["score"]), ("sum", ["score", "auxiliary"]), ("inplace", ["score"]),
])  # fmt: skip
def test_a_network_of_ones_own_is_traced(kind, wanted):
    network = Mine(kind)
    state = torch.get_rng_state()
    assert [name for name, _ in heads(network)] == wanted
    assert torch.equal(torch.get_rng_state(), state)
    assert network.training
    assert all(p.grad is None for p in network.parameters())
    replace_head(network, 3)
    assert heads(network)[0][1].out_features == 3
    assert network.projector.out_features == 9


@pytest.mark.parametrize(("kind", "words"), [
    ("residual", "no layer gives its output alone"), ("cat", "no layer gives its output alone"),
    ("norm", "does not run with 3 classes"),
])  # fmt: skip
def test_what_cannot_be_told_is_refused_and_can_be_named(kind, words):
    network = Mine(kind)
    network.projector2 = nn.Linear(5, 5)
    with pytest.raises(InputError, match="name it in `head`") as caught:
        replace_head(network, 3)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert network.score.out_features == 5
    replace_head(network, 3, ["score"])
    assert network.score.out_features == 3


def mine(kind="plain"):
    return Mine(kind)


def test_a_head_that_is_named_stands_in_the_description_and_no_other():
    assert "head" not in Explanandum("tests.networks.test_heads.mine", num_classes=3).spec
    for given in ("score", ["score"]):
        network = Explanandum("tests.networks.test_heads.mine", num_classes=3, head=given)
        assert network.spec["head"] == ["score"]
        assert network.num_classes == 3
    with pytest.raises(InputError, match="no linear layer 'scores'; it has inner, score, projector, auxiliary"):
        Explanandum("tests.networks.test_heads.mine", num_classes=3, head="scores")


def test_a_named_head_comes_back_from_a_checkpoint(tmp_path):
    network = Explanandum(
        "tests.networks.test_heads.mine", num_classes=3, multilabel=True, head="score", network_args={"kind": "cat"}
    )
    save_explanandum(network, tmp_path / "x.ckpt", multilabel=True)
    loaded = Explanandum(str(tmp_path / "x.ckpt"), allow=["tests.networks.test_heads.mine"])
    assert loaded.spec == network.spec
    assert torch.equal(loaded.network.score.weight, network.network.score.weight)


def test_auxiliary_heads_stay_but_fit_a_file(tmp_path):
    network = models.googlenet(init_weights=False)
    replace_head(network, 7)
    assert network.aux1.fc2.out_features == 1000  # nothing here uses it, and earlier checkpoints have it so
    other = models.googlenet(num_classes=4, init_weights=False)
    torch.save(other.state_dict(), tmp_path / "w.pth")
    load_weights(network, str(tmp_path / "w.pth"))
    assert network.aux2.fc2.out_features == 4
    assert torch.equal(network.aux1.fc2.weight, other.aux1.fc2.weight)


def test_logits_without_a_layer_for_them_are_counted():
    network = Explanandum(Mine("cat"), mean=(0.0,) * 3, std=(1.0,) * 3)
    assert network.num_classes == 14
    with pytest.raises(InputError, match="name it in `head`"):
        _ = network.heads


def test_both_heads_of_a_distilled_network_fit_a_file(tmp_path):
    name = "deit_tiny_distilled_patch16_224"
    source = timm.create_model(name, num_classes=5)
    torch.save({"state_dict": source.state_dict()}, tmp_path / "w.pth")
    network = Explanandum(f"timm/{name}", str(tmp_path / "w.pth")).eval()
    assert network.num_classes == 5
    assert torch.equal(network.network.head_dist.weight, source.head_dist.weight)


def test_a_network_without_a_head_is_refused():
    with pytest.raises(InputError, match="has no linear layer"):
        Explanandum("torch.nn.Identity", num_classes=3)
