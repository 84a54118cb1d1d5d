"""A picture of images × methods."""

import torch
from PIL import Image
from torch import Tensor

from explainer.attribution import Attribution, Constant
from explainer.data import Batch
from explainer.evaluation.maps.cache import MaskStore
from explainer.evaluation.maps.make import SCALED, MaskMaker
from explainer.evaluation.references import TRUTH, reference_mask
from explainer.networks import Explanandum
from explainer.rendering import Tile, gallery, overlay, to_pil

WIDEST = 9
"""Pictures beside one another, at most."""


def method_gallery(
    explanandum: Explanandum,
    methods: dict[str, Attribution],
    batch: Batch,
    cache: MaskStore | None = None,
    maker: MaskMaker = SCALED,
) -> Image.Image:
    """Draw every method's target mask over every image of a batch.

    Args:
        explanandum: Frozen classifier, on the batch's device.
        methods: Name → method; constant masks are not worth a picture.
        batch: Images; the ground truth is a column when they have segmentations.
        cache: Masks on the disk.
        maker: Maker of the masks.

    Returns:
        The picture: a row an image, with the labels and the classifier's probabilities under it; several rows an image
        when there are many methods.
    """
    names = [name for name, method in methods.items() if not isinstance(method, Constant)]
    if batch.segmentation is not None:
        names.insert(0, TRUTH)
    masks = {name: read_or_make(explanandum, name, methods.get(name), batch, cache, maker) for name in names}
    with torch.no_grad():
        probabilities = explanandum.probabilities(explanandum(batch.image).float())
    # with many methods there is no column for each: their names stand under the pictures
    many = len(names) > WIDEST
    rows = []
    for n in range(len(batch.id)):
        present = batch.labels[n].nonzero().flatten().tolist()[:3]
        labels = ", ".join(f"{explanandum.classes[c]} {probabilities[n, c]:.2f}" for c in present)
        row = [Tile(to_pil(batch.image[n]), labels or "no label")]
        for name in names:
            mask = masks[name][n]
            row.append(Tile(overlay(batch.image[n], mask), name if many else f"area {mask.mean():.2f}"))
        if many:
            rows += [row[start : start + WIDEST] for start in range(0, len(row), WIDEST)]
        else:
            rows.append(row)
    return gallery(rows, header=() if many else ["image", *names])


def read_or_make(
    explanandum: Explanandum,
    name: str,
    method: Attribution | None,
    batch: Batch,
    cache: MaskStore | None,
    maker: MaskMaker = SCALED,
) -> Tensor:
    """Return the masks on the disk if all are there, else new ones.

    Args:
        explanandum: Frozen classifier, on the batch's device.
        name: Name of the method, or of a reference.
        method: Method; None for a reference, whose mask the annotation gives.
        batch: Images.
        cache: Masks on the disk.
        maker: Maker of the masks.

    Returns:
        (B, 1, H, W) in [0, 1].
    """
    if cache is not None:
        read = [cache.read(name, image) for image in batch.id]
        masks = [mask for mask in read if mask is not None]
        if len(masks) == len(batch.id):
            return torch.stack(masks).to(batch.image)
    if method is None:
        return reference_mask(name, batch)
    return maker.target_mask(explanandum, method, batch.image, batch.labels).mask
