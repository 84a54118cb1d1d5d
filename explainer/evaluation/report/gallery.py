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
"""Pictures beside one another."""


def method_gallery(
    explanandum: Explanandum,
    methods: dict[str, Attribution],
    batch: Batch,
    kept: MaskStore | None = None,
    maker: MaskMaker = SCALED,
) -> Image.Image:
    """Every method's target mask over every image of a batch.

    Args:
        explanandum: The frozen classifier, on the batch's device.
        methods: Name → method; constant masks are not worth a picture.
        batch: A few images; the ground truth is a column when they have segmentations.
        kept: Masks that are there already.
        maker: Maker of the masks.

    Returns:
        The picture: a row an image, with the labels and the classifier's probabilities under it; several rows an image
        when there are many methods.
    """
    shown = [name for name, method in methods.items() if not isinstance(method, Constant)]
    names = shown if batch.segmentation is None else [TRUTH, *shown]
    masks = {name: found(explanandum, name, methods.get(name), batch, kept, maker) for name in names}
    with torch.no_grad():
        probabilities = explanandum.probabilities(explanandum(batch.image).float())
    many = len(names) > WIDEST
    rows = []
    for n in range(len(batch.id)):
        present = batch.labels[n].nonzero().flatten().tolist()[:3]
        said = ", ".join(f"{explanandum.classes[c]} {probabilities[n, c]:.2f}" for c in present)
        row = [Tile(to_pil(batch.image[n]), said or "no label")]
        for name in names:
            mask = masks[name][n]
            row.append(Tile(overlay(batch.image[n], mask), name if many else f"area {mask.mean():.2f}"))
        rows += [row[start : start + WIDEST] for start in range(0, len(row), WIDEST)] if many else [row]
    return gallery(rows, header=() if many else ["image", *names])


def found(
    explanandum: Explanandum,
    name: str,
    method: Attribution | None,
    batch: Batch,
    kept: MaskStore | None,
    maker: MaskMaker = SCALED,
) -> Tensor:
    """The masks that were kept, if all were, else new ones: (B, 1, H, W) in [0, 1]."""
    if kept is not None:
        masks = [kept.read(name, image) for image in batch.id]
        there = [mask for mask in masks if mask is not None]
        if len(there) == len(masks):
            return torch.stack(there).to(batch.image)
    if method is None:
        return reference_mask(name, batch)
    return maker.target_mask(explanandum, method, batch.image, batch.labels).mask
