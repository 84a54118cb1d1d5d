"""Where the words beside the points of a chart stand, so that they cover as little as possible."""

import math
from collections.abc import Mapping
from typing import NamedTuple

LETTER = 6.7
"""Width of a letter in the units of a chart; an average, since the page's font is the reader's."""
POINT = 4.0
"""Half the side of the square that a point takes."""
NEAR = 10
"""Distance from which a line leads from the words to their point."""
DISTANCES = (7.0, 16.0, 28.0)
"""Distances between words and point that are tried, the nearest first."""
SIDES = ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1))
"""Directions from the point in which words are tried, to the right first."""

Point = tuple[float, float]


class Box(NamedTuple):
    """A rectangle; y grows downwards, as in SVG."""

    left: float
    top: float
    right: float
    bottom: float


class Label(NamedTuple):
    """Words beside a point.

    Attributes:
        words: What is written.
        box: Rectangle that the words take.
        leader: Ends of the line to a point that is far away, or None.
    """

    words: str
    box: Box
    leader: tuple[Point, Point] | None


def place_labels(points: Mapping[str, Point], names: Mapping[str, str], room: Box) -> list[Label]:
    """Place words beside points; far ones get a line to their point.

    Args:
        points: Key → point.
        names: Key → words.
        room: Rectangle in which the words should stay.

    Returns:
        A label for each point, from left to right.
    """
    # words must not cover other points either
    taken = []
    for x, y in points.values():
        taken.append(Box(x - POINT, y - POINT, x + POINT, y + POINT))
    labels = []
    for key, (x, y) in sorted(points.items(), key=lambda item: item[1]):
        width = LETTER * len(names[key]) + 2
        box = _least_covering((x, y), width, taken, room)
        taken.append(box)
        nearest_x = min(max(x, box.left), box.right)
        nearest_y = min(max(y, box.top), box.bottom)
        nearest = (nearest_x, nearest_y)
        leader = None
        if math.dist(nearest, (x, y)) > NEAR:
            leader = ((x, y), nearest)
        labels.append(Label(names[key], box, leader))
    return labels


def _least_covering(point: Point, width: float, taken: list[Box], room: Box) -> Box:
    """Return the rectangle beside a point that covers least of what is there already."""
    boxes = [_beside(point, width, distance, side) for distance in DISTANCES for side in SIDES]
    inside = [box for box in boxes if _is_inside(box, room)]

    def covered(box: Box) -> float:
        return sum(_common_area(box, other) for other in taken)

    # of equals min() takes the first, which is the nearest
    return min(inside or boxes, key=covered)


def _beside(point: Point, width: float, distance: float, side: tuple[int, int]) -> Box:
    """Return a rectangle of the height of a line at a distance from a point."""
    across, down = side
    x = point[0] + across * (distance + width / 2)
    # straight above and below, half a line of words lies between point and middle
    if across == 0:
        distance += 5
    y = point[1] + down * distance
    return Box(x - width / 2, y - 7, x + width / 2, y + 7)


def _is_inside(box: Box, room: Box) -> bool:
    """Return whether a rectangle lies in the room; half a line may stand out at the top, where nothing is."""
    across = box.left >= room.left and box.right <= room.right
    return across and box.top >= room.top - 8 and box.bottom <= room.bottom


def _common_area(a: Box, b: Box) -> float:
    """Return the area that two rectangles share."""
    width = min(a.right, b.right) - max(a.left, b.left)
    height = min(a.bottom, b.bottom) - max(a.top, b.top)
    return max(0.0, width) * max(0.0, height)
