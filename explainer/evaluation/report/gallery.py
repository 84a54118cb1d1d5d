"""A picture of images × methods, and where the masks of all pictures come from."""

from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from explainer.attribution import Attribution, Constant
from explainer.data import Batch
from explainer.evaluation.maps.cache import MaskStore
from explainer.evaluation.maps.make import SCALED, MaskMaker
from explainer.evaluation.references import TRUTH, reference_mask
from explainer.metrics.segmentation import USUAL_TRUTH, TruthRule
from explainer.networks import Explanandum
from explainer.rendering import Tile, gallery, overlay, to_pil

WIDEST = 9
"""Pictures beside one another, at most."""
FEW_LABELS = 3
"""Labels under an image, at most: more would not fit into a tile."""


class PictureMasks(NamedTuple):
    """Where the masks of pictures come from: the store if it holds all, else the method or the annotation.

    Attributes:
        store: Masks on the disk; None: all are made.
        maker: Maker of the masks that are not on the disk.
        rule: Rule that says which pixels of the annotation are the truth.
    """

    store: MaskStore | None = None
    maker: MaskMaker = SCALED
    rule: TruthRule = USUAL_TRUTH

    def of_method(self, explanandum: Explanandum, name: str, method: Attribution, batch: Batch) -> Tensor:
        """Return the masks on the disk if all are there, else new ones.

        Args:
            explanandum: Frozen classifier, on the batch's device.
            name: Name of the method.
            method: Method.
            batch: Images, whose labels are the classes to explain.

        Returns:
            (B, 1, H, W) in [0, 1].
        """
        if self.store is not None:
            stored = [self.store.read(name, image) for image in batch.id]
            masks = [mask for mask in stored if mask is not None]
            if len(masks) == len(batch.id):
                return torch.stack(masks).to(batch.image)
        return self.maker.target_mask(explanandum, method, batch.image, batch.labels).mask

    def of_reference(self, name: str, annotated: Batch) -> Tensor:
        """Return the masks that the annotation gives, as they are scored.

        Args:
            name: Name of the reference.
            annotated: Images with the labels of the data set, and the annotation that the reference needs.

        Returns:
            (B, 1, H, W) of 0 and 1.
        """
        return reference_mask(name, annotated, self.rule)


ALL_MADE = PictureMasks()
"""No mask is on the disk, and settings are the usual ones."""


def method_gallery(
    explanandum: Explanandum,
    methods: dict[str, Attribution],
    batch: Batch,
    source: PictureMasks = ALL_MADE,
    annotated: Batch | None = None,
) -> Image.Image:
    """Draw every method's target mask over every image of a batch.

    Args:
        explanandum: Frozen classifier, on the batch's device.
        methods: Name → method; constant masks are not worth a picture.
        batch: Images, whose labels are the classes to explain; the ground truth is a column when they have
            segmentations.
        source: Source of the masks.
        annotated: Same images with the labels of the data set, on which the ground truth depends; None where these are
            the labels of the batch.

    Returns:
        The picture: a row an image, with the labels and the classifier's probabilities under it; several rows an image
        when there are many methods.
    """
    masks: dict[str, Tensor] = {}
    if batch.segmentation is not None:
        # predicted classes may be explained, but the truth that is scored is always that of the labelled objects
        masks[TRUTH] = source.of_reference(TRUTH, annotated or batch)
    for name, method in methods.items():
        if not isinstance(method, Constant):
            masks[name] = source.of_method(explanandum, name, method, batch)
    with torch.no_grad():
        logits = explanandum(batch.image).float()
        probabilities = explanandum.probabilities(logits)
    # with many methods there is no column for each: their names stand under the pictures
    many = len(masks) > WIDEST
    rows = []
    for n in range(len(batch.id)):
        present = batch.labels[n].nonzero().flatten().tolist()[:FEW_LABELS]
        labels = []
        for index in present:
            labels.append(f"{explanandum.classes[index]} {probabilities[n, index]:.2f}")
        row = [Tile(to_pil(batch.image[n]), ", ".join(labels) or "no label")]
        for name, of_images in masks.items():
            mask = of_images[n]
            words = name if many else f"area {mask.mean():.2f}"
            row.append(Tile(overlay(batch.image[n], mask), words))
        if many:
            starts = range(0, len(row), WIDEST)
            rows += [row[start : start + WIDEST] for start in starts]
        else:
            rows.append(row)
    return gallery(rows, header=() if many else ["image", *masks])
