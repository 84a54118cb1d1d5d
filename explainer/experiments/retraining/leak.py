"""How much of the class can be read from the masks alone, without any pixel of an image.

The pixels that stay form a picture of their own. Where a network that sees this picture only, black and white, tells
the class, what ROAR and KAR measure of the method may be that picture, and not what was left of the image.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import TypedDict

from explainer.data import ImageDataset

MODE = "masks"
"""What stands in the place of "keep" and "remove" in a cell that sees the masks alone."""
SIGN = "†"
"""Sign of scores that the masks alone may explain."""
LEAST = 0.05
"""Smallest difference to chance that is called a leak."""
ERRORS = 3.0
"""Standard errors that the score must be above chance."""


class Chance(TypedDict):
    """What a network scores that sees nothing, and of how many images.

    Attributes:
        score: Accuracy of always naming the most frequent class; of a multi-label data set the mAP of a constant.
        n: Number of test images.
    """

    score: float
    n: int


class MaskScore(TypedDict):
    """Score of a network that saw the masks alone, and whether it is clearly above chance."""

    score: float
    leaks: bool


def chance_level(dataset: ImageDataset, multilabel: bool) -> Chance:
    """Return what a network scores on a split without looking.

    Args:
        dataset: Test split.
        multilabel: Whether an image may have another number of labels than one.

    Returns:
        Score in [0, 1], and the number of images.
    """
    counts = [0.0] * len(dataset.classes)
    for index in range(len(dataset)):
        for number, present in enumerate(dataset.labels(index).tolist()):
            counts[number] += present
    count = max(1, len(dataset))
    shares = [number / count for number in counts]
    if not multilabel:
        return Chance(score=max(shares), n=len(dataset))
    # a constant ranks all images alike: its average precision is the share of the class, of those that occur
    occurring = [share for share in shares if share > 0]
    return Chance(score=sum(occurring) / max(1, len(occurring)), n=len(dataset))


def leaks(score: float, chance: Chance) -> bool:
    """Say whether a score is clearly above chance: by five points, and by three standard errors of a share.

    Args:
        score: Score of a network that saw the masks alone, in [0, 1].
        chance: Chance level.

    Example:
        >>> leaks(0.3, Chance(score=0.1, n=1000)), leaks(0.12, Chance(score=0.1, n=1000))
        (True, False)
    """
    error = math.sqrt(score * (1 - score) / max(1, chance["n"]))
    return score - chance["score"] > max(LEAST, ERRORS * error)


def mask_scores(rows: Sequence[dict[str, Any]], method: str, chance: Chance) -> dict[str, MaskScore]:
    """Gather what was read from a method's masks alone.

    Args:
        rows: Rows of finished cells.
        method: Name of the method.
        chance: Chance level.

    Returns:
        Fraction → score, in the order of the fractions.
    """
    scores = {}
    for row in sorted(rows, key=lambda row: row["fraction"]):
        if row["method"] == method and row["mode"] == MODE:
            # a key of JSON is text
            fraction = f"{row['fraction']:g}"
            score = row["score"]
            scores[fraction] = MaskScore(score=score, leaks=leaks(score, chance))
    return scores


def warnings_of(masks: Mapping[str, Mapping[str, MaskScore]], chance: Chance) -> list[str]:
    """Write a sentence for each method whose masks give the class away.

    Args:
        masks: Method → fraction → score.
        chance: Chance level.

    Example:
        >>> masks = {"A": {"0.1": MaskScore(score=0.9, leaks=True)}}
        >>> print(warnings_of(masks, Chance(score=0.1, n=500))[0])
        A: a network tells the class from its masks alone (10 %: 90.0; chance 10.0): its ROAR and KAR say little
    """
    sentences = []
    for method, scores in masks.items():
        telling = [
            f"{100 * float(fraction):g} %: {100 * entry['score']:.1f}"
            for fraction, entry in scores.items()
            if entry["leaks"]
        ]
        if telling:
            what = f"{', '.join(telling)}; chance {100 * chance['score']:.1f}"
            sentences.append(
                f"{method}: a network tells the class from its masks alone ({what}): its ROAR and KAR say little"
            )
    return sentences
