"""What saliency costs: SMOE against the forward pass that it reads, and against methods that go backward.

python benchmarks/smoe_cost.py [--compare --device cuda --batch 16]

On a CPU both the fused kernel and PyTorch's own operations are measured; the kernel is compiled before that.
"""

import argparse

import torch
from timing import compare

from explainer.attribution import SMOE, Gradient, GuidedBackprop, IntegratedGradients, SmoothGrad
from explainer.attribution.smoe import scale_weights
from explainer.functional import activation_statistics as statistics
from explainer.functional import smoe_kernel as fused
from explainer.networks import Explanandum
from explainer.networks.taps import read_taps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--compare", action="store_true", help="also against methods that go backward; takes minutes")
    options = parser.parse_args()
    network = Explanandum("resnet50", multilabel=False).to(options.device)
    image = torch.rand(options.batch, 3, 224, 224, device=options.device)
    target = torch.zeros(options.batch, dtype=torch.long, device=options.device)
    with torch.no_grad(), read_taps(network.network, network.taps) as seen:
        network(image)
    activations = [seen[tap] for tap in network.taps]
    weights = scale_weights("prior", len(activations))

    def combined() -> torch.Tensor:
        return statistics.combine([statistics.smoe_scale(a) for a in activations], weights, (224, 224))

    def one_read() -> list[torch.Tensor]:
        return [a.sum(1) for a in activations]

    @torch.no_grad()
    def forward() -> torch.Tensor:
        return network(image)

    def in_one_read() -> torch.Tensor:
        return fused.combine([fused.smoe_scale(a)[0] for a in activations], weights, (224, 224))

    works = {"combined SMOE map, fused": in_one_read} if options.device == "cpu" else {}
    works |= {"combined SMOE map": combined, "one read of the activations": one_read}
    for name, work in works.items():
        ours, theirs, ratio = compare(work, forward, options.pairs, options.device)
        print(f"{name}: {1000 * ours:.2f} ms, forward pass {1000 * theirs:.1f} ms, ratio {ratio:.4f}")
    if not options.compare:
        return
    smoe = SMOE()
    noisy = {
        f"{type(m).__name__}, SmoothGrad² of 15": SmoothGrad(m)
        for m in (Gradient(), GuidedBackprop(), IntegratedGradients())
    }
    for name, method in {
        "Gradient": Gradient(),
        "GuidedBackprop": GuidedBackprop(),
        "IntegratedGradients": IntegratedGradients(),
        **noisy,
    }.items():
        slow, fast, ratio = compare(
            lambda m=method: m(network, image, target), lambda: smoe(network, image), 3, options.device
        )
        print(f"{name}: {1000 * slow:.0f} ms, SMOE with its forward pass {1000 * fast:.0f} ms, ratio {ratio:.1f}")


if __name__ == "__main__":
    main()
