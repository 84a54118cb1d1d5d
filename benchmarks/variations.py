"""The search for 64 codes in one batch against one code after the other.

python benchmarks/variations.py [--device cuda --steps 1000]
"""

import argparse

import torch
from timing import compare

from explainer.experiments.variations.latent_search import SearchSettings, reconstruction_mask, search
from explainer.networks.generative.dcgan import DCGAN


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--codes", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--width", type=int, default=64, help="of the generator")
    options = parser.parse_args()
    network = DCGAN(64, width=options.width).to(options.device).eval().requires_grad_(False)
    codes = network.codes(options.codes)
    image = torch.rand(1, 3, 64, 64, device=options.device).expand(options.codes, -1, -1, -1)
    keep = torch.ones(options.codes, 1, 64, 64, device=options.device)
    keep[:, :, 20:44, 20:44] = 0
    weight = reconstruction_mask(keep)

    settings = SearchSettings(steps=options.steps)

    def together() -> None:
        search(network, codes, image, weight, None, settings)

    def one_by_one() -> None:
        for n in range(options.codes):
            search(network, codes[n : n + 1], image[n : n + 1], weight[n : n + 1], None, settings)

    ours, theirs, ratio = compare(together, one_by_one, options.pairs, options.device)
    step = ours / options.steps
    print(f"{options.codes} codes, {options.steps} steps: one batch {ours:.2f} s ({step:.3f} s a step)")
    print(f"one by one {theirs:.2f} s: {1 / ratio:.2f}× faster")


if __name__ == "__main__":
    main()
