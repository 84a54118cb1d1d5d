"""Which settings of iGOS++ are good defaults, by insertion and deletion, on photographs nothing else was chosen on.

python benchmarks/igos_defaults.py --images FOLDER [--count 12]

The settings differ in λ₁ and in the blur that replaces; both have a budget of 300 integrated gradients a mask. The
classifier is EfficientNet-Lite0 with its BatchNorm layers folded into the convolutions, which halves the time of a
gradient and changes a logit by some 1e-5.
"""

import argparse
import itertools

import torch
from photographs import load
from timm import create_model
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from explainer.attribution import IGOS
from explainer.data import Batch
from explainer.evaluation.scoring.metrics import Judge, standard_metrics
from explainer.infill import Blur
from explainer.networks import Explanandum
from explainer.networks.lite_names import timm_names

SETTINGS = {
    "15 × 20, λ₁ 10, blur σ 10": {"iterations": 15, "integrated": 20, "l1": 10.0, "infill": Blur(10.0)},
    "20 × 15, λ₁ 10, blur σ 50": {"iterations": 20, "integrated": 15, "l1": 10.0, "infill": Blur(50.0)},
    "20 × 15, λ₁ 1, blur σ 50": {"iterations": 20, "integrated": 15, "l1": 1.0, "infill": Blur(50.0)},
}


def fold(network: nn.Module) -> None:
    """Fold every BatchNorm of timm's that follows a convolution into it; its activation stays."""
    for child in network.children():
        fold(child)
    children = list(network.named_children())
    for (_, convolution), (name, norm) in itertools.pairwise(children):
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            convolution.weight, convolution.bias = fuse_conv_bn_weights(
                convolution.weight,
                convolution.bias,
                norm.running_mean,
                norm.running_var,
                norm.eps,
                norm.weight,
                norm.bias,
            )
            setattr(network, name, getattr(norm, "act", nn.Identity()))


def folded(explanandum: Explanandum, image: Tensor) -> Explanandum:
    """The same classifier with half the work; refused where it does not say the same of the images."""
    with torch.no_grad():
        before = explanandum(image)
        network = create_model("tf_efficientnet_lite0").eval()
        network.load_state_dict(timm_names(explanandum.network.state_dict()))
        fold(network)
        explanandum.network = network.to(memory_format=torch.channels_last).requires_grad_(False)
        torch.testing.assert_close(explanandum(image), before, atol=1e-3, rtol=1e-3)
    return explanandum


def table(scores: dict[str, list[tuple[float, float, float]]]) -> str:
    """Means over the photographs so far, as Markdown."""
    lines = [
        "| setting | insertion ↑ | deletion ↓ | insertion − deletion ↑ | area |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, rows in scores.items():
        insertion, deletion, area = torch.tensor(rows).mean(0).tolist()
        lines.append(f"| {name} | {insertion:.3f} | {deletion:.3f} | {insertion - deletion:.3f} | {area:.3f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", required=True)
    parser.add_argument("--count", type=int, default=12)
    options = parser.parse_args()
    explanandum, images, targets = load(options.images, options.count)
    explanandum = folded(explanandum, images[:1])
    scores: dict[str, list[tuple[float, float, float]]] = {name: [] for name in SETTINGS}
    for number, (image, target) in enumerate(zip(images.split(1), targets.split(1)), 1):
        label = torch.nn.functional.one_hot(target, explanandum.num_classes).float()
        for name, setting in SETTINGS.items():
            found = IGOS(**setting, batch_size=15)(explanandum, image, target)
            judged = Judge({}).judged(explanandum, name, found, Batch(image, label, [""], None))
            metrics = standard_metrics(explanandum, curve_steps=28)
            insertion, deletion = (float(metrics[key].measure(judged).value) for key in ("insertion", "deletion"))
            scores[name].append((insertion, deletion, float(found.mean())))
            print(f"photograph {number}, {name}: {', '.join(f'{s:.3f}' for s in scores[name][-1])}", flush=True)
        print(f"\n{number} photographs\n{table(scores)}\n", flush=True)


if __name__ == "__main__":
    main()
