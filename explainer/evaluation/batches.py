"""Batches of an evaluation: where they are computed, parts of them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from explainer.data import Batch


def to_device(batch: Batch, device: str | torch.device) -> Batch:
    """Move what is computed with."""
    segmentation = None if batch.segmentation is None else batch.segmentation.to(device)
    boxes = None if batch.boxes is None else [some.to(device) for some in batch.boxes]
    return Batch(batch.image.to(device), batch.labels.to(device), batch.id, segmentation, boxes)


def part(batch: Batch, places: Sequence[int]) -> Batch:
    """Some images of a batch.

    Args:
        batch: Any images.
        places: Places of the images in the batch, ascending.

    Example:
        >>> part(Batch(torch.rand(3, 3, 4, 4), torch.eye(3), ["a", "b", "c"]), [0, 2]).id
        ['a', 'c']
    """
    index = torch.tensor(places, dtype=torch.long, device=batch.image.device)

    def some(values: Tensor | None) -> Tensor | None:
        return None if values is None else values[index]

    names = [batch.id[n] for n in places]
    boxes = None if batch.boxes is None else [batch.boxes[n] for n in places]
    return Batch(batch.image[index], batch.labels[index], names, some(batch.segmentation), boxes)
