"""What kept maps save when something else is asked of them, and what a second process saves.

python benchmarks/evaluation_cache.py [--network resnet50 --device cuda]

Images are Shapes at 224×224; the classifier is untrained, which changes no duration.
"""

import argparse
import itertools
import tempfile
from pathlib import Path

from timing import compare

from explainer.attribution import RISE, GradCAM, Gradient, SmoothGrad
from explainer.data import Shapes
from explainer.evaluation.maps.cache import MaskStore
from explainer.evaluation.scoring.loop import Scoring, Subject
from explainer.evaluation.scoring.processes import Workload, evaluate_together
from explainer.evaluation.storage.store import Store
from explainer.networks import Explanandum


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--curve-steps", type=int, default=16)
    parser.add_argument("--masks", type=int, default=200, help="of RISE")
    parser.add_argument("--samples", type=int, default=15, help="of SmoothGrad")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--part", choices=("cache", "processes", "both"), default="both")
    options = parser.parse_args()
    data = Shapes(image_size=options.size, test_images=options.images)
    dataset = data.split("test")
    explanandum = Explanandum(options.network, num_classes=len(data.classes), multilabel=True).to(options.device)
    batches = [list(range(options.images))[i : i + options.batch] for i in range(0, options.images, options.batch)]
    methods = {
        "Grad-CAM": GradCAM(),
        "SmoothGrad": SmoothGrad(Gradient(), options.samples),
        "RISE": RISE(options.masks),
    }
    numbers = itertools.count()

    with tempfile.TemporaryDirectory() as folder:

        def run(maps: str | None, processes: int = 1) -> None:
            kept = None if maps is None else MaskStore(Path(folder, maps), {name: {"maps": maps} for name in methods})
            store = Store(Path(folder, f"results {next(numbers)}"), {})
            evaluate_together(
                processes,
                Subject(explanandum, methods, options.device),
                Workload(dataset, batches),
                store,
                Scoring(mask_store=kept, curve_steps=options.curve_steps),
            )

        if options.part != "processes":
            with_maps, without, ratio = compare(lambda: run("maps"), lambda: run(None), options.pairs, options.device)
            writing = compare(lambda: run(f"maps {next(numbers)}"), lambda: run(None), options.pairs, options.device)[2]
            print(f"with kept maps {with_maps:.2f} s, without {without:.2f} s, ratio {ratio:.3f}")
            print(f"a first run, which keeps its maps, against one that keeps none: ratio {writing:.3f}")
        if options.part != "cache":
            two, one, ratio = compare(lambda: run(None, 2), lambda: run(None), options.pairs, options.device)
            print(f"two processes {two:.2f} s, one {one:.2f} s, ratio {ratio:.3f}, starting them included")


if __name__ == "__main__":
    main()
