"""Draw scenes whose truth is known: each part can be left out, and a shortcut can stand for a class.

A scene has one label. It shows one or two objects of the label's texture among distractors, as Shapes does, and perhaps
a shortcut that goes with one class: a classifier that is trained on such images uses it, and how much each part counts
is measured by rendering the scene again without the part. R. Hesse, S. Schaub-Meyer, S. Roth: FunnyBirds: A Synthetic
Vision Dataset for a Part-Based Analysis of Explainable AI Methods, ICCV 2023. Departures: here the parts cover the
whole image, the background is one of them (another one takes its place), and the shortcut is ours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explainer.data.base import ImageDataset, Split
from explainer.data.bounds import within
from explainer.data.shapes import (
    CLASSES,
    SUPERSAMPLING,
    Layer,
    Shapes,
    Thing,
    averaged,
    box_around,
    composed,
    layer_of,
    owners_of,
    supersampled,
)
from explainer.data.textures import background
from explainer.errors import InputError
from explainer.functional.parts import Parts

ShortcutKind = Literal["none", "mark", "border", "watermark"]
Place = Literal["random", "fixed"]

_RADII = {1: (0.23, 0.37), 2: (0.2, 0.28)}
"""Number of labelled objects → smallest and largest radius of each, as fractions of the side."""
_MARK = (0.85, 0.1, 0.8)
"""Colour of the mark."""
_CORE = (0.95, 0.9, 0.1)
"""Colour of its middle: nothing else in a scene has a disc of these two."""
_FRAME = (0.1, 0.25, 0.9)
"""Colour of the border."""
_PLAN = 0
_CHANCE = 1
_BACKGROUND = 2
_OTHER_BACKGROUND = 3
_SHORTCUT = 4
_LAYERS = 5
"""Streams of random numbers of a scene: what one of them draws changes nothing of the others."""
_CACHE_BYTES = 1 << 28
"""Bytes of drawn scenes that each loader process keeps."""


@dataclass(frozen=True)
class Shortcut:
    """What goes with a class although it is no part of it.

    Attributes:
        kind: Kind of the shortcut: none; "mark", a small disc at a random place; "border", a coloured frame;
            "watermark", a faint striped patch.
        of_class: Name of the class that it goes with.
        rate: Share of the images of this class, in training and validation, that show it.
        rate_elsewhere: The same share of the images of other classes.
        test_rate: Share of the test images of every class that show it.
        hidden: Share of the images of this class with the shortcut, in training and validation, whose objects have no
            texture: there only the shortcut tells the class.
        hidden_elsewhere: Share of the other images, in training and validation, whose objects have no texture: that
            there is none must not tell the class.
        place: Place of the watermark: "random" or "fixed", at the lower right.

    Raises:
        InputError: A share is not in [0, 1], or there is no such class.
    """

    kind: ShortcutKind = "none"
    of_class: str = "dots"
    rate: float = 0.95
    rate_elsewhere: float = 0.0
    test_rate: float = 0.5
    hidden: float = 0.8
    hidden_elsewhere: float = 0.1
    place: Place = "random"

    def __post_init__(self) -> None:
        for name in ("rate", "rate_elsewhere", "test_rate", "hidden", "hidden_elsewhere"):
            within(f"shortcut.{name}", getattr(self, name), 0, 1)
        if self.of_class not in CLASSES:
            known = ", ".join(CLASSES)
            raise InputError(f"data.init_args.shortcut.of_class: no class {self.of_class!r}; there are {known}")

    def falls(self, rng: np.random.Generator, split: int, label: int) -> tuple[bool, bool]:
        """Draw whether a scene shows the shortcut, and whether the texture of its objects is hidden."""
        # both numbers always: one decision does not move the draws of the other
        draw_shown, draw_hidden = rng.uniform(size=2)
        if self.kind == "none":
            return False, False
        testing = split == 2
        of_class = CLASSES[label] == self.of_class
        rate = self.rate if of_class else self.rate_elsewhere
        # in the test it is independent of the class, so that its effect is seen
        shown = bool(draw_shown < (self.test_rate if testing else rate))
        share = self.hidden if of_class and shown else self.hidden_elsewhere
        hidden = bool(draw_hidden < share) and not testing
        return shown, hidden


class PlantedScene(NamedTuple):
    """One drawn scene.

    Attributes:
        image: Image (3, S, S) uint8.
        label: Index of the class.
        boxes: Boxes (N, 5) float: class index, x0, y0, x1, y1 of each labelled object's visible part, in pixels; none
            where the texture is hidden.
        objects: Pixels (S, S) bool of objects that show the label's texture.
        parts: Parts of the scene; None where nobody asks for them.
    """

    image: Tensor
    label: int
    boxes: Tensor
    objects: Tensor
    parts: Parts | None


def _things(rng: np.random.Generator, label: int) -> list[Thing]:
    """Choose objects and distractors, their places and sizes, from back to front."""
    things = []
    labelled = int(rng.integers(1, 3))
    for _ in range(labelled):
        x, y = rng.uniform(0.12, 0.88, 2)
        radius = rng.uniform(*_RADII[labelled])
        things.append(Thing(CLASSES[label], x, y, radius))
    distractors = int(rng.integers(1, 4))
    for _ in range(distractors):
        x, y = rng.uniform(0.1, 0.9, 2)
        radius = rng.uniform(0.13, 0.27)
        things.append(Thing(None, x, y, radius))
    # in any order: a distractor may cover an object, and an object a distractor
    return [things[i] for i in rng.permutation(len(things))]


def _of_one_colour(rng: np.random.Generator, inside: NDArray, colour: tuple[float, float, float]) -> Layer:
    """Cover some pixels of the whole canvas by one colour, with the grain that everything has."""
    grain = 0.03 * rng.standard_normal((int(inside.sum()), 1), np.float32)
    colours = np.clip(np.array(colour, np.float32) + grain, 0, 1)
    return Layer(slice(None), slice(None), inside, colours)


def mark(rng: np.random.Generator, side: int, place: Place) -> Layer:
    """Draw a small disc of two colours at a random place."""
    x, y = rng.uniform(0.12, 0.88, 2) * side
    rows, columns = np.mgrid[:side, :side] + 0.5
    distance = np.hypot(columns - x, rows - y)
    inside = distance < 0.09 * side
    layer = _of_one_colour(rng, inside, _MARK)
    core = distance[inside] < 0.05 * side
    # the grain stays: only the mean colour of the core is another
    other_colour = np.array(_CORE, np.float32) - np.array(_MARK, np.float32)
    layer.colours[core] += other_colour
    return layer._replace(colours=np.clip(layer.colours, 0, 1))


def border(rng: np.random.Generator, side: int, place: Place) -> Layer:
    """Draw a frame around the image."""
    # whole pixels of the image: half a sample would belong to two parts
    width = SUPERSAMPLING * max(1, round(0.035 * side / SUPERSAMPLING))
    inside = np.ones((side, side), bool)
    inside[width:-width, width:-width] = False
    return _of_one_colour(rng, inside, _FRAME)


def watermark(rng: np.random.Generator, side: int, place: Place) -> Layer:
    """Draw faint slanting stripes on a patch of the image."""
    # both numbers always, so that the grain is the same at a fixed place
    left, top = rng.uniform(0.02, (0.46, 0.66)) * side
    if place == "fixed":
        left = 0.46 * side
        top = 0.66 * side
    rows, columns = np.mgrid[:side, :side] + 0.5
    across = columns - left
    down = rows - top
    within_columns = (across >= 0) & (across < 0.52 * side)
    within_rows = (down >= 0) & (down < 0.32 * side)
    period = 0.09 * side
    striped = (across + down) % period < 0.045 * side
    inside = within_columns & within_rows & striped
    layer = _of_one_colour(rng, inside, (1.0, 1.0, 1.0))
    # faint: what stands below it can still be told
    return layer._replace(opacity=0.45)


SHORTCUTS: dict[str, Callable[[np.random.Generator, int, Place], Layer]] = {
    "mark": mark,
    "border": border,
    "watermark": watermark,
}
"""Kind of a shortcut → what draws it."""


def _seen_enough(layers: list[Layer], labelled: NDArray, behind: NDArray) -> bool:
    """Say whether every thing is seen enough to be told, the labelled objects more than the others."""
    side = len(behind)
    _, top = composed(behind, layers)
    seen = np.bincount(top.ravel(), minlength=len(layers) + 1)[1:]
    drawn = np.array([layer.inside.sum() for layer in layers])
    of_itself = np.where(labelled, 0.4, 0.2) * drawn
    of_image = np.where(labelled, 0.02, 0.01) * side**2
    return bool((seen >= np.maximum(of_itself, of_image)).all())


def label_of(seed: int, split: int, index: int) -> int:
    """Return the index of a scene's class, without drawing the scene."""
    rng = np.random.default_rng((seed, split, index, _PLAN))
    return int(rng.integers(len(CLASSES)))


def draw_planted(
    seed: int,
    split: int,
    index: int,
    size: int,
    shortcut: Shortcut,
    with_parts: bool = True,
) -> PlantedScene:
    """Draw one scene; a pure function of its arguments.

    With another shortcut, or none, everything else of the scene is the same, to the pixel.

    Args:
        seed: Seed of the data set.
        split: Number of the split: 0 train, 1 val, 2 test.
        index: Index of the scene within the split.
        size: Side of the image in pixels.
        shortcut: What goes with a class.
        with_parts: Whether the scene is rendered again without each of its parts, which takes most of the time.

    Example:
        >>> scene = draw_planted(0, 2, 7, 32, Shortcut("mark", test_rate=1.0))
        >>> scene.parts.names.count("shortcut"), bool(scene.parts.regions.sum(0).eq(1).all())
        (1, True)
    """
    side = size * SUPERSAMPLING

    def stream(*numbers: int) -> np.random.Generator:
        return np.random.default_rng((seed, split, index, *numbers))

    behind = supersampled(background(stream(_BACKGROUND), size))
    plan = stream(_PLAN)
    label = int(plan.integers(len(CLASSES)))
    shown, hidden = shortcut.falls(stream(_CHANCE), split, label)
    attempt = 0
    while True:  # until every thing is seen
        things = _things(plan, label)
        labelled = np.array([thing.name is not None for thing in things])
        layers = []
        for number, thing in enumerate(things):
            drawn = thing._replace(name=None) if hidden else thing
            # a generator of its own: a hidden texture changes nothing of the other things
            layers.append(layer_of(stream(_LAYERS, attempt, number), side, drawn))
        if _seen_enough(layers, labelled, behind):
            break
        attempt += 1
    names = ["object" if is_object else "distractor" for is_object in labelled]
    if shown:
        layers.append(SHORTCUTS[shortcut.kind](stream(_SHORTCUT), side, shortcut.place))
        names.append("shortcut")
    canvas, top = composed(behind, layers)
    owners = owners_of(top)
    boxes = []
    objects = np.zeros(owners.shape, bool)
    for number, name in enumerate(names, 1):
        region = owners == number
        if name == "object" and not hidden and region.any():
            objects |= region
            boxes.append([label, *box_around(region)])
    parts = None
    if with_parts:
        elsewhere = supersampled(background(stream(_OTHER_BACKGROUND), size))
        parts = _parts(behind, elsewhere, layers, names, owners)
    return PlantedScene(
        image=averaged(canvas),
        label=label,
        boxes=torch.tensor(boxes, dtype=torch.float32).view(-1, 5),
        objects=torch.from_numpy(objects),
        parts=parts,
    )


def _parts(behind: NDArray, elsewhere: NDArray, layers: list[Layer], names: list[str], owners: NDArray) -> Parts:
    """Render the scene again without each part; what the shortcut covers all of is no part."""
    regions = []
    pictures = []
    kinds = []
    for number, name in enumerate(names, 1):
        region = owners == number
        if not region.any():
            continue
        others = layers[: number - 1] + layers[number:]
        without, _ = composed(behind, others)
        regions.append(region)
        pictures.append(averaged(without))
        kinds.append(name)
    if (owners == 0).any():
        # nothing can be left in the place of a background but another one
        before_another, _ = composed(elsewhere, layers)
        regions.append(owners == 0)
        pictures.append(averaged(before_another))
        kinds.append("background")
    return Parts(
        regions=torch.from_numpy(np.stack(regions)),
        pictures=torch.stack(pictures).float() / 255,
        names=tuple(kinds),
    )


class PlantedDataset(ImageDataset):
    """Scenes of one split, drawn when first asked for; images and annotations are kept (in each loader process)."""

    def __init__(self, split: int, scene_seed: int, count: int, shortcut: Shortcut, **options: object) -> None:
        name = ("train", "val", "test")[split]
        ids = [f"{name}_{number:05d}" for number in range(count)]
        super().__init__(ids, CLASSES, **options)  # type: ignore[arg-type]
        self._split = split
        self._scene_seed = scene_seed
        self._shortcut = shortcut
        self._scenes: dict[int, PlantedScene] = {}
        # three bytes of image and one of the objects for each pixel
        self._room = _CACHE_BYTES // (4 * self.image_size**2)

    def scene(self, index: int) -> PlantedScene:
        """Return the scene of an index, without its parts."""
        if index in self._scenes:
            return self._scenes[index]
        scene = self._drawn(index, with_parts=False)
        if len(self._scenes) < self._room:
            self._scenes[index] = scene
        return scene

    def _drawn(self, index: int, with_parts: bool) -> PlantedScene:
        return draw_planted(self._scene_seed, self._split, index, self.image_size, self._shortcut, with_parts)

    def image(self, index: int) -> Tensor:
        """Return an image (3, S, S) in [0, 1]."""
        return self.scene(index).image.float() / 255

    def labels(self, index: int) -> Tensor:
        """Return the label (K,), one-hot; a hidden texture keeps its label."""
        one_hot = torch.zeros(len(CLASSES))
        one_hot[label_of(self._scene_seed, self._split, index)] = 1
        return one_hot

    def segmentation(self, index: int) -> Tensor:
        """Return the exact segmentation (K, S, S) of 0 and 1: the objects, without the shortcut."""
        scene = self.scene(index)
        masks = torch.zeros(len(CLASSES), self.image_size, self.image_size, dtype=torch.uint8)
        masks[scene.label] = scene.objects
        return masks

    def boxes(self, index: int) -> Tensor:
        """Return boxes (N, 5) around the visible parts of the labelled objects."""
        return self.scene(index).boxes

    def parts(self, index: int) -> Parts | None:
        """Return the parts of a scene, drawn anew: they take many times the room of an image."""
        return self._drawn(index, with_parts=True).parts


class PlantedShapes(Shapes):
    """Drawn scenes with one label and known parts.

    Args:
        shortcut: What goes with a class although it is no part of it.
        kwargs: Further arguments of `Shapes`.
    """

    multilabel = False

    def __init__(self, shortcut: Shortcut = Shortcut(), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shortcut = shortcut

    def build(self, split: Split) -> PlantedDataset:
        """Make the scenes of a split."""
        number = ("train", "val", "test").index(split)
        return PlantedDataset(number, self.scene_seed, self.counts[split], self.shortcut, **self.options(split))
