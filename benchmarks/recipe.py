"""Which recipe makes a good Explainer in little time: variants of one training on photographs, at equal steps.

python benchmarks/recipe.py --root /where/voc/is --classifier checkpoints/voc_lite0_classifier.ckpt [--steps 178]
    [--only "features" "DeepLabV3, from scratch"] [--seeds 1]

Each variant trains the same steps of 16 photographs of VOC 2012 with warm-up, cosine and an average of the weights, and
is judged on validation photographs: Acc and IoU of the target mask (void border as object), the probability of a class
through its own mask and through the masks of all other classes, and the area of its own mask; with several seeds, mean
± standard deviation. CPU seconds are the training's. Neither Acc nor IoU chose anything in a training.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from explainer.data import VOC, ImageDataModule
from explainer.functional.masking import target_mask
from explainer.networks import Explanandum, FeatureMasker, Masker
from explainer.networks.ema import Average
from explainer.training.modules import AmortizedExplainer, ExplainerObjective
from explainer.training.schedule import WarmUpCosine
from explainer.training.separation import separation

PUBLISHED = {"entropy": 1.0, "tv": 1.0, "bound": 1.0, "target_area": 0.1, "non_target_area": 0.3, "max_area": 0.3}
"""Weights of the published run on VOC with VGG-16."""
CHOSEN = PUBLISHED | {"tv": 0.3, "max_area": 0.5}
FINAL = CHOSEN | {"entropy": 2.0, "tv": 0.05}
"""Weights of voc_lite0.yaml."""


class Variant(NamedTuple):
    """What differs: the masker for a classifier's checkpoint, learning rate, weights of the loss, and the average."""

    masker: Callable[[str], Masker]
    rate: float
    weights: dict[str, float]
    decay: float = 0.99


def deeplab(weights: str | None) -> Callable[[str], Masker]:
    """DeepLabV3 on EfficientNet-Lite0; "own" are the classifier's weights."""
    arguments: dict[str, Any] = {"decoder_channels": 64, "encoder_output_stride": 16}
    return lambda path: Masker("tu-tf_efficientnet_lite0", path if weights == "own" else weights, arguments=arguments)


def features(path: str) -> Masker:
    """The decoder on the classifier's own layers."""
    return FeatureMasker()


VARIANTS = {
    "features": Variant(features, 2e-3, CHOSEN),
    "features, published weights": Variant(features, 2e-3, PUBLISHED),
    "features, 5e-3": Variant(features, 5e-3, CHOSEN),
    "features, 5e-4": Variant(features, 5e-4, CHOSEN),
    "features, no average": Variant(features, 2e-3, CHOSEN, 0.0),
    "features, entropy 3": Variant(features, 2e-3, CHOSEN | {"entropy": 3.0}),
    "features, as voc_lite0.yaml": Variant(features, 2e-3, FINAL),
    "DeepLabV3, as voc_lite0_deeplab.yaml": Variant(deeplab("own"), 1e-3, FINAL),
    "features, weights by K": Variant(features, 2e-3, CHOSEN | {"target_area": 0.03, "non_target_area": 0.09}),
    "DeepLabV3, the classifier's weights": Variant(deeplab("own"), 1e-3, CHOSEN),
    "DeepLabV3, the classifier's weights, 1e-4": Variant(deeplab("own"), 1e-4, CHOSEN),
    "DeepLabV3, ImageNet": Variant(deeplab("lite0"), 1e-3, CHOSEN),
    "DeepLabV3, from scratch": Variant(deeplab(None), 1e-3, CHOSEN),
    "DeepLabV3, from scratch, 1e-5, as published": Variant(deeplab(None), 1e-5, PUBLISHED),
}


def held(data: ImageDataModule, split: str) -> tuple[Tensor, Tensor, Tensor | None]:
    """All of a split in memory: bytes of the images, labels, and the object's pixels where there are any."""
    images, labels, objects = [], [], []
    for batch in data.loader(split):  # type: ignore[arg-type]
        images.append((batch.image * 255).round().byte())
        labels.append(batch.labels)
        if batch.segmentation is not None:
            objects.append(batch.segmentation.bool().any(1, keepdim=True))
    return torch.cat(images), torch.cat(labels), torch.cat(objects) if objects else None


def train(
    module: AmortizedExplainer, variant: Variant, train_set: tuple[Tensor, Tensor, Tensor | None], steps: int
) -> float:
    """Train a variant; the masker ends as the average of its weights. CPU seconds."""
    images, labels, _ = train_set
    optimizer = torch.optim.Adam([p for p in module.masker.parameters() if p.requires_grad], lr=variant.rate)
    schedule = WarmUpCosine(optimizer, min(50, steps // 5), steps)
    average = Average(module.masker.network, variant.decay)  # type: ignore[arg-type]
    epochs = 1 + steps * 16 // len(images)
    order = torch.cat([torch.randperm(len(images)) for _ in range(epochs)])
    start = time.process_time()
    module.train()
    for step in range(steps):
        chosen = order[16 * step : 16 * (step + 1)]
        image = images[chosen].float() / 255
        image = image.flip(3) if step % 2 else image
        loss = module.objective.total(module.objective.terms(module.view(image, labels[chosen])))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        average.update_parameters(module.masker.network)  # type: ignore[arg-type]
    seconds = time.process_time() - start
    module.masker.network.load_state_dict(average.module.state_dict())  # type: ignore[union-attr]
    return seconds


@torch.no_grad()
def judge(module: AmortizedExplainer, val_set: tuple[Tensor, Tensor, Tensor | None]) -> list[float]:
    """Acc and IoU in percent, own and others' probability, area: means over the validation photographs."""
    module.eval()
    sums: list[list[Tensor]] = [[] for _ in range(5)]
    images, labels, objects = val_set
    assert objects is not None
    for part in torch.arange(len(images)).split(16):
        image, label, truth = images[part].float() / 255, labels[part], objects[part].float()
        masks = module(image)
        target = target_mask(masks, label)
        seen = separation(module.explanandum, image, masks, label, module.explanandum.mean_colour)
        agreement = target * truth + (1 - target) * (1 - truth)
        union = torch.maximum(target, truth).sum((1, 2, 3)).clamp_min(1e-6)
        sums[0].append(100 * agreement.mean((1, 2, 3)))
        sums[1].append(100 * torch.minimum(target, truth).sum((1, 2, 3)) / union)
        for place, values in enumerate(seen, 2):
            sums[place].append(values)
    return [float(torch.cat(values).mean()) for values in sums]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True)
    parser.add_argument("--classifier", required=True)
    parser.add_argument("--steps", type=int, default=178)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS))
    options = parser.parse_args()
    data = VOC(root=options.root, year="2012", image_size=options.size, batch_size=32, num_workers=0, difficult=True)
    train_set, val_set = held(data, "train"), held(data, "val")
    print("| variant | Acc ↑ | IoU ↑ | own ↑ | others ↓ | area | CPU s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name in options.only:
        variant, results = VARIANTS[name], []
        for seed in range(options.seeds):
            torch.manual_seed(seed)
            explanandum = Explanandum(options.classifier)
            objective = ExplainerObjective(**variant.weights)
            module = AmortizedExplainer(explanandum, variant.masker(options.classifier), objective)
            module.build(explanandum.classes, True)
            seconds = train(module, variant, train_set, options.steps)
            results.append([*judge(module, val_set), seconds])
        cells = []
        for column, digits in zip(zip(*results, strict=True), (1, 1, 3, 3, 3, 0), strict=True):
            cell = f"{statistics.mean(column):.{digits}f}"
            if options.seeds > 1:
                cell += f" ± {statistics.stdev(column):.{digits}f}"
            cells.append(cell)
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
