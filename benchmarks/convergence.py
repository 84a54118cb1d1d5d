"""Whether empirical masks converge in fewer iterations than RISE (Figure 4 of the paper): insertion against iterations.

python benchmarks/convergence.py --images data/imagenet/val [--count 5 --plot convergence.png]
"""

import argparse

import matplotlib
import torch
from photographs import load

from explainer.attribution import RISE, EmpiricalMask
from explainer.data import Batch
from explainer.evaluation.scoring.metrics import Judge, standard_metrics
from explainer.metrics import rank_correlation

BUDGETS = (25, 50, 100, 200)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True)
    parser.add_argument("--count", type=int, default=5)
    parser.add_argument("--plot", default="convergence.png")
    options = parser.parse_args()
    explanandum, image, target = load(options.images, options.count)
    batch = Batch(image, torch.nn.functional.one_hot(target, explanandum.num_classes).float(), [""] * len(image), None)
    families = {
        "RISE": lambda n: RISE(n),
        "empirical, our default": lambda n: EmpiricalMask(n),
        "empirical, one chain": lambda n: EmpiricalMask(n, chains=1),
        "empirical, as in the paper": lambda n: EmpiricalMask(n, dim=True, result="last", chains=1),
    }
    scores: dict[str, list[float]] = {}
    for name, build in families.items():
        maps = [build(n)(explanandum, image, target) for n in BUDGETS]
        insertion = standard_metrics(explanandum, curve_steps=28)["insertion"]
        judged = [Judge({}).judged(explanandum, name, each, batch) for each in maps]
        scores[name] = [float(insertion.measure(each).value.mean()) for each in judged]
        alike = [float(rank_correlation(m, maps[-1]).mean()) for m in maps]
        print(f"{name}: insertion " + ", ".join(f"{n}: {s:.3f}" for n, s in zip(BUDGETS, scores[name], strict=True)))
        print("  rank correlation with the last: " + ", ".join(f"{a:.2f}" for a in alike), flush=True)
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for name, values in scores.items():
        axes.plot(BUDGETS, values, marker="o", label=name)
    axes.set(xscale="log", xlabel="iterations (forward passes an image)", ylabel="insertion AUC ↑")
    axes.set_xticks(BUDGETS, [str(n) for n in BUDGETS])
    axes.minorticks_off()
    axes.legend(fontsize=8)
    figure.savefig(options.plot, dpi=110)
    print(f"written to {options.plot}")


if __name__ == "__main__":
    main()
