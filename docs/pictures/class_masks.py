"""Class masks of photographs that a seed chose, failures included: the picture of the README.

python docs/pictures/class_masks.py --root /where/voc/is --ckpt_path checkpoints/voc_lite0.ckpt --out class_masks.jpg
"""

import argparse
from pathlib import Path

import torch

from explainer.data import VOC
from explainer.functional.masking import composite, target_mask
from explainer.inference.explain import Explainer
from explainer.rendering import Tile, gallery, overlay, to_pil


def tiles(explainer: Explainer, image: torch.Tensor, labels: torch.Tensor, most: int) -> list[Tile]:
    """A row: the photograph, a mask for each of its classes, and the photograph through their maximum."""
    explanandum = explainer.explanandum
    masks = explainer.masks(image)
    present = labels.nonzero().flatten().tolist()
    target = target_mask(masks, labels[None])
    kept = composite(image, target, explanandum.mean_colour)
    removed = composite(image, 1 - target, explanandum.mean_colour)
    whole, through, left = explainer.probabilities(torch.cat([image, kept, removed]).clamp(0, 1))

    def words(probabilities: torch.Tensor) -> str:
        return ", ".join(f"{explainer.classes[c]} {float(probabilities[c]):.2f}" for c in present[:2])

    row = [
        Tile(to_pil(image[0]), words(whole)),
        Tile(to_pil(kept[0]), words(through)),
        Tile(to_pil(removed[0]), words(left)),
    ]
    return row + [Tile(overlay(image[0], masks[0, c : c + 1]), explainer.classes[c]) for c in present[:most]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True)
    parser.add_argument("--ckpt_path", type=Path, default=Path("checkpoints/voc_lite0.ckpt"))
    parser.add_argument("--out", type=Path, default=Path("class_masks.jpg"))
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    explainer = Explainer(options.ckpt_path, "cpu")
    data = VOC(root=options.root, year="2012", image_size=explainer.image_size, segmented_only=True, num_workers=0)
    split = data.split("test")
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(options.seed))
    samples = [split[int(index)] for index in order[: options.count]]
    rows = [tiles(explainer, s.image[None], s.labels, 2) for s in samples if s is not None]
    header = ["photograph", "what is kept", "what is left", "class mask", "class mask"]
    gallery(rows, header[: max(map(len, rows))], tile_size=150).save(options.out, quality=85)


if __name__ == "__main__":
    main()
