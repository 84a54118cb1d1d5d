"""What insertion and deletion cost beside the forward passes that they cannot avoid, and beside Quantus' PixelFlipping.

python benchmarks/insertion_deletion.py [--network resnet50 --device cuda]

Quantus (`pip install '.[quantus]'`) is compared with if it is installed: deletion alone, on the same images, to the
same colour, in as many steps.
"""

import argparse
import importlib.util
import warnings
from collections.abc import Callable

import torch
from timing import compare

from explainer.data import Batch
from explainer.evaluation.scoring.metrics import Judge
from explainer.infill import Constant
from explainer.metrics import Deletion, Insertion, Judged
from explainer.networks import Explanandum


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="explainer.networks.lite.efficientnet_lite0")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--steps", type=int, default=48, help="of a curve; Quantus takes 48, 96, 192 …")
    parser.add_argument("--batch", type=int, default=16, help="pictures at once")
    return parser.parse_args()


def main() -> None:
    o = options()
    explanandum = Explanandum(o.network, multilabel=False).to(o.device)
    torch.manual_seed(0)
    image, mask = torch.rand(o.images, 3, 224, 224, device=o.device), torch.rand(o.images, 1, 224, 224, device=o.device)
    labels = torch.eye(explanandum.num_classes, device=o.device)[: o.images]
    names = [str(n) for n in range(o.images)]
    judged = Judge({}).judged(explanandum, "", mask, Batch(image, labels, names))
    curves = Insertion(o.steps, batch_size=o.batch), Deletion(o.steps, batch_size=o.batch)
    pictures = torch.rand(o.batch, 3, 224, 224, device=o.device)

    @torch.no_grad()
    def forward(count: int) -> None:
        for start in range(0, count, o.batch):
            explanandum(pictures[: count - start])

    count = o.images * (o.steps + 1)
    what = f"{o.images} images, {o.steps} steps"
    for name, metrics in (("insertion and deletion", curves), ("insertion", curves[:1]), ("deletion", curves[1:])):
        ours, theirs, ratio = compare(
            lambda m=metrics: [metric.measure(judged) for metric in m],
            lambda m=metrics: [forward(count) for _ in m],
            o.pairs,
            o.device,
        )
        print(f"{name}, {what}: {ours:.2f} s, bare passes {theirs:.2f} s, ratio {ratio:.3f}", flush=True)
    if importlib.util.find_spec("quantus"):
        ours = Deletion(o.steps, Constant((0.5, 0.5, 0.5)), batch_size=o.batch)
        flipping = pixel_flipping(explanandum, judged, o)
        mine, others, ratio = compare(lambda: ours.measure(judged), flipping, o.pairs, o.device)
        print(f"deletion, {what}: {mine:.2f} s, Quantus' PixelFlipping {others:.2f} s, ratio {ratio:.2f}")


def pixel_flipping(explanandum: Explanandum, judged: Judged, o: argparse.Namespace) -> Callable[[], object]:
    """Theirs exchanges values of single channels, so three times as many a step; all images at once."""
    import quantus

    features = 3 * 224 * 224 // o.steps
    metric = quantus.PixelFlipping(features_in_step=features, perturb_baseline=0.5, disable_warnings=True)
    image, mask = judged.image.cpu().numpy(), judged.mask.cpu().numpy()
    labels = judged.labels.argmax(1).cpu().numpy()

    def work() -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return metric(
                model=explanandum,
                x_batch=image,
                y_batch=labels,
                a_batch=mask.copy(),
                channel_first=True,
                softmax=True,
                device=o.device,
                batch_size=o.batch,
            )

    return work


if __name__ == "__main__":
    main()
