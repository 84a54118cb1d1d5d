"""Shapes: the embedded data set, drawn from a seed with no files.

Scenes of one to three textured objects, whose texture is their class, on clouded backgrounds, among distractors of the
same silhouettes, sizes and colours that carry no label. Every part of an object is evidence for its class, positions
are off the centre, and the exact masks are known: a map that is merely central, or merely object-like, scores badly.
Labelled objects cover about a third of an image on average, as in VOC.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explainer.data.base import ImageDataModule, ImageDataset, Split
from explainer.data.bounds import within
from explainer.data.textures import TEXTURES, background, silhouette, surface

CLASSES = tuple(TEXTURES)
_SUPERSAMPLING = 2
_CACHE_BYTES = 1 << 29


class Scene(NamedTuple):
    """One drawn image.

    Attributes:
        image: (3, S, S) uint8.
        owner: (S, S) uint8: class index + 1 of the labelled object seen at a pixel, 0 elsewhere.
        boxes: (N, 5) float: class index, x0, y0, x1, y1 of each labelled object's visible part, in pixels.
    """

    image: Tensor
    owner: Tensor
    boxes: Tensor


class _Object(NamedTuple):
    name: str | None
    x: float
    y: float
    radius: float


def _plan(rng: np.random.Generator) -> list[_Object]:
    """Which objects, where and how large, from back to front; lengths as fractions of the side."""
    labelled = int(rng.choice(4, p=(0.03, 0.37, 0.37, 0.23)))
    smallest, largest = ((0.0, 0.0), (0.29, 0.48), (0.23, 0.37), (0.2, 0.28))[labelled]
    objects = []
    for _ in range(labelled):
        x, y = rng.uniform(0.08, 0.92, 2)
        objects.append(_Object(CLASSES[rng.integers(len(CLASSES))], x, y, rng.uniform(smallest, largest)))
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.uniform(0.1, 0.9, 2)
        objects.append(_Object(None, x, y, rng.uniform(0.13, 0.27)))
    return [objects[i] for i in rng.permutation(len(objects))]


def _paint(rng: np.random.Generator, canvas: NDArray, top: NDArray, thing: _Object, number: int) -> int:
    """Draw one object onto `canvas` and its number onto `top`; returns how many pixels it covers."""
    side = len(canvas)
    reach, centre_x, centre_y = 1.6 * thing.radius * side, thing.x * side, thing.y * side
    x0, x1 = max(0, int(centre_x - reach)), min(side, int(centre_x + reach) + 1)
    y0, y1 = max(0, int(centre_y - reach)), min(side, int(centre_y + reach) + 1)
    y, x = np.mgrid[y0:y1, x0:x1] + 0.5
    x, y = (x - centre_x).astype(np.float32), (y - centre_y).astype(np.float32)
    inside = np.hypot(x, y) < thing.radius * side * silhouette(rng)(np.arctan2(y, x))
    canvas[y0:y1, x0:x1][inside] = surface(rng, thing.name, x[inside], y[inside], side * rng.uniform(0.085, 0.125))
    top[y0:y1, x0:x1][inside] = number
    return int(inside.sum())


def draw_scene(seed: int, split: int, index: int, size: int) -> Scene:
    """Draw one scene; a pure function of its arguments.

    Args:
        seed: Of the data set.
        split: 0 train, 1 val, 2 test.
        index: Within the split.
        size: Side in pixels.

    Returns:
        Image and truth; of every labelled object at least two fifths are seen.

    Example:
        >>> scene = draw_scene(0, 0, 7, 64)
        >>> scene.image.shape, scene.owner.shape
        (torch.Size([3, 64, 64]), torch.Size([64, 64]))
    """
    rng = np.random.default_rng((seed, split, index))
    side = size * _SUPERSAMPLING
    behind = background(rng, size).repeat(_SUPERSAMPLING, 0).repeat(_SUPERSAMPLING, 1)
    while True:
        canvas, top = behind.copy(), np.zeros((side, side), np.uint8)
        objects = _plan(rng)
        drawn = [_paint(rng, canvas, top, thing, n + 1) for n, thing in enumerate(objects)]
        seen = np.bincount(top.ravel(), minlength=len(objects) + 1)[1:]
        enough = seen >= np.maximum(0.4 * np.array(drawn), 0.02 * side**2)
        if all(e or thing.name is None for e, thing in zip(enough, objects, strict=True)):
            return _finish(canvas, top, objects, size)


def _finish(canvas: NDArray, top: NDArray, objects: list[_Object], size: int) -> Scene:
    """Average the supersamples; a pixel belongs to the object at its first sample."""
    samples = [canvas[i::_SUPERSAMPLING, j::_SUPERSAMPLING] for i, j in np.ndindex(_SUPERSAMPLING, _SUPERSAMPLING)]
    averaged = np.add.reduce(samples) / len(samples)
    image = torch.from_numpy((255 * averaged + 0.5).astype(np.uint8)).permute(2, 0, 1).contiguous()
    number = top[::_SUPERSAMPLING, ::_SUPERSAMPLING]
    codes = np.array([0] + [0 if o.name is None else CLASSES.index(o.name) + 1 for o in objects], np.uint8)
    boxes = []
    for n, thing in enumerate(objects):
        if thing.name is not None:
            rows, columns = np.nonzero(number == n + 1)
            corners = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            boxes.append([CLASSES.index(thing.name), *map(float, corners)])
    return Scene(image, torch.from_numpy(codes[number]), torch.tensor(boxes, dtype=torch.float32).view(-1, 5))


class ShapesDataset(ImageDataset):
    """Scenes of one split, drawn when first asked for and then kept (in each loader process)."""

    def __init__(self, split: int, scene_seed: int, count: int, **options: object) -> None:
        names = ("train", "val", "test")
        super().__init__([f"{names[split]}_{i:05d}" for i in range(count)], CLASSES, **options)  # type: ignore[arg-type]
        self._split, self._scene_seed = split, scene_seed
        self._scenes: dict[int, Scene] = {}
        self._room = _CACHE_BYTES // (4 * self.image_size**2)

    def scene(self, index: int) -> Scene:
        """The scene of an index."""
        if index in self._scenes:
            return self._scenes[index]
        scene = draw_scene(self._scene_seed, self._split, index, self.image_size)
        if len(self._scenes) < self._room:
            self._scenes[index] = scene
        return scene

    def image(self, index: int) -> Tensor:
        """(3, S, S) in [0, 1]."""
        return self.scene(index).image.float() / 255

    def labels(self, index: int) -> Tensor:
        """(K,): the classes of which something is seen."""
        present = torch.zeros(len(CLASSES))
        present[self.scene(index).boxes[:, 0].long()] = 1
        return present

    def segmentation(self, index: int) -> Tensor:
        """(K, S, S) of 0 and 1, exact."""
        owner = self.scene(index).owner
        return torch.stack([owner == c + 1 for c in range(len(CLASSES))]).to(torch.uint8)

    def boxes(self, index: int) -> Tensor:
        """(N, 5), around the visible parts."""
        return self.scene(index).boxes


class Shapes(ImageDataModule):
    """Drawn scenes; needs no files, and `root` is not used.

    Args:
        train_images: Size of the training split.
        val_images: Size of the validation split.
        test_images: Size of the test split.
        scene_seed: Of the scenes themselves.
        kwargs: Of `ImageDataModule`.
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
        """The textures."""
        return CLASSES

    def prepare_data(self) -> None:
        """Nothing: scenes are drawn when they are asked for."""

    def build(self, split: Split) -> ShapesDataset:
        """Scenes of a split."""
        number = ("train", "val", "test").index(split)
        return ShapesDataset(number, self.scene_seed, self.counts[split], **self.options(split))
