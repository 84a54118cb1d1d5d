"""Read data sets of many images that lie in a few large files: an image is read from its place, in any order.

What a subclass adds is where the content of an image lies. The order of a training and its place within an epoch are
those of every data set here, so that a stopped run goes on without an image lost or seen twice.
"""

from abc import abstractmethod

import torch
from torch import Tensor

from explainer.data.base import ImageDataset, pixels
from explainer.data.decoding import fast_pixels
from explainer.files.pictures import read_content


class PackedDataset(ImageDataset):
    """Images of which the content is given, each with the indices of its classes.

    Args:
        ids: Names of the images; no two are equal.
        classes: Names of the K classes, in index order.
        labelled: Indices of the classes of each image.
        options: Further arguments of `ImageDataset`.
    """

    def __init__(
        self,
        ids: list[str],
        classes: tuple[str, ...],
        labelled: list[list[int]],
        **options: object,
    ) -> None:
        super().__init__(ids, classes, **options)  # type: ignore[arg-type]
        self.labelled = labelled

    @abstractmethod
    def content(self, index: int) -> bytes:
        """Return the content of an image's file; raise OSError where it cannot be read."""

    def image(self, index: int) -> Tensor:
        """Return an image (3, S, S) in [0, 1]."""
        content = self.content(index)
        if self.fast:
            return fast_pixels(content, self.ids[index], self.image_size)
        return pixels(read_content(content, self.ids[index]), self.image_size)

    def labels(self, index: int) -> Tensor:
        """Return the labels (K,), multi-hot."""
        present = torch.zeros(len(self.classes))
        present[self.labelled[index]] = 1
        return present
