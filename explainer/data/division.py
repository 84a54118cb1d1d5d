"""Which images train, validate and test where nobody said it: 80 / 10 / 10 by labels, a function of the seed.

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
"""From so many images on, a tenth of a combination, rounded as `divide` does, is never none."""


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
        if len(places) >= _ENOUGH:
            train, rest = divide(places, FRACTIONS[0], seed)
            val, test = divide(rest, 0.5, seed)
            for part, chosen in enumerate((train, val, test)):
                for place in chosen:
                    parts[place] = part
    return stratify(labels, FRACTIONS, seed, parts)


def stratify(
    labels: Sequence[Sequence[str]], fractions: Sequence[float], seed: int, given: Sequence[int | None] | None = None
) -> list[int]:
    """Divide images so that each part has its share of every label: iterative stratification.

    The label with the fewest images left goes first; each of its images goes to the part that lacks most of that label,
    then of images, then by chance.

    Args:
        labels: Names of each image's classes.
        fractions: Share of each part; they sum to one.
        seed: Seed of the order of the images and of ties.
        given: Part of each image where it is decided already.

    Returns:
        Part of each image.
    """
    parts: list[int | None] = list(given) if given is not None else [None] * len(labels)
    draw = random.Random(seed)
    members: dict[str, list[int]] = defaultdict(list)
    order = list(range(len(labels)))
    draw.shuffle(order)
    for place in order:
        for name in set(labels[place]):
            members[name].append(place)
    lacking = {name: [share * len(places) for share in fractions] for name, places in members.items()}
    room = [share * len(labels) for share in fractions]
    left = {name: sum(parts[place] is None for place in places) for name, places in members.items()}
    queue = [(count, name) for name, count in left.items()]
    heapq.heapify(queue)

    def put(place: int, part: int) -> None:
        room[part] -= 1
        for name in set(labels[place]):
            lacking[name][part] -= 1
            if parts[place] is None:
                left[name] -= 1
                heapq.heappush(queue, (left[name], name))
        parts[place] = part

    for place, part in enumerate(parts):
        if part is not None:
            put(place, part)
    while queue:
        count, name = heapq.heappop(queue)
        if count == 0 or count != left[name]:
            continue  # the entry is older than the label's last image
        for place in members[name]:
            if parts[place] is None:
                put(place, _neediest(lacking[name], room, draw))
    for place in order:
        if parts[place] is None:
            put(place, _neediest(room, room, draw))
    return _filled([part for part in parts if part is not None], labels, fractions, order)


def _neediest(lacking: Sequence[float], room: Sequence[float], draw: random.Random) -> int:
    best = max(zip(lacking, room))
    return draw.choice([part for part in range(len(room)) if (lacking[part], room[part]) == best])


def _filled(
    parts: list[int], labels: Sequence[Sequence[str]], fractions: Sequence[float], order: Sequence[int]
) -> list[int]:
    """Fill what is left with less than half of its share; images whose labels are frequent are moved first."""
    sizes = Counter(parts)
    frequency = Counter(name for names in labels for name in set(names))
    rare_last = sorted(order, key=lambda place: -min((frequency[name] for name in labels[place]), default=len(labels)))
    for part, share in enumerate(fractions):
        wanted = max(1, round(share * len(parts)))
        if sizes[part] >= max(1, wanted / 2):
            continue
        for place in rare_last:
            donor = max(sizes, key=lambda other: sizes[other])
            if sizes[part] >= wanted or sizes[donor] < 2:
                break
            if parts[place] == donor != part:
                parts[place] = part
                sizes[part] += 1
                sizes[donor] -= 1
    return parts
