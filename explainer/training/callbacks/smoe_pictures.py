"""Draw pictures of a network's saliency while it trains, and what its classifier said.

T. N. Mundhenk, B. Y. Chen, G. Friedland: Efficient Saliency Maps for Explainable AI, 2020 (Figures 8 to 11).
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from explainer.files.pictures import UnreadableError, read_picture
from explainer.functional import activation_statistics as statistics
from explainer.rendering import Tile, beside_grey, gallery, heat_map, lovi, to_pil

STRIP = 12
"""At most so many pictures in the strip over time."""


class Answer(NamedTuple):
    """Images that a classifier was shown, and what it said.

    Attributes:
        image: Images (N, 3, H, W) in [0, 1].
        words: Caption for each image.
    """

    image: Tensor
    words: list[str]


class Step(NamedTuple):
    """Everything that the picture of a step shows.

    Attributes:
        image: Images (N, 3, H, W) in [0, 1].
        labels: Caption for each image.
        scales: (N, 1, h, w) each, a statistic at the end of each scale.
        combined: (N, 1, H, W) in [0, 1].
        guesses: Caption for each combined map: what a classifier says of the image.
        masked: Masked images, for a column; None where there are none.
    """

    image: Tensor
    labels: list[str]
    scales: list[Tensor]
    combined: Tensor
    guesses: list[str]
    masked: Answer | None = None


def draw(step: Step) -> Image.Image:
    """Draw the picture of a step.

    Args:
        step: Images, maps and words.

    Returns:
        A picture with one row for each image.
    """
    size = (step.image.shape[-2], step.image.shape[-1])
    squashed = [statistics.normal_cdf(scale) for scale in step.scales]
    # squashed first, then enlarged, as they are combined: the columns show the summands of "combined"
    stack = torch.cat([statistics.upsample(scale, size) for scale in squashed], 1)
    header = ["image", "combined", *(f"scale {k + 1}" for k in range(len(step.scales)))]
    # LOVI orders scales: of one there is no order
    ordered = len(step.scales) > 1
    if ordered:
        header.append("LOVI")
    if step.masked is not None:
        header.append("masked image")
    rows = []
    for n, image in enumerate(step.image):
        row = [Tile(to_pil(image), step.labels[n])]
        combined = beside_grey(image, heat_map(step.combined[n]))
        row.append(Tile(combined, step.guesses[n]))
        for upsampled, scale in zip(stack[n], step.scales, strict=True):
            height, width = scale.shape[-2:]
            row.append(Tile(heat_map(upsampled), f"{height}×{width}"))
        if ordered:
            row.append(Tile(beside_grey(image, lovi(stack[n]))))
        if step.masked is not None:
            row.append(Tile(to_pil(step.masked.image[n]), step.masked.words[n]))
        rows.append(row)
    return gallery(rows, header, tile_size=128)


def strip_over_time(files: Sequence[Path], photograph: Image.Image) -> Image.Image:
    """Join pictures in the order of their steps, at most `STRIP` of them, evenly chosen.

    Args:
        files: Files step_<number>.png.
        photograph: Picture that comes first.

    Returns:
        A picture of one row.
    """
    # sorted by name is sorted by step: numbers in names have zeros in front
    files = sorted(files)
    chosen = set()
    if files:
        # evenly, with the first and the last: what a training began from, and what it has come to
        distance = (len(files) - 1) / max(1, STRIP - 1)
        chosen = {round(place * distance) for place in range(STRIP)}
    tiles = [Tile(photograph, "image")]
    for index in sorted(chosen):
        digits = files[index].stem.split("_")[1]
        step = digits.lstrip("0") or "0"
        with contextlib.suppress(UnreadableError):  # a kill tore it: the training must not end for a picture
            tiles.append(Tile(read_picture(files[index]), f"step {step}"))
    return gallery([tiles], tile_size=128)
