"""What the page is told of a photograph: pictures at a screen's size, and numbers."""

import base64
import io
import tempfile
from pathlib import Path
from typing import TypedDict

from PIL import Image

from explainer.errors import InputError
from explainer.inference.explain import Explainer
from explainer.inference.explanation import Explanation, highest_rows
from explainer.inference.saving import seen_through
from explainer.rendering import heat_map, mask_image, to_pil

SIDE = 640
"""Longer side of the pictures that are sent, in pixels."""
MOST_CLASSES = 24
"""Classes of which masks are sent, the most probable ones; a classifier may have thousands."""


class TileAnswer(TypedDict):
    """A picture of the overview: its words, and the picture as a data address."""

    caption: str
    picture: str


class ClassAnswer(TypedDict):
    """A class: its name, probability, whether it counts as present, its mask's area, and the mask in colours."""

    name: str
    probability: float
    present: bool
    area: float
    map: str


class Answer(TypedDict):
    """An explanation for the page.

    Its size in pixels, the photograph, the overview, the classes, how many classes there are, and whether the classes
    present reached the threshold: where none does, the most probable ones stand for them.
    """

    width: int
    height: int
    photograph: str
    overview: list[TileAnswer]
    classes: list[ClassAnswer]
    of_classes: int
    reached: bool


def explain_bytes(explainer: Explainer, content: bytes, threshold: float, top: int) -> Answer:
    """Explain a photograph that was sent.

    Args:
        explainer: Explainer.
        content: Content of the photograph's file.
        threshold: Probability from which a multi-label classifier's classes count as present.
        top: Number of classes that count as present when none reaches the threshold.

    Returns:
        What the page shows.

    Raises:
        InputError: It is no picture, or a damaged one.
    """
    # as a file, so that a picture that was sent is checked like any other one; it goes with the folder
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photograph"
        path.write_bytes(content)
        try:
            explanation = explainer.explain(path, threshold, top)
        except InputError as error:
            # the person knows the file by another name
            raise InputError(str(error).replace(f" {path}", "")) from error
    first = explanation.predicted[0]
    # of a single-label classifier the likeliest class is the answer, however low its probability
    reached = not explainer.explanandum.multilabel or float(explanation.probabilities[first]) >= threshold
    return answer_of(explanation, to_pil(explainer.explanandum.mean_colour[0]), reached)


def answer_of(explanation: Explanation, colour: Image.Image, reached: bool) -> Answer:
    """Draw an explanation for the page.

    Args:
        explanation: Explanation of one photograph.
        colour: Colour where the mask is 0: a picture of one pixel.
        reached: Whether the classes present reached the threshold.
    """
    photograph = to_pil(explanation.pixels[0])
    photograph.thumbnail((SIDE, SIDE))
    size = (photograph.height, photograph.width)
    everywhere = slice(0, photograph.height)
    # enlarged to the screen's size only: at the photograph's, a thousand masks would take minutes
    target = mask_image(highest_rows(explanation.logits, size, everywhere, explanation.predicted)[0])
    tiles = seen_through(explanation, photograph, target, colour)
    overview = [TileAnswer(caption=tile.caption, picture=data_address(tile.picture)) for tile in tiles]
    overview.insert(0, TileAnswer(caption="target mask", picture=data_address(target)))
    order = explanation.probabilities.argsort(descending=True).tolist()
    others = [index for index in order if index not in explanation.predicted]
    classes = []
    for index in [*explanation.predicted, *others][:MOST_CLASSES]:
        mask = highest_rows(explanation.logits, size, everywhere, [index])[0]
        classes.append(
            ClassAnswer(
                name=explanation.classes[index],
                probability=float(explanation.probabilities[index]),
                present=index in explanation.predicted,
                area=float(mask.mean()),
                map=data_address(heat_map(mask)),
            )
        )
    height, width = explanation.size
    return Answer(
        width=width,
        height=height,
        photograph=data_address(photograph),
        overview=overview,
        classes=classes,
        of_classes=len(explanation.classes),
        reached=reached,
    )


def data_address(picture: Image.Image) -> str:
    """Return a picture as an address that holds it, so that the page asks for nothing more.

    Args:
        picture: Picture, in grey or RGB.

    Example:
        >>> data_address(Image.new("L", (2, 2)))[:23]
        'data:image/jpeg;base64,'
    """
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
