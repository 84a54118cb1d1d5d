"""How alike the maps of different seeds are: mean rank correlation between runs, a method a line.

python benchmarks/stability.py --images data/imagenet/val [--count 3 --seeds 4]
"""

import argparse
from itertools import combinations

import torch
from photographs import load

from explainer.attribution import FIDO, IGOS, LIME, RISE, EmpiricalMask, SmoothGrad
from explainer.metrics import rank_correlation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True)
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--only", default="", help="methods whose name begins so")
    options = parser.parse_args()
    explanandum, image, target = load(options.images, options.count)
    families = {
        "SmoothGrad² (15 samples)": lambda s: SmoothGrad(seed=s),
        "LIME (300 samples)": lambda s: LIME(300, seed=s),
        "RISE (500 masks)": lambda s: RISE(500, seed=s),
        "empirical masks (500 iterations)": lambda s: EmpiricalMask(500, seed=s),
        "empirical masks as published (500)": lambda s: EmpiricalMask(500, dim=True, result="last", chains=1, seed=s),
        "FIDO, SSR (4 samples, 60 steps)": lambda s: FIDO(4, steps=60, learning_rate=0.2, seed=s),
        "FIDO, SDR (4 samples, 60 steps)": lambda s: FIDO(4, region="sdr", steps=60, learning_rate=0.2, seed=s),
        "iGOS++ (5 iterations of 5)": lambda s: IGOS(iterations=5, integrated=5, seed=s),
    }
    for name, build in families.items():
        if name.startswith(options.only):
            maps = [build(seed)(explanandum, image, target) for seed in range(options.seeds)]
            alike = torch.stack([rank_correlation(a, b) for a, b in combinations(maps, 2)])
            known = alike[alike.isfinite()]  # a constant map has no ranks
            print(
                f"{name}: {known.mean():.3f} ({known.min():.3f} to {known.max():.3f}), "
                f"{alike.numel() - len(known)} of {alike.numel()} undefined",
                flush=True,
            )


if __name__ == "__main__":
    main()
