"""SMOE saliency of photographs by a pretrained classifier.

python docs/pictures/smoe_gallery.py photo.jpg … --out smoe.png
"""

import argparse
from pathlib import Path

import torch

from explainer.attribution import SMOE, FastCAM
from explainer.functional import activation_statistics as statistics
from explainer.functional.masking import min_max
from explainer.inference.explain import read_photo, resize
from explainer.networks import Explanandum
from explainer.rendering import Tile, beside_grey, gallery, heat_map, lovi, to_pil


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--network", default="explainer.networks.lite.efficientnet_lite0")
    parser.add_argument("--weights", default=None)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--out", type=Path, default=Path("smoe.png"))
    options = parser.parse_args()
    explanandum = Explanandum(options.network, options.weights, multilabel=False)
    size, smoe, rows = (options.size, options.size), SMOE(), []
    for photo in options.photos:
        image = resize(read_photo(photo), size)
        scales = smoe.scales(explanandum, image)
        squashed = torch.cat([statistics.upsample(statistics.normal_cdf(m), size) for m in scales], 1)[0]
        with torch.no_grad():
            target = explanandum(image).argmax(1)
        cam = min_max(FastCAM()(explanandum, image, target))
        rows.append(
            [
                Tile(to_pil(image[0])),
                Tile(beside_grey(image[0], heat_map(min_max(smoe(explanandum, image))[0]))),
                *(Tile(heat_map(m)) for m in squashed),
                Tile(beside_grey(image[0], lovi(squashed))),
                Tile(beside_grey(image[0], heat_map(cam[0]))),
            ]
        )
    header = ["image", "SMOE", *(f"scale {k + 1}" for k in range(len(scales))), "LOVI", "SMOE × Grad-CAM"]
    gallery(rows, header, tile_size=120).save(options.out)


if __name__ == "__main__":
    main()
