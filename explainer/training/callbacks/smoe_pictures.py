"""Draw pictures of a network's saliency while it trains, and what its classifier said.

T. N. Mundhenk, B. Y. Chen, G. Friedland: Efficient Saliency Maps for Explainable AI, 2020 (Figures 8 to 11).
"""

import contextlib
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from explainer.files.pictures import UnreadableError, read_picture
from explainer.functional import activation_statistics as statistics
from explainer.rendering import Tile, beside_grey, gallery, heat_map, lovi, to_pil

STRIP = 12
"""At most so many pictures in the strip over time."""


class Answer(NamedTuple):
    """Images that the explanandum was shown, (N, 3, H, W), and its logits for them, (N, K)."""

    image: Tensor
    logits: Tensor


class Maps(NamedTuple):
    """Images and maps that the picture of a step shows.

    Attributes:
        image: Images (N, 3, H, W) in [0, 1].
        labels: Labels (B, K), the first N of which count.
        scales: (N, 1, h, w) each, a statistic at the end of each scale.
        combined: (N, 1, H, W) in [0, 1].
    """

    image: Tensor
    labels: Tensor
    scales: list[Tensor]
    combined: Tensor


def draw(explanandum: Any, maps: Maps, photograph: Answer | None = None, masked: Answer | None = None) -> Image.Image:
    """Draw the picture of a step.

    Args:
        explanandum: Classifier that knows the classes.
        maps: Images and maps that are shown.
        photograph: Answer of the classifier to the images; None where it was not asked.
        masked: Answer of the classifier to masked images, for a column of its own; None where it was not shown any.

    Returns:
        A picture with one row for each image.
    """
    size = (maps.image.shape[-2], maps.image.shape[-1])
    squashed = [statistics.normal_cdf(scale) for scale in maps.scales]
    # squashed first, then enlarged, as they are combined: the columns show the summands of "combined"
    stack = torch.cat([statistics.upsample(scale, size) for scale in squashed], 1)
    rows = []
    for n, image in enumerate(maps.image):
        present = maps.labels[n].nonzero().flatten().tolist()
        names = [explanandum.classes[label] for label in present[:3]]
        row = [Tile(to_pil(image), ", ".join(names) or "no label")]
        combined = beside_grey(image, heat_map(maps.combined[n]))
        row.append(Tile(combined, guess(explanandum, photograph, n)))
        for upsampled, scale in zip(stack[n], maps.scales, strict=True):
            height, width = scale.shape[-2:]
            row.append(Tile(heat_map(upsampled), f"{height}×{width}"))
        row.append(Tile(beside_grey(image, lovi(stack[n]))))
        if masked is not None:
            picture = to_pil(masked.image[n].float().clamp(0, 1))
            row.append(Tile(picture, guess(explanandum, masked, n)))
        rows.append(row)
    header = ["image", "combined", *(f"scale {k + 1}" for k in range(len(maps.scales))), "LOVI"]
    if masked is not None:
        header.append("masked image")
    return gallery(rows, header, tile_size=128)


def guess(explanandum: Any, answer: Answer | None, index: int) -> str:
    """Return the most probable class of an image and its probability, for a caption; empty without an answer."""
    if answer is None:
        return ""
    logits = answer.logits[index : index + 1].float()
    probabilities = explanandum.probabilities(logits)[0]
    best = int(probabilities.argmax())
    return f"predicted: {explanandum.classes[best]} {float(probabilities[best]):.2f}"


def strip_over_time(folder: Path, photograph: Image.Image) -> Image.Image:
    """Join the pictures of a folder in the order of their steps, at most `STRIP` of them, evenly chosen.

    Args:
        folder: Folder with files step_<number>.png.
        photograph: Picture that comes first.

    Returns:
        A picture of one row.
    """
    # sorted by name is sorted by step: numbers in names have zeros in front
    files = sorted(folder.glob("step_[0-9]*.png"))
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
