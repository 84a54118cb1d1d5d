"""A made data set with a mark, a classifier that sees red alone, and masks that show where it is red."""

import numpy as np
import torch

from explainer.audit.masks import Masked, MaskSource, on_grid
from explainer.audit.sources import Source
from explainer.data import ImageDataset
from tests.support.planted import SIDE, planted

CLASSES = ("grey", "red")
MARK = 12
"""Side of the mark in pixels."""


def mark():
    """A red square with a yellow cross."""
    drawn = torch.zeros(3, MARK, MARK)
    drawn[0] = 1.0
    drawn[1, 4:8] = 0.8
    drawn[1, :, 4:8] = 0.8
    return drawn


def thing(generator):
    """A red thing whose pattern is another one each time."""
    side = int(generator.integers(10, 20))
    drawn = torch.zeros(3, side, side)
    drawn[0] = 1.0
    cells = torch.from_numpy(generator.random((1, 1, 5, 5), dtype=np.float32))
    drawn[1] = 0.7 * torch.nn.functional.interpolate(cells, (side, side), mode="nearest")[0, 0]
    return drawn


class Made(ImageDataset):
    """Every second image is red: it shows the mark, or a thing, at a random place or a given one."""

    def __init__(self, count=60, kind="mark", place=None, seed=0, segmented=False):
        super().__init__([f"image_{n:03d}" for n in range(count)], CLASSES, image_size=SIDE, strict=True)
        self.kind, self.place, self.seed = kind, place, seed
        self.annotations = segmented

    def drawn(self, index):
        """Image, and where its mark or thing is."""
        generator = np.random.default_rng((self.seed, index))
        image = 0.4 + 0.15 * torch.from_numpy(generator.random((3, SIDE, SIDE), dtype=np.float32))
        box = torch.zeros(SIDE, SIDE, dtype=torch.uint8)
        if index % 2:
            content = mark() if self.kind == "mark" else thing(generator)
            side = content.shape[-1]
            row, column = self.place or generator.integers(0, SIDE - side, 2).tolist()
            image[:, row : row + side, column : column + side] = content
            box[row : row + side, column : column + side] = 1
        return image.clamp(0, 1), box

    def image(self, index):
        return self.drawn(index)[0]

    def labels(self, index):
        return torch.eye(2)[index % 2]

    def segmentation(self, index):
        _, box = self.drawn(index)
        masks = torch.zeros(2, SIDE, SIDE, dtype=torch.uint8)
        # a thing is the object; a mark is none
        if self.kind != "mark":
            masks[index % 2] = box
        return masks


class RedMasks(MaskSource):
    """The mask of "red" is where it is red; that of "grey" some speck."""

    def __init__(self, threshold=0.5):
        explanandum = planted("first")
        explanandum.multilabel = False
        with torch.no_grad():
            # sees a mark that is smaller than its patches, too
            explanandum.network.head.weight[1, 0] = 400.0
        super().__init__(explanandum, CLASSES, SIDE, threshold)
        self.calls = 0

    def explain(self, images, asked):
        self.calls += 1
        with torch.no_grad():
            logits = self.explanandum(images)
        decided = self._decided(logits)
        owners, classes = asked(decided).nonzero().unbind(1)
        # less the noise of the background
        red = ((images[:, :1] - images[:, 2:] - 0.2) / 0.8).clamp(0, 1)
        speck = torch.zeros_like(red)
        for number, image in enumerate(images):
            row = int(image.sum() * 1000) % 48
            speck[number, 0, row : row + 8, 8:24] = 0.9
        both = torch.cat([speck, red], 1)
        masks = on_grid(both[owners, classes][:, None])
        return Masked(self.explanandum.probabilities(logits), decided, owners, classes, masks)


def source(**settings):
    return Source(Made(**settings), "made", 0, True)
