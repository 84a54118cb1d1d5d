"""An explanation as files: pictures at the photograph's size, an overview, and numbers."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from PIL import Image
from torch import Tensor

from explainer.files import file_name, sweep, write_json
from explainer.inference.explanation import Explanation
from explainer.rendering import Tile, fit, gallery, mask_image, overlay, save_picture, to_pil


class ClassProbabilities(TypedDict):
    """Probabilities of a class for the photograph, for what the target mask keeps of it, and for what it removes."""

    photograph: float
    kept: float
    removed: float


class Numbers(TypedDict):
    """Content of probabilities.json: the classes present, the target mask's area, and the probabilities by class."""

    predicted: list[str]
    area: float
    probabilities: dict[str, ClassProbabilities]


def class_file_names(classes: Sequence[str]) -> list[str]:
    """Return a file name for each class: the same ones for every photograph, no two alike.

    Args:
        classes: Names of the classes, which may hold any character.

    Example:
        >>> class_file_names(["cat", "a/b", "a_b"])
        ['cat', 'a_b', 'a_b-648fa9b3']
    """
    names: list[str] = []
    for name in classes:
        # one after the other: a name is marked only where an earlier class has taken it
        names.append(file_name(name, names))
    return names


def mask_picture(explanation: Explanation, classes: Sequence[int]) -> tuple[Image.Image, float]:
    """Draw the maximum of some classes' masks at the photograph's size.

    Args:
        explanation: Explanation of one photograph.
        classes: Indices of the classes, at least one.

    Returns:
        The picture in grey, and the mean of the mask in [0, 1]: its area.
    """
    height, width = explanation.size
    picture = Image.new("L", (width, height))
    total = 0.0
    for rows, mask in explanation.bands(classes):
        picture.paste(mask_image(mask[0]), (0, rows.start))
        # in double precision: of a hundred million pixels, a sum in single precision loses the last ones
        total += float(mask.double().sum())
    area = total / (height * width)
    return picture, area


def overlay_picture(explanation: Explanation, index: int) -> Image.Image:
    """Draw a class's mask in colours over the photograph in grey, at the photograph's size.

    Args:
        explanation: Explanation of one photograph.
        index: Index of the class.

    Returns:
        The picture.
    """
    height, width = explanation.size
    picture = Image.new("RGB", (width, height))
    for rows, mask in explanation.bands([index]):
        photograph = explanation.pixels[0, :, rows]
        picture.paste(overlay(photograph, mask[0]), (0, rows.start))
    return picture


def save(explanation: Explanation, folder: Path, names: Sequence[str], mean_colour: Tensor) -> dict[int, float]:
    """Write an explanation's pictures and numbers; no more than one large picture at a time is in memory.

    The files are overview.png, target_mask.png, mask_<class>.png, overlay_<class>.png, and at last probabilities.json:
    where this one is, all are.

    Args:
        explanation: Explanation of one photograph.
        folder: Folder to write to; it is made when it is missing.
        names: File names of all classes.
        mean_colour: Colour where the mask is 0, (1, C, 1, 1) in [0, 1].

    Returns:
        Index of a class present → area of its mask, in [0, 1].

    Raises:
        OSError: Something cannot be written.
    """
    sweep(folder)
    with contextlib.suppress(FileNotFoundError):
        (folder / "probabilities.json").unlink()  # of an earlier explanation, whose pictures are now replaced
    photograph = fit(to_pil(explanation.pixels[0]))
    target, area = mask_picture(explanation, explanation.predicted)
    save_picture(target, folder / "target_mask.png")
    target = fit(target)
    tiles = [Tile(photograph, "photograph")]
    areas = {}
    for index in explanation.predicted:
        name = names[index]
        mask, areas[index] = mask_picture(explanation, [index])
        save_picture(mask, folder / f"mask_{name}.png")
        del mask  # before the next large picture is drawn
        overlaid = overlay_picture(explanation, index)
        save_picture(overlaid, folder / f"overlay_{name}.png")
        small = fit(overlaid)
        del overlaid
        caption = f"{explanation.classes[index]} {explanation.probabilities[index]:.2f}"
        tiles.append(Tile(small, caption))
    colour = to_pil(mean_colour[0])
    tiles += seen_through(explanation, photograph, target, colour)
    overview = gallery([tiles])
    save_picture(overview, folder / "overview.png")
    # last: a reader who sees this file may rely on all others
    write_json(folder / "probabilities.json", numbers(explanation, area))
    return areas


def seen_through(
    explanation: Explanation,
    photograph: Image.Image,
    target: Image.Image,
    colour: Image.Image,
) -> list[Tile]:
    """Draw the photograph through the target mask and through its complement, with the first class's probability.

    Args:
        explanation: Explanation of one photograph.
        photograph: Photograph at the size to draw.
        target: Target mask in grey, of the same size.
        colour: Colour where the mask is 0: a picture of one pixel.
    """
    plain = colour.resize(photograph.size)
    first = explanation.predicted[0]
    name = explanation.classes[first]
    # composed of the small pictures, for the eye: the probabilities are of the composites that the network saw
    through_mask = Image.composite(photograph, plain, target)
    through_complement = Image.composite(plain, photograph, target)
    return [
        Tile(through_mask, f"kept: {name} {explanation.through_mask[first]:.2f}"),
        Tile(through_complement, f"removed: {name} {explanation.through_complement[first]:.2f}"),
    ]


def numbers(explanation: Explanation, area: float) -> Numbers:
    """Return the content of probabilities.json.

    Args:
        explanation: Explanation of one photograph.
        area: Mean of the target mask, in [0, 1].

    Returns:
        Plain values.
    """
    scores: dict[str, ClassProbabilities] = {}
    for index, name in enumerate(explanation.classes):
        scores[name] = ClassProbabilities(
            photograph=float(explanation.probabilities[index]),
            kept=float(explanation.through_mask[index]),
            removed=float(explanation.through_complement[index]),
        )
    predicted = [explanation.classes[index] for index in explanation.predicted]
    return Numbers(predicted=predicted, area=area, probabilities=scores)
