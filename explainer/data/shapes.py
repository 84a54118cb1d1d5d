"""Draw Shapes, the embedded data set, from a seed with no files.

Scenes of one to three textured objects, whose texture is their class, on clouded backgrounds, among distractors of the
same silhouettes, sizes and colours that carry no label. Every part of an object is evidence for its class, positions
are off the centre, and the exact masks are known: a map that is merely central, or merely object-like, scores badly.
Labelled objects cover about a third of an image on average, as in VOC.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explainer.data.base import ImageDataModule, ImageDataset, Split
from explainer.data.bounds import within
from explainer.data.textures import TEXTURES, background, silhouette, surface

CLASSES = tuple(TEXTURES)
SUPERSAMPLING = 2
"""Samples a pixel and axis: without them the edges of textures would be jagged."""
_RADII = ((0.0, 0.0), (0.29, 0.48), (0.23, 0.37), (0.2, 0.28))
"""Number of labelled objects → smallest and largest radius of each, as fractions of the side."""
_CACHE_BYTES = 1 << 29
"""Bytes of drawn scenes that each loader process keeps: half a GiB holds 2,600 scenes of 224 pixels a side."""


class Scene(NamedTuple):
    """One drawn image.

    Attributes:
        image: Image (3, S, S) uint8.
        owner: Map (S, S) uint8: class index + 1 of the labelled object seen at a pixel, 0 elsewhere.
        boxes: Boxes (N, 5) float: class index, x0, y0, x1, y1 of each labelled object's visible part, in pixels.
    """

    image: Tensor
    owner: Tensor
    boxes: Tensor


class Thing(NamedTuple):
    """An object to be drawn; None as the name of a distractor, lengths as fractions of the side."""

    name: str | None
    x: float
    y: float
    radius: float


def _plan(rng: np.random.Generator) -> list[Thing]:
    """Choose objects, their places and sizes, from back to front; lengths as fractions of the side."""
    # the more objects, the smaller each: together they cover about a third of an image
    labelled = int(rng.choice(4, p=(0.03, 0.37, 0.37, 0.23)))
    smallest, largest = _RADII[labelled]
    objects = []
    for _ in range(labelled):
        # nearly anywhere: a map that is merely central should score badly
        x, y = rng.uniform(0.08, 0.92, 2)
        name = CLASSES[rng.integers(len(CLASSES))]
        radius = rng.uniform(smallest, largest)
        objects.append(Thing(name, x, y, radius))
    distractors = int(rng.integers(1, 4))
    for _ in range(distractors):
        x, y = rng.uniform(0.1, 0.9, 2)
        radius = rng.uniform(0.13, 0.27)
        objects.append(Thing(None, x, y, radius))
    # in any order: distractors cover objects as often as they are covered
    return [objects[i] for i in rng.permutation(len(objects))]


class Layer(NamedTuple):
    """What one thing puts onto a canvas.

    Attributes:
        rows: Rows of the canvas that are looked at.
        columns: Columns of the canvas that are looked at.
        inside: Pixels of this window (h, w) bool that the thing covers.
        colours: Colours (N, 3) in [0, 1] of these pixels, row by row.
        opacity: Share of a covered pixel that takes the colour; 1 hides what is behind.
    """

    rows: slice
    columns: slice
    inside: NDArray
    colours: NDArray
    opacity: float = 1.0


def layer_of(rng: np.random.Generator, side: int, thing: Thing) -> Layer:
    """Draw one object, whatever stands behind it.

    Args:
        rng: Generator of its outline and surface.
        side: Side of the canvas in pixels.
        thing: Object to draw.
    """
    centre_x = thing.x * side
    centre_y = thing.y * side
    # only the square around it is computed: no silhouette reaches beyond 1.6 of its radius
    reach = 1.6 * thing.radius * side
    x0 = max(0, int(centre_x - reach))
    x1 = min(side, int(centre_x + reach) + 1)
    y0 = max(0, int(centre_y - reach))
    y1 = min(side, int(centre_y + reach) + 1)
    rows, columns = np.mgrid[y0:y1, x0:x1] + 0.5
    x = (columns - centre_x).astype(np.float32)
    y = (rows - centre_y).astype(np.float32)
    outline = silhouette(rng)
    border = thing.radius * side * outline(np.arctan2(y, x))
    inside = np.hypot(x, y) < border
    # the period goes with the image, not with the object: a large object shows more of a pattern, not a larger one
    period = side * rng.uniform(0.085, 0.125)
    colours = surface(rng, thing.name, x[inside], y[inside], period)
    return Layer(slice(y0, y1), slice(x0, x1), inside, colours)


def composed(behind: NDArray, layers: Sequence[Layer]) -> tuple[NDArray, NDArray]:
    """Put layers onto a background.

    Args:
        behind: Background (side, side, 3) in [0, 1]; it stays as it is.
        layers: Layers from back to front.

    Returns:
        The picture (side, side, 3), and the number from 1 of the layer seen at each pixel (side, side), 0 the
        background.
    """
    canvas = behind.copy()
    top = np.zeros(canvas.shape[:2], np.uint8)
    for number, layer in enumerate(layers, 1):
        window = canvas[layer.rows, layer.columns]
        colours = layer.colours
        if layer.opacity < 1:
            seen_through = window[layer.inside]
            colours = seen_through + layer.opacity * (colours - seen_through)
        window[layer.inside] = colours
        top[layer.rows, layer.columns][layer.inside] = number
    return canvas, top


def supersampled(clouds: NDArray) -> NDArray:
    """Enlarge a background to the canvas of a scene."""
    # a background has no edges that supersampling would smooth: drawn at the image's size, it costs a quarter
    return clouds.repeat(SUPERSAMPLING, 0).repeat(SUPERSAMPLING, 1)


def averaged(canvas: NDArray) -> Tensor:
    """Average the samples of each pixel: an image (3, S, S) uint8."""
    step = SUPERSAMPLING
    samples = [canvas[i::step, j::step] for i, j in np.ndindex(step, step)]
    mean = np.add.reduce(samples) / len(samples)
    rounded = (255 * mean + 0.5).astype(np.uint8)
    return torch.from_numpy(rounded).permute(2, 0, 1).contiguous()


def owners_of(top: NDArray) -> NDArray:
    """Say to which layer each pixel belongs: the one at its first sample."""
    # one sample, not a mean: numbers of objects cannot be averaged
    return top[::SUPERSAMPLING, ::SUPERSAMPLING]


def box_around(region: NDArray) -> list[float]:
    """Return x0, y0, x1, y1 around the True pixels of (S, S)."""
    rows, columns = np.nonzero(region)
    corners = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    return [*map(float, corners)]


def draw_scene(seed: int, split: int, index: int, size: int) -> Scene:
    """Draw one scene; a pure function of its arguments.

    Args:
        seed: Seed of the data set.
        split: Number of the split: 0 train, 1 val, 2 test.
        index: Index of the scene within the split.
        size: Side of the image in pixels.

    Returns:
        Image and ground truth; of every labelled object at least two fifths are seen.

    Example:
        >>> scene = draw_scene(0, 0, 7, 64)
        >>> scene.image.shape, scene.owner.shape
        (torch.Size([3, 64, 64]), torch.Size([64, 64]))
    """
    # one generator a scene: it can be drawn without those before it, in any process
    rng = np.random.default_rng((seed, split, index))
    side = size * SUPERSAMPLING
    behind = supersampled(background(rng, size))
    while True:  # until no labelled object is hidden behind the others
        things = _plan(rng)
        layers = [layer_of(rng, side, thing) for thing in things]
        canvas, top = composed(behind, layers)
        counts = np.bincount(top.ravel(), minlength=len(things) + 1)
        seen = counts[1:]  # 0 is the background
        drawn = np.array([layer.inside.sum() for layer in layers])
        # two fifths of the object, and of a small one a fiftieth of the image: less could not be told apart
        least = np.maximum(0.4 * drawn, 0.02 * side**2)
        labelled = np.array([thing.name is not None for thing in things])
        enough = seen >= least
        if enough[labelled].all():
            return _finish(canvas, top, things)


def _finish(canvas: NDArray, top: NDArray, things: Sequence[Thing]) -> Scene:
    """Average the supersamples, and note where the labelled objects are seen."""
    owners = owners_of(top)
    codes = np.zeros(len(things) + 1, np.uint8)
    boxes = []
    for number, thing in enumerate(things, 1):
        if thing.name is None:
            continue
        category = CLASSES.index(thing.name)
        codes[number] = category + 1
        boxes.append([category, *box_around(owners == number)])
    owner = torch.from_numpy(codes[owners])
    placed = torch.tensor(boxes, dtype=torch.float32).view(-1, 5)
    return Scene(averaged(canvas), owner, placed)


class ShapesDataset(ImageDataset):
    """Scenes of one split, drawn when first asked for and then kept (in each loader process)."""

    def __init__(self, split: int, scene_seed: int, count: int, **options: object) -> None:
        name = ("train", "val", "test")[split]
        ids = [f"{name}_{number:05d}" for number in range(count)]
        super().__init__(ids, CLASSES, **options)  # type: ignore[arg-type]
        self._split = split
        self._scene_seed = scene_seed
        self._scenes: dict[int, Scene] = {}
        # three bytes of image and one of the owner for each pixel
        self._room = _CACHE_BYTES // (4 * self.image_size**2)

    def scene(self, index: int) -> Scene:
        """Return the scene of an index."""
        if index in self._scenes:
            return self._scenes[index]
        scene = draw_scene(self._scene_seed, self._split, index, self.image_size)
        if len(self._scenes) < self._room:
            self._scenes[index] = scene
        return scene

    def image(self, index: int) -> Tensor:
        """Return an image (3, S, S) in [0, 1]."""
        return self.scene(index).image.float() / 255

    def labels(self, index: int) -> Tensor:
        """Return the labels (K,): the classes of which something is seen."""
        present = torch.zeros(len(CLASSES))
        present[self.scene(index).boxes[:, 0].long()] = 1
        return present

    def segmentation(self, index: int) -> Tensor:
        """Return the exact segmentation (K, S, S) of 0 and 1."""
        owner = self.scene(index).owner
        masks = [owner == number for number in range(1, len(CLASSES) + 1)]
        return torch.stack(masks).to(torch.uint8)

    def boxes(self, index: int) -> Tensor:
        """Return boxes (N, 5) around the visible parts."""
        return self.scene(index).boxes


class Shapes(ImageDataModule):
    """Drawn scenes; needs no files, and `root` is not used.

    Args:
        train_images: Number of images in the training split.
        val_images: Number of images in the validation split.
        test_images: Number of images in the test split.
        scene_seed: Seed of the scenes themselves.
        kwargs: Further arguments of `ImageDataModule`.
    """

    def __init__(
        self,
        train_images: int = 4000,
        val_images: int = 500,
        test_images: int = 500,
        scene_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        within("train_images", train_images, 0)
        within("val_images", val_images, 0)
        within("test_images", test_images, 0)
        within("scene_seed", scene_seed, 0)
        self.counts = {"train": train_images, "val": val_images, "test": test_images}
        self.scene_seed = scene_seed

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the textures."""
        return CLASSES

    def prepare_data(self) -> None:
        """Do nothing: scenes are drawn when they are asked for."""

    def build(self, split: Split) -> ImageDataset:
        """Make the scenes of a split."""
        number = ("train", "val", "test").index(split)
        return ShapesDataset(number, self.scene_seed, self.counts[split], **self.options(split))
