"""FIDO's appendix in pictures: how its map changes with λ, the grid, the total variation and the number of samples.

    python benchmarks/fido_sweeps.py --images FOLDER --out FOLDER [--count 2] [--steps 60]

C.-H. Chang, E. Creager, A. Goldenberg, D. Duvenaud: Explaining Image Classifiers by Counterfactual Generation, ICLR
2019, Figures 12 (λ, with BBMP beside FIDO), 13 (grid), 15 (total variation) and 17 (samples a step). Writes a picture a
figure, and prints for each setting the area of the region θ > 0.5, in how many pieces it falls (artifacts are small
pieces), and the probability of the class when the rest is filled in.
"""

import argparse
from pathlib import Path

import torch
from photographs import load
from scipy.ndimage import label
from torch import Tensor

from explainer.attribution import BBMP, FIDO, Attribution
from explainer.functional.masking import composite
from explainer.infill import Blur, Infill, Local
from explainer.networks import Explanandum
from explainer.rendering import Tile, gallery, overlay, save_picture, to_pil


def sweeps(steps: int) -> dict[str, dict[str, Attribution]]:
    """Figure → setting → method; budgets are cut, and the learning rate is raised for it."""
    lambdas, common = (5e-4, 1e-3, 2e-3, 5e-3), {"steps": steps, "learning_rate": 0.2}

    def fido(**options: float) -> FIDO:
        return FIDO(**({"samples": 4, "infill": Local()} | common | options))  # type: ignore[arg-type]

    with_lambda = {f"BBMP blur, λ {value:g}": BBMP(sparsity=value, infill=Blur(), **common) for value in lambdas}  # type: ignore[arg-type]
    return {
        "figure12_sparsity": with_lambda | {f"FIDO local, λ {value:g}": fido(sparsity=value) for value in lambdas},
        "figure13_grid": {f"grid {value}": fido(grid=value, tv=0.0) for value in (14, 28, 56, 112)},
        "figure15_total_variation": {f"TV {value:g}": fido(tv=value) for value in (0.0, 0.01, 0.1, 1.0)},
        "figure17_samples": {f"{value} samples": fido(samples=value) for value in (1, 2, 4, 8)},
    }


def measured(explanandum: Explanandum, found: Tensor, image: Tensor, target: Tensor, infill: Infill) -> list[float]:
    """Area and pieces of the region, and the class's probability of the region alone; means over the images."""
    region = (found > 0.5).float()
    pieces = [label(one[0].numpy())[1] for one in region]
    with torch.no_grad():
        seen = composite(image, region, infill(image, region))
        said = explanandum.probabilities(explanandum(seen)).gather(1, target[:, None])
    return [float(region.mean()), sum(pieces) / len(pieces), float(said.mean())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--count", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    explanandum, images, targets = load(options.images, options.count)
    print("| figure | setting | area | pieces | probability |\n| --- | --- | ---: | ---: | ---: |", flush=True)
    for figure, settings in sweeps(options.steps).items():
        columns = []
        for name, method in settings.items():
            found = method(explanandum, images, targets)
            columns.append(found)
            infill = getattr(method, "infill", None) or Local()
            area, pieces, probability = measured(explanandum, found, images, targets, infill)
            print(f"| {figure} | {name} | {area:.3f} | {pieces:.1f} | {probability:.3f} |", flush=True)
        rows = [
            [Tile(to_pil(image)), *(Tile(overlay(image, column[n])) for column in columns)]
            for n, image in enumerate(images)
        ]
        Path(options.out).mkdir(parents=True, exist_ok=True)
        save_picture(gallery(rows, header=["image", *settings]), Path(options.out) / f"{figure}.png")


if __name__ == "__main__":
    main()
