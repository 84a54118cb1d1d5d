"""What a ROAR and KAR grid shows its trainings: a few test images at every fraction, kept and removed.

T. N. Mundhenk, B. Y. Chen, G. Friedland: Efficient Saliency Maps for Explainable AI, 2020 (Figures 3 and 7).
"""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from explainer.data import ImageDataModule
from explainer.experiments.retraining.degraded import Degraded, Mode
from explainer.experiments.retraining.settings import RetrainingSettings
from explainer.experiments.retraining.tables import NAMES
from explainer.infill import Infill
from explainer.rendering import Tile, gallery, save_picture, to_pil


def write_degraded(data: ImageDataModule, settings: RetrainingSettings, ranks: Path, path: Path) -> None:
    """Draw what the cells of a method see, and save it.

    Args:
        data: DataModule of the images.
        settings: Settings of the grid: modes, fractions, in-fill, number of images.
        ranks: Folder of the method's ranks.
        path: File of the picture; not written where no image can be read.
    """
    picture = draw_degraded(data, ranks, settings.modes, settings.fractions, settings.pictures, settings.infill)
    if picture is not None:
        save_picture(picture, path)


def draw_degraded(
    data: ImageDataModule,
    ranks: Path,
    modes: Sequence[Mode],
    fractions: Sequence[float],
    count: int,
    infill: Infill | None = None,
) -> Image.Image | None:
    """Draw test images as they are, and as each cell of a method sees them.

    Args:
        data: DataModule of the images.
        ranks: Folder of the method's ranks.
        modes: "keep" and "remove".
        fractions: Parts of the image that are kept or removed.
        count: Number of images, evenly spread over the test split.
        infill: In-fill of the pixels that are replaced; None takes the training images' mean colour.

    Returns:
        A row an image; None where there is no image to show.
    """
    whole = data.split("test")
    cells = [(mode, fraction) for mode in modes for fraction in fractions]
    splits = []
    for mode, fraction in cells:
        degraded = Degraded(data, str(ranks), mode, fraction, infill=infill)
        splits.append(degraded.split("test"))
    rows = []
    shown = min(count, len(whole))
    for number in range(shown):
        index = number * len(whole) // shown
        samples = []
        for split in (whole, *splits):
            sample = split[index]
            if sample is not None:  # else the image cannot be read
                samples.append(sample)
        # a row has a picture in every column, or is left out
        if len(samples) < 1 + len(splits):
            continue
        label = whole.classes[int(samples[0].labels.argmax())]
        captions = [label, *("" for _ in cells)]
        pairs = zip(samples, captions, strict=True)
        rows.append([Tile(to_pil(sample.image), words) for sample, words in pairs])
    if not rows:
        return None
    columns = [f"{NAMES[mode]} {100 * fraction:g} %" for mode, fraction in cells]
    return gallery(rows, ["image", *columns], tile_size=112)
