"""Whether every method finds evidence at a place that is known, in every layout of activations.

python -m benchmarks.planted

The networks are built so that only red patches can make them see the second class: their activations lie channels
first, channels last, as tokens, as tokens behind a class token, and as tokens behind a class token and four registers;
and one is a Transformer whose class token attends to red patches. A cell is the mean of the map on the evidence (two by
two patches, and one around them) over the mean elsewhere, the smaller one of two pictures; "not found" where the
highest pixel of the map lies elsewhere, or the ratio is not above 1; "refused" where the method says in one line that
it cannot read the network.
"""

import torch

from explainer.attribution import (
    BBMP,
    FIDO,
    IGOS,
    LIME,
    RISE,
    SMOE,
    AblationCAM,
    AttentionRelevance,
    AttentionRollout,
    Deconvnet,
    EmpiricalMask,
    ExtremalPerturbation,
    FastCAM,
    GradCAM,
    GradCAMPlusPlus,
    Gradient,
    GuidedBackprop,
    InputXGradient,
    IntegratedGradients,
    LeGrad,
    Occlusion,
    ScoreCAM,
    SmoothGrad,
)
from explainer.errors import InputError
from explainer.networks import Explanandum
from tests.support.planted import KINDS, Looking, evidence, picture, planted

METHODS = {
    "SMOE": SMOE(),
    "FastCAM": FastCAM(),
    "Grad-CAM": GradCAM(),
    "Grad-CAM++": GradCAMPlusPlus(),
    "Score-CAM": ScoreCAM(),
    "Ablation-CAM": AblationCAM(),
    "attention rollout": AttentionRollout(),
    "Chefer's relevance": AttentionRelevance(),
    "LeGrad": LeGrad(),
    "gradient": Gradient(),
    "input × gradient": InputXGradient(),
    "guided backprop": GuidedBackprop(),
    "deconvnet": Deconvnet(),
    "Integrated Gradients": IntegratedGradients(),
    "SmoothGrad": SmoothGrad(samples=8),
    "occlusion": Occlusion(window=16, stride=8),
    "LIME": LIME(samples=200, segments=64),
    "RISE": RISE(masks=400),
    "empirical mask": EmpiricalMask(grid=8),
    "BBMP": BBMP(grid=8, steps=60, sparsity=1e-4),
    "FIDO": FIDO(grid=8, steps=40, samples=4),
    "EP": ExtremalPerturbation(areas=[0.1], steps=200, learning_rate=0.02, sigma=6.0, cell=4),
    "iGOS++": IGOS(iterations=8, integrated=4, grid=8),
}
# the weight of its area is made for logits of tens, and those of these networks are of ones
TARGETS = {"EP": lambda logits: 30 * logits[:, 1]}
PLACES = ((1, 4), (5, 0))


def cell(method, explanandum, target=1):
    """Return what stands in the table for a method and a network, and whether the evidence was found."""
    ratios = []
    for place in PLACES:
        torch.manual_seed(0)
        try:
            where = evidence(method(explanandum, picture(place), target, progress=False), place)
        except InputError:
            return "refused", None
        if not where.highest_inside or where.ratio <= 1:
            return "not found", False
        ratios.append(where.ratio)
    return ("> 99" if min(ratios) > 99 else f"{min(ratios):.1f}"), True


def main():
    networks = {kind: planted(kind) for kind in KINDS}
    networks["attention"] = Explanandum(Looking().eval(), mean=(0.0,) * 3, std=(1.0,) * 3)
    print("| method | " + " | ".join(networks) + " |")
    print("| --- |" + " ---: |" * len(networks))
    found = refused = total = 0
    for name, method in METHODS.items():
        cells = [cell(method, explanandum, TARGETS.get(name, 1)) for explanandum in networks.values()]
        total += len(cells)
        found += sum(hit is True for _, hit in cells)
        refused += sum(hit is None for _, hit in cells)
        print(f"| {name} | " + " | ".join(words for words, _ in cells) + " |", flush=True)
    print(f"\n{total} cells: {found} found, {refused} refused, {total - found - refused} not found")


if __name__ == "__main__":
    main()
