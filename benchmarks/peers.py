"""Ours beside other libraries on the same photographs: seconds, and rank correlation of the maps.

python benchmarks/peers.py --images data/imagenet/val [--count 4]

captum is there anyway; pytorch-grad-cam (`pip install grad-cam`) and TorchRay (`pip install torchray`) if installed.
"""

import argparse
import importlib.util
from collections.abc import Callable
from functools import cache

import captum.attr
import torch
from photographs import load
from timing import compare
from torch import Tensor

from explainer.attribution import LIME, ExtremalPerturbation, GradCAM, Occlusion
from explainer.attribution.lime import superpixels
from explainer.metrics import rank_correlation
from explainer.networks import Explanandum


def report(name: str, ours: Callable[[], Tensor], theirs: Callable[[], Tensor], pairs: int) -> None:
    if not name.startswith(options().only):
        return
    seconds, others, ratio = compare(ours, theirs, pairs, "cpu")
    alike = rank_correlation(ours(), theirs())
    known = alike[alike.isfinite()]  # a constant map has no ranks
    found = f"correlation {known.mean():.3f} of {len(known)} maps"
    print(f"{name}: {seconds:.2f} s, theirs {others:.2f} s, ratio {ratio:.2f}, {found}", flush=True)


def one_by_one(image: Tensor, work: Callable[[int], Tensor]) -> Tensor:
    return torch.cat([work(n) for n in range(len(image))])


@cache
def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True)
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--only", default="", help="comparisons whose name begins so")
    return parser.parse_args()


def main() -> None:
    explanandum, image, target = load(options().images, options().count)
    with_captum(explanandum, image, target)
    if importlib.util.find_spec("pytorch_grad_cam"):
        with_grad_cam(explanandum, image, target)
    if importlib.util.find_spec("torchray"):
        with_torchray(explanandum, image[:1], target[:1])


def with_captum(explanandum: Explanandum, image: Tensor, target: Tensor) -> None:
    def probability(seen: Tensor, chosen: Tensor) -> Tensor:
        return explanandum(seen).softmax(1).gather(1, chosen.expand(len(seen))[:, None])[:, 0]

    def occlusion(n: int) -> Tensor:
        return captum.attr.Occlusion(probability).attribute(
            image[n : n + 1],
            (3, 32, 32),
            (3, 16, 16),
            explanandum.mean_colour.expand(1, 3, 224, 224),
            additional_forward_args=(target[n : n + 1],),
        )[:, :1]

    def lime(n: int) -> Tensor:
        torch.manual_seed(0)
        return captum.attr.Lime(probability).attribute(
            image[n : n + 1],
            feature_mask=superpixels(image[n], 50, 10.0)[None, None].expand(1, 3, -1, -1),
            n_samples=100,
            baselines=explanandum.mean_colour.expand(1, 3, 224, 224),
            additional_forward_args=(target[n : n + 1],),
        )[:, :1]

    with torch.no_grad():
        report(
            "Occlusion, captum's defaults",
            lambda: Occlusion()(explanandum, image, target),
            lambda: one_by_one(image, occlusion),
            1,
        )
        report(
            "LIME of 100 samples, captum's defaults",
            lambda: LIME(100)(explanandum, image, target),
            lambda: one_by_one(image, lime),
            1,
        )


def with_grad_cam(explanandum: Explanandum, image: Tensor, target: Tensor) -> None:
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    layer = explanandum.network.get_submodule(explanandum.taps[-1])

    def theirs() -> Tensor:
        with pytorch_grad_cam.GradCAM(model=explanandum, target_layers=[layer]) as cam:
            targets = [ClassifierOutputTarget(c) for c in target.tolist()]
            return torch.from_numpy(cam(input_tensor=image.clone().requires_grad_(), targets=targets))[:, None]

    report("Grad-CAM, pytorch-grad-cam", lambda: GradCAM()(explanandum, image, target), theirs, 5)


def with_torchray(explanandum: Explanandum, image: Tensor, target: Tensor) -> None:
    from torchray.attribution.extremal_perturbation import extremal_perturbation

    def theirs() -> Tensor:
        mask, _ = extremal_perturbation(explanandum, image, int(target), areas=[0.1], max_iter=200, debug=False)
        return mask.detach()

    ours = ExtremalPerturbation([0.1], steps=200)
    report("Extremal perturbation, one image, 200 steps, TorchRay", lambda: ours(explanandum, image, target), theirs, 1)


if __name__ == "__main__":
    main()
