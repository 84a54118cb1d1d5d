"""What a learned in-fill costs: FIDO with CAInfill against FIDO with the mean colour, the same images.

python benchmarks/learned_infill.py [--classifier checkpoints/shapes_small_classifier.ckpt --infill checkpoints/x.ckpt]

Without checkpoints it makes untrained ones in a temporary folder: the seconds are the same.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from timing import compare

from explainer.attribution import FIDO
from explainer.data.shapes import CLASSES, Shapes
from explainer.infill import CAInfill
from explainer.networks import Explanandum
from explainer.networks.generative.contextual_attention import ContextualAttention


def untrained(folder: Path, side: int) -> str:
    network = ContextualAttention(width=16, dilations=(1, 2, 4), rate=1)  # as in shapes_inpainting.yaml
    spec = {
        "version": "0",
        "kind": "inpainter",
        "image_size": side,
        "classes": list(CLASSES),
        "multilabel": True,
        "network": network.spec,
    }
    path = folder / "untrained.ckpt"
    state = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"explainer": spec, "state_dict": state}, path)
    return str(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classifier", default="timm/resnet10t", help="a network, or a checkpoint of this project")
    parser.add_argument("--infill", default=None, help="a checkpoint of the module Inpainting")
    parser.add_argument("--side", type=int, default=64, help="of the images, in pixels")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--samples", type=int, default=8)
    options = parser.parse_args()
    trained = options.classifier.endswith(".ckpt")
    explanandum = Explanandum(options.classifier, num_classes=None if trained else len(CLASSES), multilabel=True)
    explanandum.to(options.device)
    dataset = Shapes(image_size=options.side, test_images=options.images).split("test")
    image = torch.stack([dataset[n].image for n in range(options.images)]).to(options.device)
    target = torch.zeros(options.images, dtype=torch.long, device=options.device)
    settings = {"samples": options.samples, "steps": options.steps, "grid": 16}
    with tempfile.TemporaryDirectory() as folder:
        fill = CAInfill(options.infill or untrained(Path(folder), options.side))
        mean, learned = FIDO(**settings), FIDO(infill=fill, **settings)
        ours, theirs, ratio = compare(
            lambda: learned(explanandum, image, target),
            lambda: mean(explanandum, image, target),
            options.pairs,
            options.device,
        )
    composites = options.images * options.steps * options.samples
    print(
        f"FIDO, {composites} composites of {options.side}×{options.side}: CA {1000 * ours / composites:.2f} ms each, "
        f"mean {1000 * theirs / composites:.2f} ms each, ratio {ratio:.2f}"
    )


if __name__ == "__main__":
    main()
