"""Draw the parts of Shapes: surfaces that define the classes, silhouettes that all objects share, backgrounds.

Every function maps coordinates to values, vectorised over pixels, from a NumPy generator alone.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def stripes(u: Array, v: Array) -> Array:
    """Draw parallel bars."""
    return np.sin(u)


def checks(u: Array, v: Array) -> Array:
    """Draw a chessboard."""
    # a product of two sines is small over most of a square: 2.5 brings it up to the other patterns
    return 2.5 * np.sin(0.8 * u) * np.sin(0.8 * v)


def dots(u: Array, v: Array) -> Array:
    """Draw round spots, every second row shifted."""
    # rows are 5.6 apart and dots 6.4: shifted by half of that, each has six neighbours that are equally near
    row = np.round(v / 5.6)
    across = u - 3.2 * (row % 2)
    column = np.round(across / 6.4)
    du = across - 6.4 * column
    dv = v - 5.6 * row
    distance = np.hypot(du, dv)
    return 1.5 * (1.9 - distance)


def rings(u: Array, v: Array) -> Array:
    """Draw concentric circles around the object's centre."""
    distance = np.hypot(u, v)
    return np.sin(distance)


def zigzags(u: Array, v: Array) -> Array:
    """Draw bars that turn back and forth."""
    # a triangle wave, half of whose period is 4.4: there the bars turn
    turn = np.abs((v / 2.2) % 4 - 2)
    return np.sin(u + 1.1 * turn)


def rays(u: Array, v: Array) -> Array:
    """Draw sectors around the object's centre."""
    # a whole number of sectors: with another one there would be a seam where the angle begins again
    angle = np.arctan2(v, u)
    return 2 * np.sin(7 * angle)


TEXTURES: dict[str, Callable[[Array, Array], Array]] = {
    "stripes": stripes,
    "checks": checks,
    "dots": dots,
    "rings": rings,
    "zigzags": zigzags,
    "rays": rays,
}
"""Class name → pattern; its argument's unit is chosen so that one period is about 2π; the sign tells the colour."""


def sigmoid(values: Array) -> Array:
    """Bring values into (0, 1)."""
    return 1 / (1 + np.exp(-values))


def smooth_noise(rng: np.random.Generator, size: int, cells: int) -> Array:
    """Draw noise (size, size) with a grain of 1/cells of the image, mean 0, standard deviation about 1."""
    # two points more than cells: the last pixels lie, after the shift, in one cell further
    grid = rng.standard_normal((cells + 2, cells + 2), np.float32)
    position = np.linspace(0, cells, size, endpoint=False, dtype=np.float32)
    # shifted at random: the grid's lines should not lie at the same place in every image
    position = position + np.float32(rng.random())
    low = position.astype(int)
    high = low + 1
    share = position - low
    weight = share * share * (3 - 2 * share)  # smooth at the grid's lines, which linear weights would show
    rest = 1 - weight
    above = grid[low] * rest[:, None]
    below = grid[high] * weight[:, None]
    rows = above + below
    left = rows[:, low] * rest
    right = rows[:, high] * weight
    # means between the grid's points vary less than the points: 1.4 makes up for it
    return 1.4 * (left + right)


def background(rng: np.random.Generator, size: int) -> Array:
    """Draw clouds (size, size, 3) in [0, 1] of three colours in several octaves, with light from one side."""
    colours = rng.uniform(0.1, 0.9, (3, 3)).astype(np.float32)
    # none a multiple of another: their grids would coincide, and be seen
    octaves = []
    for number, cells in enumerate((2, 5, 11, 23)):
        noise = smooth_noise(rng, size, cells)
        octaves.append(noise / (1 + 0.35 * number))
    first = sigmoid(2.0 * np.add.reduce(octaves))
    coarse = smooth_noise(rng, size, 4)
    fine = smooth_noise(rng, size, 17)
    second = sigmoid(1.5 * (coarse + 0.5 * fine))
    difference = colours[1] - colours[0]
    picture = colours[0] + first[..., None] * difference
    difference = colours[2] - picture
    picture = picture + 0.6 * second[..., None] * difference
    slope = rng.uniform(-0.2, 0.2, 2).astype(np.float32)
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    down = slope[0] * axis[:, None]
    across = slope[1] * axis
    light = down + across
    # grain, as of a camera, on backgrounds as on objects: it must not tell them apart
    grain = 0.04 * rng.standard_normal((size, size, 1), np.float32)
    lit = picture + light[..., None]
    return np.clip(lit + grain, 0, 1)


def silhouette(rng: np.random.Generator) -> Callable[[Array], Array]:
    """Draw a random outline: angle in radians → radius around 1 (ellipse, polygon, star or blob)."""
    # all three are drawn for every kind, so that what is drawn next does not depend on it
    kind = rng.integers(4)
    sides = int(rng.integers(3, 7))
    phase = rng.uniform(0, 2 * np.pi)
    if kind == 0:
        stretch = rng.uniform(1.0, 1.5)

        def ellipse(angle: Array) -> Array:
            across = np.cos(angle - phase) / stretch
            down = np.sin(angle - phase) * stretch
            return 1 / np.hypot(across, down)

        return ellipse
    if kind == 1:
        sector = 2 * np.pi / sides

        def polygon(angle: Array) -> Array:
            # from the middle of the side that lies in this direction
            turned = (angle - phase) % sector - sector / 2
            return 1.15 * np.cos(sector / 2) / np.cos(turned)

        return polygon
    if kind == 2:

        def star(angle: Array) -> Array:
            turned = (sides + 1) * (angle - phase)
            return 1 + 0.22 * np.cos(turned)

        return star
    heights = rng.uniform(-0.15, 0.15, 4)

    def blob(angle: Array) -> Array:
        waves = []
        for number, height in enumerate(heights):
            turned = angle - phase * (number + 1)
            waves.append(height * np.cos((number + 2) * turned))
        return 1 + sum(waves)

    return blob


def two_colours(rng: np.random.Generator) -> Array:
    """Draw two colours (2, 3) in [0, 1] that can be told apart by lightness."""
    while True:
        pair = rng.uniform(0, 1, (2, 3)).astype(np.float32)
        difference = pair[0] - pair[1]
        # weights of lightness as in ITU-R BT.601; two colours of one lightness would hide the pattern in grey
        lightness = np.dot(difference, (0.3, 0.59, 0.11))
        if abs(lightness) > 0.35:
            return pair


def surface(rng: np.random.Generator, name: str | None, x: Array, y: Array, period: float) -> Array:
    """Return the colour of an object at each of its pixels.

    Args:
        rng: Generator of pose, phase and colours.
        name: Name of a class of `TEXTURES`; None for a distractor, a shaded or blotchy surface of two such colours.
        x: Distances (N,) right of the object's centre in pixels.
        y: Distances (N,) below the object's centre in pixels.
        period: Period of the pattern in pixels.

    Returns:
        (N, 3) in [0, 1].
    """
    colours = two_colours(rng)
    angle = rng.uniform(0, 2 * np.pi)
    scale = 2 * np.pi / period
    cosine = np.cos(angle)
    sine = np.sin(angle)
    u = scale * (cosine * x + sine * y)
    v = scale * (cosine * y - sine * x)
    if name is not None:
        # 6 leaves a soft edge between the two colours, about a tenth of a period wide
        amount = sigmoid(6 * TEXTURES[name](u, v))
    elif rng.random() < 0.5:
        offset = rng.uniform(-0.8, 0.8)
        # shading has no period: what has one could be taken for a class
        amount = 0.5 + 0.5 * np.tanh(0.12 * u + offset)
    else:
        amount = _blotches(rng, u, v)
    difference = colours[1] - colours[0]
    colour = colours[0] + amount[..., None] * difference
    # brighter to one side, as a surface in light is; too little to be taken for the pattern
    shade_across = rng.uniform(-0.012, 0.012) * scale * x
    shade_down = rng.uniform(-0.012, 0.012) * scale * y
    shade = 1 + shade_across + shade_down
    grain = 0.03 * rng.standard_normal((*x.shape, 1), np.float32)
    shaded = colour * shade[..., None]
    return np.clip(shaded + grain, 0, 1)


def _blotches(rng: np.random.Generator, u: Array, v: Array) -> Array:
    """Draw blotches without a period, in (0, 1): waves of any direction and length."""
    offsets = rng.uniform(0, 2 * np.pi, 6)
    waves = rng.uniform(-0.5, 0.5, (6, 2))
    heights = []
    for (a, b), offset in zip(waves, offsets, strict=True):
        heights.append(np.sin(a * u + b * v + offset))
    return sigmoid(2 * sum(heights))
