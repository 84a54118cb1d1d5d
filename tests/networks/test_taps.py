"""What is read at the end of a network's scales, against the network's own pieces run by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from explainer.attribution import SMOE, FastCAM, GradCAM
from explainer.errors import InputError
from explainer.functional import activation_statistics as statistics
from explainer.networks import Explanandum
from explainer.networks.taps import find_taps, read_taps

IMAGE = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def normalised(image, norm):
    """BatchNorm by its formula, in evaluation mode."""
    mean, variance, weight, bias = (
        t.view(1, -1, 1, 1) for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return (image - mean) / (variance + norm.eps).sqrt() * weight + bias


def residual(stage, x):
    """The sum before the last ReLU of a stage of torchvision's or timm's ResNet."""
    for block in stage[:-1]:
        x = block(x)
    last = stage[-1]
    out = x
    for number in (1, 2, 3):
        if hasattr(last, f"conv{number}"):
            out = normalised(
                getattr(last, f"conv{number}")(out if number == 1 else out.relu()), getattr(last, f"bn{number}")
            )
    return out + x


def of_resnet(network, x):
    before = [normalised(network.conv1(x), network.bn1)]
    x = network.maxpool(before[0].relu())
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        before.append(residual(stage, x))
        x = before[-1].relu()
    return before


def of_plain(network, x):
    """VGG and AlexNet: the last convolution before each pooling."""
    before, last = [], x
    for layer in network.features:
        if isinstance(layer, nn.MaxPool2d):
            before.append(last)
        if isinstance(layer, nn.ReLU):
            last = x
            x = x.relu()
        else:
            x = layer(x)
    return before


def of_densenet(network, x):
    """Of torchvision and of timm: the input of the ReLU behind each normalisation that ends a scale."""
    layers = network.features
    before = [normalised(layers.conv0(x), layers.norm0)]
    x = layers.pool0(before[0].relu())
    for number in (1, 2, 3):
        x = layers.get_submodule(f"denseblock{number}")(x)
        transition = layers.get_submodule(f"transition{number}")
        before.append(normalised(x, transition.norm))
        x = transition.pool(transition.conv(before[-1].relu()))
    return [*before, normalised(layers.denseblock4(x), layers.norm5)]


ORACLES = {
    "resnet50": of_resnet, "resnet18": of_resnet, "vgg16": of_plain, "alexnet": of_plain, "densenet121": of_densenet,
    "timm/resnet18": of_resnet, "timm/resnet50": of_resnet, "timm/densenet121": of_densenet,
}  # fmt: skip


def classifier(name):
    torch.manual_seed(0)
    explanandum = Explanandum(name, multilabel=False)
    for module in explanandum.modules():
        if isinstance(module, nn.BatchNorm2d):  # fresh ones do next to nothing
            module.bias.data.normal_(0, 0.3)
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
    return explanandum


@pytest.mark.parametrize("name", ORACLES)
@torch.no_grad()
def test_scales_end_where_the_paper_has_them(name):
    explanandum, image = classifier(name).double(), IMAGE.double()
    before = ORACLES[name](explanandum.network, explanandum.normalised(image))
    assert len(explanandum.taps) == len(before)
    for truncated in (False, True):
        with read_taps(explanandum.network, explanandum.taps, before_relu=truncated) as seen:
            explanandum(image)
        for tap, want in zip(explanandum.taps, before, strict=True):
            assert want.min() < 0 < want.max()
            torch.testing.assert_close(seen[tap], want if truncated else want.relu())
    for statistic in ("smoe_scale", "mean", "standard_deviation", "truncated_normal_entropy", "truncated_normal_std"):
        values = before if statistic.startswith("truncated") else [part.relu() for part in before]
        for found, part in zip(SMOE(statistic).scales(explanandum, image), values, strict=True):
            torch.testing.assert_close(found, getattr(statistics, statistic)(part.float()))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in explanandum.network.modules())


@pytest.mark.parametrize("name", ["resnet50", "timm/resnet50", "densenet121", "timm/densenet121", "vgg16"])
def test_reading_changes_no_logit_and_no_gradient(name):
    explanandum = classifier(name)
    results = []
    for truncated in (None, False, True):
        image = IMAGE[:1].clone().requires_grad_()
        if truncated is None:
            logits = explanandum(image)
        else:
            with read_taps(explanandum.network, explanandum.taps, before_relu=truncated):
                logits = explanandum(image)
        results.append((logits.detach(), torch.autograd.grad(logits[0, 0], image)[0]))
    for logits, gradient in results[1:]:
        assert torch.equal(logits, results[0][0])
        assert torch.equal(gradient, results[0][1])


@torch.no_grad()
def test_joined_branches_are_joined_before_their_relus():
    """Inception's blocks end in branches that each have a functional ReLU."""
    explanandum = Explanandum("inception_v3", network_args={"init_weights": False}, multilabel=False)
    image = torch.rand(1, 3, 96, 96)
    seen = []
    for truncated in (False, True):
        with read_taps(explanandum.network, explanandum.taps, before_relu=truncated) as read:
            explanandum(image)
        seen.append(read)
    for tap in explanandum.taps:
        after, before = (read[tap] for read in seen)
        assert before.min() < 0
        assert torch.equal(before.relu(), after)


class Bottle(nn.Module):
    """A block with an inner ReLU alone, as MobileNetV2's: it ends in a convolution."""

    def __init__(self, outer=None):
        super().__init__()
        self.first, self.last, self.outer = nn.Conv2d(4, 8, 1), nn.Conv2d(8, 4, 1), outer

    def forward(self, x):
        x = self.last(self.first(x).relu())
        return x if self.outer is None else self.outer(x)


def with_end(block, outer):
    copy = Bottle(outer)
    copy.load_state_dict(block.state_dict())
    return copy


def read(layer, image):
    network = nn.Sequential(layer)
    with torch.no_grad(), read_taps(network, ["0"], before_relu=True) as seen:
        network(image)
    return seen["0"]


def test_an_inner_relu_is_not_the_last_one():
    image = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    block = Bottle()
    with torch.no_grad():
        linear = block(image)
    assert torch.equal(read(block, image), linear)  # it ends without a ReLU
    for outer in (nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), F.relu, F.relu6, torch.relu, lambda x: F.relu(input=x)):
        assert torch.equal(read(with_end(block, outer), image), linear)
    with pytest.raises(InputError, match=r"tap '0': what goes into its last ReLU cannot be read; name a ReLU"):
        read(with_end(block, lambda x: x.relu() + 1), image)
    with pytest.raises(InputError, match="cannot be read"):
        read(with_end(block, lambda x: x.relu().add_(1)), image)  # in place on what the ReLU gave


def test_a_normalisation_counts_as_active_only_with_its_relu():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.norm1 = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
            self.conv2, self.norm2 = nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8)
            self.conv3 = nn.Conv2d(8, 8, 1)
            self.last = nn.Linear(8, 2)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.norm1(self.conv1(x))), 2)
            x = F.relu(self.norm2(self.conv2(x)), inplace=True)
            return self.last(self.conv3(x).mean((2, 3)))

    network = Own().eval()
    assert find_taps(network, 16) == ("norm1", "norm2")  # not conv3, which nothing rectifies
    with torch.no_grad(), read_taps(network, ["norm1", "norm2", "conv3"]) as seen:
        network(torch.rand(2, 3, 16, 16))
    assert seen["norm1"].min() == seen["norm2"].min() == 0
    assert seen["conv3"].min() < 0


@pytest.mark.parametrize(("name", "last"), [
    ("explainer.networks.lite.efficientnet_lite0", "blocks.6.0"), ("timm/efficientnet_b0", "blocks.6.0"),
])  # fmt: skip
def test_the_head_of_a_classifier_is_no_end_of_a_scale(name, last):
    assert Explanandum(name, multilabel=False).taps[-1] == last


@pytest.mark.parametrize("name", ["densenet121", "timm/densenet121"])
def test_fast_cam_of_a_network_whose_last_relu_is_no_layer(name):
    explanandum = classifier(name)
    target = torch.tensor([1, 5])
    want = SMOE()(explanandum, IMAGE) * GradCAM()(explanandum, IMAGE, target)
    torch.testing.assert_close(FastCAM()(explanandum, IMAGE, target), want, atol=1e-6, rtol=1e-3)


def test_a_recorded_graph_that_reads_layers_takes_any_number_of_images():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 3, 2), nn.ReLU()).eval()

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, image):
            with read_taps(self.network, ("1", "3")) as seen:
                self.network(image)
            return seen["3"]

    reader = Reader()
    images = torch.rand(3, 3, 16, 16)
    with torch.no_grad():
        want = reader(images)  # layouts are looked up once, outside of the graph
        batch = torch.export.Dim("batch", min=1)
        program = torch.export.export(reader, (images[:2],), dynamic_shapes={"image": {0: batch}}, strict=False)
        for count in (1, 3):
            torch.testing.assert_close(program.module()(images[:count]), want[:count])
