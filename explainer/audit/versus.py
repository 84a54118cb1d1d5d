"""Two classifiers side by side: where their masks of the same images differ, and which suspicion is gone."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from explainer.audit.patches import similarity
from explainer.audit.store import Scan
from explainer.audit.suspicions import Suspicion

Fate = Literal["stays", "gone", "new"]

_OVERLAP = 0.3
"""Intersection over union from which two places are one."""


class Difference(NamedTuple):
    """An image and a class whose two masks differ.

    Attributes:
        first: Row of the first scan.
        second: Row of the second scan.
        distance: Mean absolute difference of the masks, in [0, 1].
    """

    first: int
    second: int
    distance: float


class Compared(NamedTuple):
    """A suspicion that one of two classifiers raises, or both.

    Attributes:
        fate: Whether both raise it ("stays"), the first alone ("gone"), or the second alone ("new").
        suspicion: The suspicion, as the classifier has it that raises it; as the first one where both do.
        score: Score of the first classifier's suspicion; 0 where it has none.
        other_score: Score of the second classifier's; 0 where it has none.
    """

    fate: Fate
    suspicion: Suspicion
    score: float
    other_score: float


def differences(first: Scan, second: Scan, count: int = 12) -> tuple[list[Difference], float]:
    """Find where two classifiers' masks of one image and class differ most.

    Args:
        first: Scan of the first classifier, whose decisions are compared.
        second: Scan of the second classifier, of the same images.
        count: Number of differences, at most.

    Returns:
        The largest differences, one an image, and the mean over all decisions of the first classifier.
    """
    places = {(row["index"], row["class"]): number for number, row in enumerate(second.rows)}
    pairs = []
    for number, row in enumerate(first.rows):
        other = places.get((row["index"], row["class"]))
        if row["predicted"] and other is not None:
            pairs.append((number, other))
    if not pairs:
        return [], 0.0
    one, two = (np.array(numbers) for numbers in zip(*pairs, strict=True))
    distances = np.empty(len(pairs), dtype=np.float64)
    # some at a time: as floats, the masks of a large data set would fill the memory
    for start in range(0, len(pairs), 4096):
        block = slice(start, start + 4096)
        apart = first.arrays["masks"][one[block]].astype(np.int16) - second.arrays["masks"][two[block]]
        distances[block] = np.abs(apart).mean((1, 2)) / 255
    largest: list[Difference] = []
    seen: set[int] = set()
    for place in np.argsort(-distances, kind="stable"):
        index = first.rows[one[place]]["index"]
        if index not in seen and len(largest) < count:
            seen.add(index)
            largest.append(Difference(int(one[place]), int(two[place]), float(distances[place])))
    return largest, float(distances.mean())


def fates(first: Sequence[Suspicion], second: Sequence[Suspicion], near: float) -> list[Compared]:
    """Say which suspicions of two classifiers are the same.

    Args:
        first: Suspicions of the first classifier.
        second: Suspicions of the second classifier.
        near: Similarity from which two patches are nearly identical.

    Returns:
        Each suspicion that at least one of the two raises, the highest score first.
    """
    compared = []
    taken: set[int] = set()
    for one in first:
        twins = [number for number, other in enumerate(second) if number not in taken and same(one, other, near)]
        twin = max(twins, key=lambda number: second[number].score, default=None)
        other = None if twin is None else second[twin]
        if twin is not None:
            taken.add(twin)
        if one.raised or (other is not None and other.raised):
            both = one.raised and other is not None and other.raised
            fate: Fate = "stays" if both else "gone" if one.raised else "new"
            shown = one if one.raised or other is None else other
            compared.append(Compared(fate, shown, one.score, 0.0 if other is None else other.score))
    for number, other in enumerate(second):
        if number not in taken and other.raised:
            compared.append(Compared("new", other, 0.0, other.score))
    return sorted(compared, key=lambda entry: -max(entry.score, entry.other_score))


def same(one: Suspicion, other: Suspicion, near: float) -> bool:
    """Say whether two suspicions are of one thing.

    Args:
        one: Suspicion of a classifier.
        other: Suspicion of another one.
        near: Similarity from which two patches are nearly identical.
    """
    if one.of_class != other.of_class or one.kind != other.kind:
        return False
    if one.patches is not None and other.patches is not None:
        medoids = torch.from_numpy(np.stack([one.patches[0], other.patches[0]]))
        return bool(similarity(medoids)[0, 1] >= near)
    if one.place is not None and other.place is not None:
        return overlap(one.place.region, other.place.region) >= _OVERLAP
    return False


def overlap(one: NDArray, other: NDArray) -> float:
    """Return the intersection over union of two regions of cells.

    Example:
        >>> overlap(np.array([True, True, False]), np.array([False, True, True])).__round__(2)
        0.33
    """
    either = int((one | other).sum())
    return int((one & other).sum()) / either if either else 0.0
