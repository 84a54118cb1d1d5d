"""Batches of an evaluation: their device, and parts of them."""

from collections.abc import Sequence

import torch

from explainer.data import Batch


def to_device(batch: Batch, device: str | torch.device) -> Batch:
    """Move the tensors of a batch to a device.

    Args:
        batch: Images, with their annotation.
        device: Device of the result.
    """
    segmentation = batch.segmentation
    if segmentation is not None:
        segmentation = segmentation.to(device)
    boxes = batch.boxes
    if boxes is not None:
        boxes = [boxes_of_image.to(device) for boxes_of_image in boxes]
    image = batch.image.to(device)
    labels = batch.labels.to(device)
    parts = batch.parts
    if parts is not None:
        parts = [None if of_image is None else of_image.to(device) for of_image in parts]
    return Batch(image, labels, batch.id, segmentation, boxes, parts)


def part(batch: Batch, places: Sequence[int]) -> Batch:
    """Select images of a batch.

    Args:
        batch: Images, with their annotation.
        places: Places of the images in the batch, ascending.

    Example:
        >>> part(Batch(torch.rand(3, 3, 4, 4), torch.eye(3), ["a", "b", "c"]), [0, 2]).id
        ['a', 'c']
    """
    index = torch.tensor(places, dtype=torch.long, device=batch.image.device)
    names = [batch.id[n] for n in places]
    segmentation = batch.segmentation
    if segmentation is not None:
        segmentation = segmentation[index]
    boxes = batch.boxes
    if boxes is not None:
        boxes = [boxes[n] for n in places]
    parts = batch.parts
    if parts is not None:
        parts = [parts[n] for n in places]
    return Batch(batch.image[index], batch.labels[index], names, segmentation, boxes, parts)
