"""Area bound (Eq. 4-6), forward and backward: the vectorised form against a loop that sorts mask by mask.

python benchmarks/area_bound.py [--device cuda]
"""

import argparse

import torch
from timing import compare

from explainer.functional.losses import bounding_measure, over_present, select_present


def loop(masks: torch.Tensor, labels: torch.Tensor, a: float, b: float) -> torch.Tensor:
    """One sort a mask, image by image, as the equations read."""
    losses = []
    for image, present in zip(masks, labels, strict=True):
        total = image.new_zeros(())
        for mask, wanted in zip(image, present, strict=True):
            if wanted:
                values = mask.flatten().sort(descending=True).values
                least, most = int(a * len(values)), int(b * len(values))
                low = (1 - values[:least]).clamp_min(0).sum() / len(values)
                total = total + low + values[most:].clamp_min(0).sum() / len(values)
        losses.append(total / present.sum().clamp_min(1))
    return torch.stack(losses).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    masks = torch.randn(16, 20, 224, 224, generator=generator).mul(3).sigmoid().to(options.device).requires_grad_()
    few = torch.zeros(16, 20)
    few[:, 0], few[::2, 1] = 1, 1
    for name, labels in (("every class (320 masks)", torch.ones(16, 20)), ("1.5 classes an image (24 masks)", few)):
        present = labels.to(options.device)

        def ours(present: torch.Tensor = present) -> torch.Tensor:
            masks.grad = None
            value = over_present(bounding_measure(select_present(masks, present), 0.05, 0.3), present).mean()
            value.backward()
            return value

        def theirs(present: torch.Tensor = present) -> torch.Tensor:
            masks.grad = None
            value = loop(masks, present, 0.05, 0.3)
            value.backward()
            return value

        difference = abs(ours().item() - theirs().item())
        fast, slow, _ = compare(ours, theirs, options.pairs, options.device)
        print(
            f"{name}: vectorised {fast * 1e3:.1f} ms, loop {slow * 1e3:.1f} ms, {slow / fast:.1f}x faster "
            f"(values differ by {difference:.1e})"
        )


if __name__ == "__main__":
    main()
