"""Divide images that come without splits: 80 / 10 / 10 for training, validation and test, by labels and a seed.

K. Sechidis, G. Tsoumakas, I. Vlahavas: On the Stratification of Multi-Label Data, ECML PKDD 2011. Departures: the
images of a combination of labels that has at least eight are divided among themselves, exactly, and only the others by
iterative stratification; and a part that is left with less than half of its share, because every label is rarer than
the parts are, is filled from the largest one.
"""

import heapq
import random
from collections import Counter, defaultdict
from collections.abc import Sequence

from explainer.data.annotations import divide

FRACTIONS = (0.8, 0.1, 0.1)
_ENOUGH = 8
"""Least size of a combination that is divided by itself: a tenth of it, rounded as `divide` does, is never none."""


def partition(labels: Sequence[tuple[str, ...]], seed: int) -> list[int]:
    """Divide images into training, validation and test.

    Args:
        labels: Names of each image's classes.
        seed: Seed of the division.

    Returns:
        0, 1 or 2 for each image; each occurs where there are three images or more.

    Example:
        >>> parts = partition([("cat",)] * 20, 42)
        >>> [parts.count(part) for part in range(3)]
        [16, 2, 2]
    """
    combinations: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, names in enumerate(labels):
        combinations[names].append(place)
    parts: list[int | None] = [None] * len(labels)
    for places in combinations.values():
        # a frequent combination is divided by itself: classes that occur together then do so in every part
        if len(places) >= _ENOUGH:
            train, rest = divide(places, FRACTIONS[0], seed)
            val, test = divide(rest, 0.5, seed)
            parts_of_combination = (train, val, test)
            for part, chosen in enumerate(parts_of_combination):
                for place in chosen:
                    parts[place] = part
    return stratify(labels, FRACTIONS, seed, parts)


def stratify(
    labels: Sequence[Sequence[str]],
    fractions: Sequence[float],
    seed: int,
    given: Sequence[int | None] | None = None,
) -> list[int]:
    """Divide images so that each part has its share of every label: iterative stratification.

    The label with the fewest images left goes first. Each of its images goes to the part that lacks most of that label,
    then to the part that lacks most images, then to one drawn by chance.

    Args:
        labels: Names of each image's classes.
        fractions: Share of each part; they sum to one.
        seed: Seed of the order of the images and of ties.
        given: Part of each image where it is decided already.

    Returns:
        Part of each image.
    """
    draw = random.Random(seed)
    order = list(range(len(labels)))
    draw.shuffle(order)
    stratification = _Stratification(labels, fractions, order, draw)
    if given is not None:
        stratification.put_given(given)
    # labels first: an image without one fits anywhere, and evens out what they have left
    stratification.put_labelled()
    stratification.put_rest()
    parts = [part for part in stratification.parts if part is not None]
    return _filled(parts, labels, fractions, order)


class _Stratification:
    """State of one iterative stratification.

    Args:
        labels: Names of each image's classes.
        fractions: Share of each part.
        order: Indices of the images in random order.
        draw: Source of chance for ties.

    Attributes:
        parts: Part of each image; None while it is undecided.
    """

    def __init__(
        self,
        labels: Sequence[Sequence[str]],
        fractions: Sequence[float],
        order: Sequence[int],
        draw: random.Random,
    ) -> None:
        self.parts: list[int | None] = [None] * len(labels)
        self._names = [set(names) for names in labels]
        self._order = order
        self._draw = draw
        self._members: dict[str, list[int]] = defaultdict(list)
        for place in order:
            for name in self._names[place]:
                self._members[name].append(place)
        self._left = {name: len(places) for name, places in self._members.items()}
        self._room = [share * len(labels) for share in fractions]
        self._lacking: dict[str, list[float]] = {}
        for name, count in self._left.items():
            self._lacking[name] = [share * count for share in fractions]
        self._queue: list[tuple[int, str]] = []

    def put_given(self, given: Sequence[int | None]) -> None:
        """Take over what is decided already."""
        for place, part in enumerate(given):
            if part is not None:
                self._put(place, part)

    def put_labelled(self) -> None:
        """Decide every image that has a label, rarest label first."""
        self._queue = [(count, name) for name, count in self._left.items()]
        heapq.heapify(self._queue)
        while self._queue:
            count, name = heapq.heappop(self._queue)
            # an entry is out of date as soon as another image of its label was put: a newer entry is in the queue
            if count == 0 or count != self._left[name]:
                continue
            for place in self._members[name]:
                if self.parts[place] is None:
                    part = _neediest(self._lacking[name], self._room, self._draw)
                    self._put(place, part)

    def put_rest(self) -> None:
        """Decide the images without any label by the room that is left."""
        for place in self._order:
            if self.parts[place] is None:
                part = _neediest(self._room, self._room, self._draw)
                self._put(place, part)

    def _put(self, place: int, part: int) -> None:
        self.parts[place] = part
        self._room[part] -= 1
        for name in self._names[place]:
            self._lacking[name][part] -= 1
            self._left[name] -= 1
            heapq.heappush(self._queue, (self._left[name], name))


def _neediest(lacking: Sequence[float], room: Sequence[float], draw: random.Random) -> int:
    """Return the part that lacks most, then the one with most room; among equal ones chance decides."""
    needs = list(zip(lacking, room, strict=True))
    greatest = max(needs)
    neediest = [part for part, need in enumerate(needs) if need == greatest]
    # drawn from even where there is one part only: it takes a random number, on which later draws depend
    return draw.choice(neediest)


def _filled(
    parts: list[int],
    labels: Sequence[Sequence[str]],
    fractions: Sequence[float],
    order: Sequence[int],
) -> list[int]:
    """Fill every part that has less than half of its share; images whose labels are frequent are moved first."""
    sizes = Counter(parts)
    frequency = Counter(name for names in labels for name in set(names))

    def rarest_label(place: int) -> int:
        return min((frequency[name] for name in labels[place]), default=len(labels))

    # moving an image of a rare label would undo what the stratification did for that label
    rare_last = sorted(order, key=lambda place: -rarest_label(place))
    for part, share in enumerate(fractions):
        wanted = max(1, round(share * len(parts)))
        # a part that has half of its share is left alone: moving images undoes some of the stratification
        least = max(1, wanted / 2)
        if sizes[part] < least:
            _fill(parts, part, wanted, sizes, rare_last)
    return parts


def _fill(parts: list[int], part: int, wanted: int, sizes: Counter[int], candidates: Sequence[int]) -> None:
    """Move images from the largest part to another one until it has as many as wanted; in place."""
    for place in candidates:
        donor = max(sizes, key=lambda other: sizes[other])
        if sizes[part] >= wanted or sizes[donor] < 2:
            break
        if parts[place] == donor != part:
            parts[place] = part
            sizes[part] += 1
            sizes[donor] -= 1
