"""What `explainer export` does: a trained Explainer as one file that runs without this project."""

import argparse
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from explainer.errors import InputError
from explainer.functional.resizing import resize
from explainer.inference.explain import read_photo
from explainer.inference.exporting import export
from explainer.inference.hub import weights_file
from explainer.networks.checkpoint import read_checkpoint
from explainer.networks.description import Classified

_MOST_PHOTOGRAPHS = 100
"""Photographs from which the ranges of an int8 graph are taken; more hardly change them."""


def read_photographs(folder: Path, side: int, channels: int = 3, most: int = _MOST_PHOTOGRAPHS) -> Tensor:
    """Read photographs of a folder, such as those from which the ranges of an int8 graph are taken.

    Args:
        folder: Folder of photographs; those in folders inside are read too.
        side: Side S in pixels of the images that the graph takes.
        channels: Number C of their channels.
        most: Largest number N of photographs; of more they are evenly chosen.

    Returns:
        Images (N, C, S, S) in [0, 1].

    Raises:
        InputError: There is no such folder, it holds no photograph, or one cannot be read.
    """
    from PIL import Image

    if not folder.is_dir():
        raise InputError(f"{folder} is no folder of photographs, from which the ranges of int8 are taken")
    endings = Image.registered_extensions()
    photos = sorted(path for path in folder.rglob("*") if path.suffix.lower() in endings)
    if not photos:
        raise InputError(f"{folder} holds no photographs, from which the ranges of int8 are taken")
    count = min(len(photos), most)
    chosen = [photos[index * len(photos) // count] for index in range(count)]
    return torch.cat([resize(read_photo(path, channels), (side, side)) for path in chosen])


def export_file(options: argparse.Namespace) -> None:
    """Export a checkpoint, and print what was written and how near it is.

    Args:
        options: Options of the command line.

    Raises:
        InputError: The checkpoint cannot be exported.
    """
    calibration = None
    if options.int8 is not None:
        spec, _ = read_checkpoint(weights_file(options.checkpoint), "explainer")
        channels = len(cast(Classified, spec)["explanandum"]["mean"])
        calibration = read_photographs(options.int8, spec["image_size"], channels)
    exported = export(options.checkpoint, options.out, options.format, calibration, options.allow)
    side = exported.metadata.image_size
    channels = exported.metadata.channels
    count = len(exported.metadata.classes)
    print(f"{exported.path}: {exported.path.stat().st_size / 1e6:.1f} MB, {exported.metadata.precision}")
    print(f"images (B, {channels}, {side}, {side}) in [0, 1]")
    print(f"-> probabilities (B, {count}), masks (B, {count}, {side}, {side})")
    words = "largest difference from the checkpoint on example images"
    print(f"{words}: probabilities {exported.probability_difference:.1e}, masks {exported.mask_difference:.1e}")
