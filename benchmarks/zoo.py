"""Whether maps lie where they belong, for the smallest network of every family of timm and torchvision.

python benchmarks/zoo.py [--most 40] [--only vit_tiny_patch16_224 torchvision/swin_t] [--methods]

Weights are random. For each network the target layers are found, and their maps are held against two things that know
nothing of how the layouts were found: timm's own `forward_intermediates`, which returns feature maps (where a network
has it, and its outputs are those of the target layers), and gradients: what a place of a map depends on must lie around
the same place of the image. A network is *right* if every target layer passes, *refused* if it ends in one line that
says why, and *wrong* otherwise. With --methods the methods that read layers run too, and must give finite maps.
"""

import argparse
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import timm
import torch
import torchvision
from timm.models import list_modules
from torch import Tensor, nn

from explainer.attribution import SMOE, AblationCAM, FastCAM, GradCAM, GradCAMPlusPlus, ScoreCAM
from explainer.errors import InputError, one_line
from explainer.networks import Explanandum
from explainer.networks.spatial import known_layouts, layout_at_sight, sides, tensor_of, to_maps
from explainer.networks.taps import read_taps

SMALL = ("test_", "atto", "femto", "pico", "xxtiny", "xxsmall", "xxs", "nano", "xtiny", "zepto", "tiny", "xs", "mini")
SMALL += ("_t", "small", "s0", "b0", "050", "035", "18", "10", "s", "0")
"""Parts of names by which the smallest networks of a family are looked for, the smallest first."""
TORCHVISION = ("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet",
               "inception_v3", "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf",
               "regnet_y_400mf", "resnet18", "resnext50_32x4d", "shufflenet_v2_x0_5", "squeezenet1_1", "swin_t",
               "swin_v2_t", "vgg11", "vit_b_32", "wide_resnet50_2")  # fmt: skip
PLACES = ((0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75))
"""Places of a map that are asked, in parts of its height and width."""
TOLD_APART = 0.05
"""Difference of shares below which gradients do not tell places apart, since each depends on the whole image alike."""


class Verdict(NamedTuple):
    """What became of one network: "right", "refused" or "wrong", and why."""

    kind: str
    words: str


def families(most: float) -> Iterator[str]:
    """Yield the name of the smallest network of each family, without those of more than so many million weights."""
    for module in list_modules():
        names = sorted(timm.list_models(module=module), key=lambda name: (_rank(name), len(name)))
        sizes = {}
        for name in names[:6]:
            try:
                with torch.device("meta"):
                    network = timm.create_model(name, pretrained=False)
            except Exception:  # a family that needs another package, or cannot be built without its data
                continue
            sizes[name] = sum(weight.numel() for weight in network.parameters()) / 1e6
        smallest = min(sizes, key=lambda name: sizes[name], default=None)
        if smallest is not None and sizes[smallest] <= most:
            yield f"timm/{smallest}"
    yield from (f"torchvision/{name}" for name in TORCHVISION)


def _rank(name: str) -> int:
    return next((number for number, part in enumerate(SMALL) if part in name), len(SMALL))


def build(name: str) -> nn.Module:
    """Build a network with random weights."""
    library, _, model = name.partition("/")
    if library == "timm":
        return timm.create_model(model, pretrained=False).eval()
    network = getattr(torchvision.models, model)(weights=None)
    return network.eval()


def verdict(name: str, methods: bool) -> Verdict:
    """Judge one network."""
    torch.manual_seed(0)
    network = build(name)
    explanandum = Explanandum(network)  # type: ignore[arg-type]
    image = torch.rand(1, *explanandum.mean.shape[1:2], *(sides(network)[0],) * 2)
    try:
        taps = explanandum.taps
    except InputError as error:
        return Verdict("refused", one_line(error))
    image.requires_grad_()
    with maps_with_graph(explanandum.network, taps) as maps:
        explanandum(image)
    for tap in taps:
        wrong = misplaced(maps[tap], image)
        if wrong:
            return Verdict("wrong", f"{tap}: {wrong}")
    known = against_intermediates(explanandum.network, explanandum, image.detach(), taps)
    if known is not None and known < 0:
        return Verdict("wrong", "not timm's own feature maps")
    if methods:
        for method in (SMOE(), FastCAM(), GradCAM(), GradCAMPlusPlus(), ScoreCAM(), AblationCAM()):
            if isinstance(method, ScoreCAM | AblationCAM) and maps[taps[-1]].shape[1] > 400:
                continue  # a pass for each channel takes too long here
            try:
                result = method(explanandum, image.detach(), torch.tensor([0]))
            except InputError as error:
                return Verdict("refused", f"{type(method).__name__}: {one_line(error)}")
            if result.shape != (1, 1, *image.shape[-2:]) or not bool(result.isfinite().all()):
                return Verdict("wrong", f"{type(method).__name__} gives no map")
    return Verdict("right", f"{len(taps)} layers, {taps[-1]} last" + (f", {known} as timm's own" if known else ""))


@contextmanager
def maps_with_graph(network: nn.Module, taps: tuple[str, ...]) -> Iterator[dict[str, Tensor]]:
    """Read target layers with the graph that leads back to the image, which `read_taps` cuts off."""
    layouts = known_layouts(network, taps)
    maps: dict[str, Tensor] = {}

    def keep(tap: str, module: nn.Module, inputs: tuple, output: object) -> None:
        activation = tensor_of(output, 1)
        assert activation is not None
        maps[tap] = to_maps(activation, layouts.get(tap) or layout_at_sight(tap, activation))

    handles = [network.get_submodule(tap).register_forward_hook(partial(keep, tap)) for tap in taps]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


def misplaced(maps: Tensor, image: Tensor) -> str:
    """Return which place of a map depends on another quarter of the image more than on its own; nothing if none does.

    Args:
        maps: Feature maps (1, C, h, w) with their graph.
        image: Image (1, C, H, W) that the graph leads to.
    """
    rows, columns = maps.shape[-2:]
    if min(rows, columns) < 2:
        return ""
    weights = torch.randn(maps.shape[1], generator=torch.Generator().manual_seed(1))
    mass = torch.zeros(4, 4)
    for number, (down, right) in enumerate(PLACES):
        value = (maps[0, :, int(down * rows), int(right * columns)] * weights).sum()
        (gradient,) = torch.autograd.grad(value, image, retain_graph=True)
        size = gradient[0].abs().sum(0)
        half = [size.shape[0] // 2, size.shape[1] // 2]
        upper = size[: half[0]]
        lower = size[half[0] :]
        quarters = [upper[:, : half[1]], upper[:, half[1] :], lower[:, : half[1]], lower[:, half[1] :]]
        mass[number] = torch.stack([quarter.sum() for quarter in quarters])
    share = mass / mass.sum(1, keepdim=True).clamp_min(1e-30)
    # a place that depends on another quarter twice as much as on its own belongs to that one
    own = share.diagonal()
    if bool((own < share.amax(1) / 2).any()):
        return f"places depend on quarters of the image by {_percent(share)}"
    # what every place depends on says nothing of a place
    lead = share - share.mean(0)
    if float(lead.abs().amax()) < TOLD_APART:
        return ""
    owners = lead.argmax(0).tolist()
    return "" if owners == [0, 1, 2, 3] else f"quarters of the image belong to the places {owners}"


def _percent(share: Tensor) -> list[list[int]]:
    return (100 * share).round().int().tolist()


@torch.no_grad()
def against_intermediates(
    network: nn.Module, explanandum: Explanandum, image: Tensor, taps: tuple[str, ...]
) -> int | None:
    """Count target layers that equal one of timm's own feature maps; −1 where one of equal shape differs from all.

    Returns:
        None where the network has no such maps.
    """
    forward = getattr(network, "forward_intermediates", None)
    if forward is None:
        return None
    try:
        own = forward(explanandum.normalised(image), intermediates_only=True, output_fmt="NCHW")
    except Exception:  # networks differ in what they take here
        return None
    with read_taps(network, taps) as seen:
        explanandum(image)
    equal = 0
    for tap in taps:
        alike = [other for other in own if other.shape == seen[tap].shape]
        equal += any(torch.allclose(other, seen[tap], atol=1e-4) for other in alike)
        # the same values in another order are a layout gone wrong
        shuffled = [other for other in alike if torch.allclose(_sorted(other), _sorted(seen[tap]), atol=1e-4)]
        if shuffled and not any(torch.allclose(other, seen[tap], atol=1e-4) for other in alike):
            return -1
    return equal


def _sorted(maps: Tensor) -> Tensor:
    """Return all values in the order of their size."""
    return maps.flatten().sort().values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=float, default=40.0)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--methods", action="store_true")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    counts: Counter[str] = Counter()
    print("| network | verdict | |\n| --- | --- | --- |")
    for name in options.only or families(options.most):
        try:
            outcome = verdict(name, options.methods)
        except Exception as error:  # a traceback is what this looks for
            outcome = Verdict("wrong", f"{type(error).__name__}: {one_line(error)}")
        counts[outcome.kind] += 1
        print(f"| {name} | {outcome.kind} | {outcome.words[:120]} |", flush=True)
    kinds = ", ".join(f"{counts[kind]} {kind}" for kind in ("right", "refused", "wrong"))
    print(f"\n{sum(counts.values())} families: {kinds}")


if __name__ == "__main__":
    main()
