"""What masks cost beside the classifier's own prediction, for both maskers, and what the layout of memory gives.

python benchmarks/masker_cost.py [--network NAME --size 192 --batch 16 --classes 20]

All in one run: a prediction; a prediction with the masks of all classes by FeatureMasker and by DeepLabV3, whose
encoder is the classifier's architecture; a training step against the bare passes that it cannot avoid; images a second
with the weights of convolutions laid out as PyTorch does, and with channels last.
"""

import argparse

import torch
from explainer_step import example, step_and_bare
from timing import compare
from torch import Tensor

from explainer.networks import Explanandum, FeatureMasker, Masker
from explainer.training.modules import AmortizedExplainer, ExplainerObjective


def contiguous(explanandum: Explanandum) -> Explanandum:
    """The same classifier with its weights laid out as PyTorch does by default."""
    for module in explanandum.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data = module.weight.contiguous()
    return explanandum


def print_layouts(options: argparse.Namespace, image: Tensor, channels_last: Explanandum) -> None:
    """Forward, and forward with backward to the image, in both layouts."""
    plain = Explanandum(options.network, multilabel=True, num_classes=options.classes)
    plain.load_state_dict(channels_last.state_dict())
    contiguous(plain.to(options.device))

    def backward(explanandum: Explanandum) -> None:
        seen = image.clone().requires_grad_()
        explanandum(seen).sum().backward()

    with torch.no_grad():
        difference = float((plain(image) - channels_last(image)).abs().amax())
    for name, run in (("forward", lambda e: e(image)), ("forward and backward", backward)):
        with torch.set_grad_enabled(name != "forward"):
            ours, before, ratio = compare(
                lambda run=run: run(channels_last), lambda run=run: run(plain), options.pairs, options.device
            )
        print(
            f"{name}: {len(image) / before:.1f} images/s as PyTorch lays weights out, {len(image) / ours:.1f} with "
            f"channels last, ratio of times {ratio:.2f}",
            flush=True,
        )
    print(f"largest difference of a logit between the layouts: {difference:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="explainer.networks.lite.efficientnet_lite0")
    parser.add_argument("--encoder", default="tu-tf_efficientnet_lite0")
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.manual_seed(0)
    explanandum = Explanandum(options.network, num_classes=options.classes, multilabel=True).to(options.device)
    image, labels = example(options)
    print_layouts(options, image, explanandum)
    deeplab = Masker(options.encoder, arguments={"decoder_channels": 64, "encoder_output_stride": 16})
    for masker in (FeatureMasker(), deeplab):
        name = type(masker).__name__
        module = AmortizedExplainer(explanandum, masker, ExplainerObjective())
        module.build(tuple(map(str, range(options.classes))), True)
        module.to(options.device).eval()
        with torch.no_grad():
            ours, alone, ratio = compare(
                lambda masker=masker: masker.with_logits(image),
                lambda: explanandum(image),
                options.pairs,
                options.device,
            )
        print(f"{name}: prediction {alone:.3f} s, prediction and masks {ours:.3f} s, ratio {ratio:.2f}", flush=True)
        print(f"{name}: {step_and_bare(module, image, labels, options)}", flush=True)


if __name__ == "__main__":
    main()
