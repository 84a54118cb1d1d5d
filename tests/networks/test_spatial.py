"""Layouts of activations: against networks written by hand, timm's own feature maps, and evidence at a known place."""

from pathlib import Path

import pytest
import timm
import torch
from torch import nn
from torchvision.models import VisionTransformer

from explainer.attribution import (
    BBMP,
    FIDO,
    RISE,
    SMOE,
    AblationCAM,
    FastCAM,
    GradCAM,
    GradCAMPlusPlus,
    Gradient,
    Occlusion,
    ScoreCAM,
    SmoothGrad,
)
from explainer.errors import InputError
from explainer.networks import Explanandum
from explainer.networks.explanandum import shared
from explainer.networks.spatial import (
    FIRST,
    LAST,
    SURE,
    Layout,
    agreement,
    candidates,
    from_maps,
    layouts_of,
    replaced,
    side_of,
    tensor_of,
    to_maps,
)
from explainer.networks.taps import find_taps, read_taps
from tests.support.planted import GRID, KINDS, PATCH, SIDE, Block, Planted, evidence, picture, planted

METHODS = {
    "SMOE": SMOE(), "FastCAM": FastCAM(), "Grad-CAM": GradCAM(), "Grad-CAM++": GradCAMPlusPlus(),
    "Score-CAM": ScoreCAM(), "Ablation-CAM": AblationCAM(), "Gradient": Gradient(), "SmoothGrad": SmoothGrad(samples=4),
    "Occlusion": Occlusion(window=16, stride=8), "RISE": RISE(masks=400), "FIDO": FIDO(grid=8, steps=30, samples=4),
    "BBMP": BBMP(grid=8, steps=60, sparsity=1e-4),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_evidence_at_a_known_place_is_found(kind, method):
    explanandum = planted(kind)
    for place in ((1, 4), (5, 0)):
        image = picture(place)
        assert explanandum(image).softmax(1)[0, 1] > 0.5
        where = evidence(METHODS[method](explanandum, image, torch.tensor([1])), place)
        assert where.highest_inside
        assert where.ratio > 2


@pytest.mark.parametrize("kind", KINDS)
def test_taps_and_layouts_are_found(kind):
    network = Planted(*KINDS[kind])
    taps = find_taps(network, SIDE)
    assert len(taps) == 4
    layout = layouts_of(network, taps)[taps[-1]]
    assert layout == {"first": FIRST, "last": LAST}.get(kind, Layout("tokens", KINDS[kind][1]))
    assert ("blocks.4" in taps) == (KINDS[kind][1] == 0)  # behind a class token the last block is left out
    with read_taps(network, taps) as seen:
        network(picture((2, 2)))
    want = network.patches(picture((2, 2))).relu()
    for tap in taps:
        torch.testing.assert_close(seen[tap], want)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "test_mambaout", "pvt_v2_b0",
                                  "deit_tiny_distilled_patch16_224", "hiera_tiny_224", "vit_small_patch16_dinov3",
                                  "tnt_s_legacy_patch16_224"])  # its blocks give pixels of patches, then patches  # fmt: skip
def test_maps_are_those_that_timm_returns_itself(name):
    torch.manual_seed(0)
    network = timm.create_model(name, pretrained=False).eval()
    side = network.default_cfg["input_size"][-1]
    taps = find_taps(network)
    image = torch.rand(1, 3, side, side)
    with torch.no_grad(), read_taps(network, taps) as seen:
        network(image)
    with torch.no_grad():
        own = network.forward_intermediates(image, intermediates_only=True, output_fmt="NCHW")
    for tap in taps:
        alike = [maps for maps in own if maps.shape == seen[tap].shape]
        assert any(torch.allclose(maps, seen[tap], atol=1e-5) for maps in alike), tap


@pytest.mark.parametrize(("blocks", "taps"), [
    (2, ("patch_embed", "blocks.0")), (3, ("blocks.0", "blocks.1")), (4, ("blocks.0", "blocks.1", "blocks.2")),
])  # fmt: skip
def test_a_transformer_of_few_blocks_is_served(blocks, taps):
    torch.manual_seed(0)
    network = timm.create_model("vit_tiny_patch16_224", depth=blocks, img_size=64, pretrained=False).eval()
    assert find_taps(network) == taps
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad(), read_taps(network, taps) as seen:
        network(image)
    with torch.no_grad():
        own = network.forward_intermediates(image, intermediates_only=True, output_fmt="NCHW")
        if "patch_embed" in taps:
            patches = network.patch_embed.proj(image)
            own = [patches, *own]
    for tap, maps in zip(taps, own, strict=False):  # the last block is left out
        torch.testing.assert_close(seen[tap], maps)
    explanandum = Explanandum(network, mean=(0.5,) * 3, std=(0.5,) * 3)
    for method in (SMOE(), FastCAM(), GradCAM()):
        saliency = method(explanandum, image, torch.tensor([1, 2]))
        assert saliency.shape == (2, 1, 64, 64)
        assert saliency.isfinite().all()


def test_torchvisions_transformer_of_two_blocks_is_served():
    network = VisionTransformer(64, 8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=16, num_classes=5)
    assert find_taps(network, 64) == ("conv_proj", "encoder.layers.encoder_layer_0")


class Bare(nn.Module):
    """Nothing but a normalisation and linear layers behind a class token."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, PATCH, PATCH)
        self.token = nn.Parameter(torch.zeros(1, 1, 8))
        self.norm = nn.LayerNorm(8)
        self.mix = nn.Linear(8, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, image):
        places = self.patches(image).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(image), -1, -1), places], 1)
        return self.head(self.mix(self.norm(tokens)).mean(1))


def test_tokens_without_blocks_are_refused_in_one_line():
    with pytest.raises(InputError, match="Bare has no spatial scales that can be found: name its layers in `taps`"):
        find_taps(Bare(), SIDE)


class Mixed(nn.Module):
    """Tokens in an order of nobody's: each place says what another place of the image shows."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, PATCH, PATCH)
        self.blocks = nn.ModuleList(Block(8) for _ in range(4))
        self.head = nn.Linear(8, 2)
        self.register_buffer("order", torch.randperm(GRID**2, generator=torch.Generator().manual_seed(0)))

    def forward(self, image):
        x = self.patches(image).flatten(2).transpose(1, 2)[:, self.order]
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(1))


@pytest.mark.parametrize("seed", range(20))
def test_no_random_order_is_taken_for_that_of_the_image(seed):
    parts = torch.zeros(16, GRID, GRID)
    for number in range(16):
        row, column = divmod(number, 4)
        parts[number, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = 1
    order = torch.randperm(GRID**2, generator=torch.Generator().manual_seed(seed))
    assert agreement(parts[:, None]) > 0.95
    assert agreement(parts.flatten(1)[:, order].view(16, 1, GRID, GRID)) < SURE


def test_an_order_that_cannot_be_told_is_refused_in_one_line():
    with pytest.raises(InputError, match="name its layers in `taps`") as refused:
        find_taps(Mixed(), SIDE)
    assert "\n" not in str(refused.value)
    with pytest.raises(InputError, match="Grad-CAM: the layer gives no feature maps"):
        GradCAM(layer="blocks.1")(
            Explanandum(Mixed(), mean=(0.0,) * 3, std=(1.0,) * 3), picture((1, 1)), torch.tensor([1])
        )


def test_named_taps_are_read_in_their_layout():
    network = Planted("tokens", 1)
    explanandum = Explanandum(network, taps=["blocks.0", "blocks.2"], mean=(0.0,) * 3, std=(1.0,) * 3)
    scales = SMOE(rectify=True).scales(explanandum, picture((3, 3)))
    assert [tuple(scale.shape) for scale in scales] == [(1, 1, GRID, GRID)] * 2
    assert scales[0].flatten().argmax() // GRID in (3, 4)


def test_maps_there_and_back():
    tokens = torch.randn(2, 5 + 16, 3)
    order = tuple(torch.randperm(16).tolist())
    for layout in (Layout("tokens", 5), Layout("tokens", 5, order)):
        maps = to_maps(tokens, layout)
        assert maps.shape == (2, 3, 4, 4)
        assert torch.equal(from_maps(maps, tokens, layout), tokens)
    last = torch.randn(2, 4, 4, 3)
    assert torch.equal(from_maps(to_maps(last, LAST), last, LAST), last)
    assert side_of(1 + 14 * 28, Layout("tokens", 1), 0.5) == (14, 28)
    assert side_of(18, Layout("tokens", 1)) is None
    assert candidates((1, 5)) == []


def test_the_activations_of_several_outputs():
    tensor = torch.ones(2, 3)
    assert tensor_of({"a": "b", "c": tensor}) is tensor
    several = (torch.ones(5, 3), tensor)
    assert tensor_of(several, batch=2) is tensor
    other = torch.zeros(2, 3)
    first, second = replaced(several, other)
    assert first is several[0]  # what is changed is what was read
    assert second is other
    assert tensor_of("text") is None


def test_a_layer_that_gives_nothing_of_the_images_is_refused():
    class Folded(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Identity()

        def forward(self, image):
            return self.inner(image.unfold(2, 4, 4).reshape(-1, 3, 4, 4)).mean((1, 2, 3))[None]

    network = Folded()
    with read_taps(network, ["inner"]), pytest.raises(InputError, match="'inner' gives no tensor of the images"):
        network(torch.rand(2, 3, 8, 8))


def test_a_live_network_is_left_alone_and_followed():
    network = Planted("first").train()
    explanandum = Explanandum(network, mean=(0.0,) * 3, std=(1.0,) * 3)
    assert network.training
    assert all(weight.requires_grad for weight in network.parameters())
    assert not any(weight.requires_grad for weight in explanandum.parameters())
    with torch.no_grad():
        network.head.bias.add_(1.0)
    assert torch.equal(explanandum.network.head.bias, network.head.bias)
    assert torch.equal(explanandum(picture((1, 1))), network(picture((1, 1))))
    assert not network._forward_hooks


def test_a_network_that_does_not_say_how_it_normalises_gets_a_warning():
    with pytest.warns(UserWarning, match="give mean and std"):
        Explanandum(Planted("first"))
    with pytest.raises(InputError, match="load them into it"):
        Explanandum(Planted("first"), weights="DEFAULT")


def test_what_cannot_be_copied_is_named():
    network = Planted("first")
    network.lock = Path(__file__).open(encoding="utf-8")  # noqa: SIM115
    with pytest.raises(InputError, match="Planted cannot be copied"):
        shared(network)
    network.lock.close()
