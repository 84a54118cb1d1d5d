"""What the perturbation methods cost beside the network passes that they cannot avoid, and what a batch saves.

python benchmarks/method_overhead.py [--network resnet50 --device cuda]
"""

import argparse

import torch
from timing import compare

from explainer.attribution import BBMP, FIDO, IGOS, RISE, EmpiricalMask, ExtremalPerturbation
from explainer.networks import Explanandum


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="explainer.networks.lite.efficientnet_lite0")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16, help="composites at once")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--steps", type=int, default=40, help="of a search; blurring is done once")
    parser.add_argument("--part", choices=("overhead", "batches", "both"), default="both")
    options = parser.parse_args()
    explanandum = Explanandum(options.network, multilabel=False).to(options.device)
    image = torch.rand(max(options.images, options.batch), 3, 224, 224, device=options.device)
    target = torch.zeros(len(image), dtype=torch.long, device=options.device)
    composites = torch.rand(options.batch, 3, 224, 224, device=options.device)

    @torch.no_grad()
    def forward(times: int) -> None:
        for _ in range(times):
            explanandum(composites)

    def both(times: int, batch: int = options.batch) -> None:
        for _ in range(times):
            leaf = composites[:batch].clone().requires_grad_()
            torch.autograd.grad(explanandum(leaf)[:, 0].sum(), leaf)

    size = {"batch_size": options.batch}
    steps = options.steps
    half, eight = max(1, options.batch // 2), min(8, options.batch)
    cases = {
        "RISE": (RISE(steps * options.batch, **size), 1, lambda: forward(steps)),
        "FIDO": (FIDO(half, steps=steps, **size), 2, lambda: both(steps)),
        "BBMP": (BBMP(steps=steps, **size), eight, lambda: both(steps, eight)),
        "extremal perturbations": (ExtremalPerturbation((0.05, 0.1), steps=steps, **size), half, lambda: both(steps)),
    }
    for name, (method, count, bare) in cases.items() if options.part != "batches" else ():
        ours, theirs, ratio = compare(
            lambda m=method, n=count: m(explanandum, image[:n], target[:n]), bare, options.pairs, options.device
        )
        print(f"{name}: {ours:.3f} s, bare passes {theirs:.3f} s, ratio {ratio:.3f}")
    image, target = image[: options.images], target[: options.images]
    searches = {
        "FIDO": FIDO(4, steps=3, **size),
        "BBMP": BBMP(steps=3, **size),
        "iGOS++": IGOS(iterations=1, integrated=4, **size),
        "extremal perturbations": ExtremalPerturbation((0.05, 0.1), steps=3, **size),
        "empirical masks": EmpiricalMask(8, **size),
    }
    for name, method in searches.items() if options.part != "overhead" else ():
        ours, theirs, ratio = compare(
            lambda m=method: m(explanandum, image, target),
            lambda m=method: [m(explanandum, image[n : n + 1], target[n : n + 1]) for n in range(len(image))],
            options.pairs,
            options.device,
        )
        print(
            f"{name}, {len(image)} images: one call {ours:.2f} s, a call each {theirs:.2f} s: {1 / ratio:.2f}× faster"
        )


if __name__ == "__main__":
    main()
