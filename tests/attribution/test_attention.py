"""Methods that read attention: against equations in NumPy, three ways to compute attention, and planted evidence."""

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn

from explainer.attribution import AttentionRelevance, AttentionRollout, LeGrad
from explainer.attribution.le_grad import passed_over
from explainer.errors import InputError
from explainer.networks import Explanandum
from explainer.networks.attention import attention_of, blocks_of, readers
from tests.support.planted import Looking, evidence, picture
from tests.support.small_vit import PATCH, SmallViT, small_vit

METHODS = [AttentionRollout, AttentionRelevance, LeGrad]


def explained(network):
    return Explanandum(network.eval(), mean=(0.0,) * 3, std=(1.0,) * 3)


def attention_by_hand(network, image):
    """float64, layer by layer: the matrices of attention, and a function from them to the logits."""
    x = network.patches(image).flatten(2).transpose(1, 2)
    if network.pool == "token":
        x = torch.cat([network.token.expand(len(x), -1, -1), x], 1)
    maps = []
    for block in network.blocks:
        given = block.before(x)
        batch, tokens, width = given.shape
        heads = block.attention.heads
        q, k, v = block.attention.qkv(given).view(batch, tokens, 3, heads, -1).permute(2, 0, 3, 1, 4)
        weights = torch.exp(q @ k.transpose(-2, -1) / (width // heads) ** 0.5)
        maps.append(weights / weights.sum(-1, keepdim=True))
        x = x + block.attention.out((maps[-1] @ v).transpose(1, 2).reshape(batch, tokens, width))
        x = x + block.mlp(block.middle(x))
    return maps


@pytest.mark.parametrize("pool", ["token", "mean"])
@pytest.mark.parametrize("kind", ["fused", "product"])
def test_attention_is_read_however_it_is_computed(kind, pool):
    network = small_vit(kind=kind, pool=pool)
    image = torch.rand(2, 3, 32, 48)
    attention = attention_of(explained(network), image, "test")
    assert attention.grid == (4, 6)
    for got, want in zip(attention.maps, attention_by_hand(network, image), strict=True):
        torch.testing.assert_close(got, want)
    torch.testing.assert_close(attention.logits, network(image))


@pytest.mark.parametrize("needs_weights", [False, True])
def test_pytorchs_own_module_is_read_too(needs_weights):
    network = small_vit(kind="module")
    image = torch.rand(2, 3, 32, 32)
    want = []
    for block in network.blocks:

        def keep(module, args, output, block=block):
            with torch.no_grad():
                want.append(module.inner(*args * 3, need_weights=True, average_attn_weights=False)[1])

        block.attention.register_forward_hook(keep)
    network.eval()(image)
    plain = small_vit(kind="module")
    plain.load_state_dict(network.state_dict())
    got = attention_of(explained(plain), image, "test").maps
    for first, second in zip(got, want, strict=True):
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize("build", [
    lambda: timm.create_model("vit_tiny_patch16_224", img_size=64),
    lambda: torchvision.models.VisionTransformer(64, 16, 2, 2, 32, 64, num_classes=5),
    lambda: timm.create_model("deit_tiny_distilled_patch16_224", img_size=64),
    lambda: timm.create_model("vit_small_patch16_dinov3", num_classes=4, img_size=64),
])  # fmt: skip
@pytest.mark.parametrize("kind", METHODS)
def test_networks_of_libraries_are_explained(build, kind):
    explanandum = explained(build())
    for _, head in explanandum.heads:
        nn.init.normal_(head.weight, std=0.1)  # torchvision's begins with zeros, which explain nothing
    maps = kind()(explanandum, torch.rand(2, 3, 64, 64), torch.tensor([1, 2]))
    assert maps.shape == (2, 1, 64, 64)
    assert maps.isfinite().all()
    assert (maps >= 0).all()
    assert maps.std() > 0


def test_a_head_reads_the_class_token_or_all_places():
    image = torch.rand(2, 3, 32, 32)
    by_token = readers(attention_of(explained(small_vit(pool="token")), image, "test"))
    assert torch.equal(by_token, torch.eye(17)[:1].expand(2, -1))
    by_places = readers(attention_of(explained(small_vit(pool="mean")), image, "test"))
    torch.testing.assert_close(by_places, torch.full((2, 16), 1 / 16))


def enlarged(places, size=32):
    coarse = torch.as_tensor(places).view(1, 1, size // PATCH, size // PATCH).float()
    return nn.functional.interpolate(coarse, (size, size), mode="bilinear", align_corners=False)


def test_rollout_is_that_of_the_papers_equation():
    network = small_vit()
    image = torch.rand(1, 3, 32, 32)
    product = np.eye(17)
    for weights in attention_by_hand(network, image):
        product = (0.5 * weights[0].detach().double().numpy().mean(0) + 0.5 * np.eye(17)) @ product
    torch.testing.assert_close(AttentionRollout()(explained(network), image), enlarged(product[0, 1:]))


def test_relevance_is_that_of_the_papers_equations():
    network = small_vit().double()
    image = torch.rand(1, 3, 32, 32, dtype=torch.float64)
    logits_of = logits_from_attention(network, image)
    maps = [weights.detach() for weights in attention_by_hand(network, image)]
    relevance = np.eye(17)
    for number, weights in enumerate(maps):
        gradient = differences(logits_of, maps, number, 2)
        cam = np.maximum(gradient * weights[0].numpy(), 0).mean(0)
        relevance = relevance + cam @ relevance
    got = AttentionRelevance()(explained(network.float()), image.float(), 2)
    torch.testing.assert_close(got, enlarged(relevance[0, 1:]), atol=1e-5, rtol=1e-3)


def logits_from_attention(network, image):
    """Logits as a function of one layer's attention, the later layers computing their own."""

    def logits(number, weights):
        x = torch.cat([network.token, network.patches(image).flatten(2).transpose(1, 2)], 1)
        for place, block in enumerate(network.blocks):
            given = block.before(x)
            heads = block.attention.heads
            q, k, v = block.attention.qkv(given).view(1, 17, 3, heads, -1).permute(2, 0, 3, 1, 4)
            own = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1)
            used = weights if place == number else own
            x = x + block.attention.out((used @ v).transpose(1, 2).reshape(1, 17, -1))
            x = x + block.mlp(block.middle(x))
        return network.head(network.norm(x)[:, 0])[0]

    return logits


@torch.no_grad()
def differences(logits_of, maps, number, target, step=1e-5):
    """Gradient of a logit by one layer's attention, by central differences: (heads, N, N)."""
    gradient = np.zeros(maps[number].shape[1:])
    for index in np.ndindex(*gradient.shape):
        shifted = maps[number].clone()
        shifted[(0, *index)] += step
        above = logits_of(number, shifted)[target]
        shifted[(0, *index)] -= 2 * step
        gradient[index] = (above - logits_of(number, shifted)[target]) / (2 * step)
    return gradient


def test_legrad_asks_the_head_of_each_layers_tokens():
    network = small_vit().double()
    image = torch.rand(1, 3, 32, 32, dtype=torch.float64)
    layers = []
    for depth in range(1, 5):
        shorter = SmallViT(depth=depth).double()
        state = {name: value for name, value in network.state_dict().items() if name in shorter.state_dict()}
        shorter.load_state_dict(state)
        maps = [weights.detach() for weights in attention_by_hand(shorter, image)]
        gradient = differences(logits_from_attention(shorter, image), maps, depth - 1, 1)
        layers.append(np.maximum(gradient, 0).mean((0, 1)))
    got = LeGrad()(explained(network.float()), image.float(), 1)
    torch.testing.assert_close(got, enlarged(np.mean(layers, 0)[1:]), atol=1e-5, rtol=1e-3)
    last = LeGrad(layers=1)(explained(network), image.float(), 1)
    torch.testing.assert_close(last, enlarged(layers[-1][1:]), atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.parametrize("place", [(1, 4), (5, 0)])
def test_evidence_at_a_known_place_is_found(kind, place):
    explanandum = explained(Looking())
    image = picture(place)
    assert explanandum(image).softmax(1)[0, 1] > 0.5
    where = evidence(kind()(explanandum, image, torch.tensor([1])), place)
    assert where.highest_inside
    assert where.ratio > 2


@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.parametrize("name", ["resnet18", "swin_t"])
def test_other_networks_are_refused_in_one_line(kind, name):
    network = getattr(torchvision.models, name)(weights=None).eval()
    with pytest.raises(InputError, match=r"this classifier has no (such attention|tokens)") as refused:
        kind()(Explanandum(network), torch.rand(1, 3, 64, 64), 1)
    assert "\n" not in str(refused.value)


def test_blocks_that_are_passed_over_give_back_what_they_are_given():
    network = small_vit().eval()
    blocks = [network.get_submodule(name) for name in blocks_of(network, 4)]
    image = torch.rand(1, 3, 32, 32)
    with passed_over(blocks):
        tokens = torch.cat([network.token, network.patches(image).flatten(2).transpose(1, 2)], 1)
        torch.testing.assert_close(network(image), network.head(network.norm(tokens)[:, 0]))
    assert not any(block._forward_hooks for block in blocks)
    assert blocks_of(network, 7) == []
