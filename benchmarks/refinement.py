"""Which settings of an Explainer's refinement are good defaults, by insertion and deletion on validation photographs.

python benchmarks/refinement.py --root /where/voc/is [--checkpoint checkpoints/voc_lite0.ckpt] [--count 60]
    [--device cuda] [--only "as it is" "default"] [--searches]

Each row is one setting on the same photographs of VOC 2012 with one label, none of them of the test split. The last two
columns are insertion and deletion with their in-fills exchanged, which no refinement here knows of. Passes are those of
the classifier, the Explainer's own one left out.
"""

import argparse
import itertools
from typing import Any

import torch
from torch import Tensor

from explainer.attribution import BBMP, FIDO, IGOS, RISE, Attribution, Explainer, ExtremalPerturbation
from explainer.attribution.refinement import Refinement
from explainer.data import VOC, Batch
from explainer.evaluation.maps.cost import measured
from explainer.evaluation.scoring.metrics import Judge
from explainer.infill import Blur, Constant
from explainer.metrics import Deletion, Insertion
from explainer.networks import Explanandum

CURVE_STEPS = 14


def settings() -> dict[str, tuple[int, dict[str, Any]]]:
    """Name → number of steps, and what differs from the defaults."""
    rows: dict[str, tuple[int, dict[str, Any]]] = {"as it is": (0, {}), "default": (8, {})}
    for steps, rate, temperature, grid in itertools.product((4, 8), (0.2, 0.5, 1.0), (0.3, 1.0), (12, 24, 48)):
        shares = 8 // steps
        differs = {"shares": shares, "learning_rate": rate, "temperature": temperature, "grid": grid}
        rows[f"{steps} × {shares}, rate {rate}, T {temperature}, grid {grid}"] = (steps, differs)
    for score in ("probability", "log_probability"):
        for rate in (0.3, 0.8):
            rows[f"score {score}, rate {rate}"] = (8, {"score": score, "learning_rate": rate})
    for steps in (2, 4, 20, 50):
        rows[f"{steps} steps"] = (steps, {})
    rows["it knows the mean colour alone"] = (8, {"insert_into": "colour"})
    rows["it knows the blur alone"] = (8, {"delete_to": Blur(5.0)})
    return rows


def searches() -> dict[str, Attribution]:
    """The searches of voc_lite0_table2.yaml."""
    search: dict[str, Any] = {"region": "ssr", "infill": Blur(), "grid": 24}
    return {
        "RISE": RISE(masks=200),
        "EP": ExtremalPerturbation(areas=[0.1, 0.3], steps=20, learning_rate=0.4),
        "iGOS++": IGOS(iterations=4, integrated=4),
        "FIDO-SSR": FIDO(**search, samples=4, steps=20, learning_rate=0.5, warm_up=3),
        "BBMP": BBMP(**search, sparsity=1.0e-3, steps=60, learning_rate=0.25, warm_up=6),
    }


def photographs(root: str, count: int, device: str) -> tuple[Tensor, Tensor]:
    """Validation photographs with one label, and their labels."""
    data = VOC(root=root, year="2012", image_size=192, batch_size=16, difficult=True, num_workers=0)
    data.setup("fit")
    images: list[Tensor] = []
    labels: list[Tensor] = []
    for batch in data.val_dataloader():
        one = batch.labels.sum(1) == 1
        images += batch.image[one]
        labels += batch.labels[one]
        if len(images) >= count:
            break
    return torch.stack(images[:count]).to(device), torch.stack(labels[:count]).to(device)


def row(name: str, method: Attribution, explanandum: Explanandum, image: Tensor, labels: Tensor) -> str:
    """Explain all photographs by one method, and return a row of the table."""
    colour = Constant(explanandum.mean_colour.flatten().tolist())
    metrics = {
        "insertion": Insertion(CURVE_STEPS),
        "deletion": Deletion(CURVE_STEPS),
        "insertion into the mean colour": Insertion(CURVE_STEPS, colour),
        "deletion to the blur": Deletion(CURVE_STEPS, Blur(5.0)),
    }
    judge = Judge(metrics)
    values = []
    passes = 0.0
    seconds = 0.0
    for some, their_labels in zip(image.split(method.batch_size), labels.split(method.batch_size), strict=True):
        with measured(explanandum, image.device) as cost:
            mask = method.target_mask(explanandum, some, their_labels)
        passes += cost.passes / len(image)
        seconds += cost.seconds / len(image)
        ids = [""] * len(some)
        answers = judge(judge.judged(explanandum, name, mask, Batch(some, their_labels, ids, None)))
        values += [[answer.scores[column] for column in metrics] for answer in answers]
    means = torch.tensor(values).mean(0).tolist()
    cells = " | ".join(f"{mean:.3f}" for mean in means)
    return f"| {name} | {cells} | {passes:.1f} | {1000 * seconds:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True)
    parser.add_argument("--checkpoint", default="checkpoints/voc_lite0.ckpt")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--searches", action="store_true")
    options = parser.parse_args()
    explanandum = Explanandum(options.checkpoint)
    explanandum.freeze()
    explanandum.to(options.device)
    image, labels = photographs(options.root, options.count, options.device)
    print(f"{len(image)} photographs\n")
    print("| setting | Ins ↑ | Del ↓ | Ins, mean colour ↑ | Del, blur ↓ | passes | ms |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    if options.searches:
        for name, method in searches().items():
            method.batch_size = 64 if options.device == "cuda" else 16
            print(row(name, method, explanandum, image, labels), flush=True)
    for name, (steps, differs) in settings().items():
        if options.only and name not in options.only:
            continue
        if differs.get("insert_into") == "colour":
            differs = differs | {"insert_into": Constant(explanandum.mean_colour.flatten().tolist())}
        batch_size = 64 if options.device == "cuda" else 16
        method = Explainer(options.checkpoint, batch_size, refine_steps=steps, refinement=Refinement(**differs))
        print(row(name, method, explanandum, image, labels), flush=True)


if __name__ == "__main__":
    main()
