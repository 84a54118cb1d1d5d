"""Whether SMOE Scale orders locations as the iterative gamma scale does: Spearman's rank correlation, image by image.

python benchmarks/order_equivalence.py --images data/imagenet/val [--count 10]
"""

import argparse

import torch
from photographs import load
from torch import Tensor

from explainer.functional.activation_statistics import gamma_scale, smoe_scale
from explainer.metrics import rank_correlation
from explainer.networks.taps import read_taps


def report(name: str, activation: Tensor) -> None:
    alike = rank_correlation(smoe_scale(activation), gamma_scale(activation))
    print(
        f"{name}: {alike.mean():.5f}, lowest of {len(alike)} images {alike.min():.5f}, "
        f"zeros {(activation == 0).float().mean():.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True)
    parser.add_argument("--count", type=int, default=10)
    options = parser.parse_args()
    explanandum, image, _ = load(options.images, options.count)
    noise = torch.Generator().manual_seed(0)
    report("random, rectified normal", torch.randn(options.count, 64, 40, 40, generator=noise).relu())
    with torch.no_grad(), read_taps(explanandum.network, explanandum.taps) as seen:
        explanandum(image)
    for tap in explanandum.taps:
        report(f"tap {tap}", seen[tap].relu())
    heard: dict[str, Tensor] = {}
    expansions = [n for n, _ in explanandum.network.named_modules() if n.endswith("_bn0") or n == "_bn1"]
    for name in expansions:  # each is followed by a ReLU6
        layer = explanandum.network.get_submodule(name)
        layer.register_forward_hook(lambda m, i, o, n=name: heard.update({n: o.clamp(0, 6)}))
    with torch.no_grad():
        explanandum(image)
    for name in expansions[:: len(expansions) // 4]:
        report(f"ReLU6 after {name}", heard[name])


if __name__ == "__main__":
    main()
