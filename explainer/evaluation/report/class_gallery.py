"""The masks of chosen classes, present or not, by every method: the picture of the Explainer paper's Figure 1.

S. Stalder, N. Perraudin, R. Achanta, F. Perez-Cruz, M. Volpi: What You See is What You Classify: Black Box
Attributions, NeurIPS 2022.
"""

from collections.abc import Mapping, Sequence

import torch
from PIL import Image

from explainer.attribution import Attribution
from explainer.data import Batch
from explainer.evaluation.maps.class_masks import class_masks
from explainer.evaluation.maps.make import SCALED, MaskMaker
from explainer.networks import Explanandum
from explainer.rendering import Tile, gallery, overlay, to_pil


def class_gallery(
    explanandum: Explanandum,
    methods: Mapping[str, Attribution],
    batch: Batch,
    classes: Sequence[str],
    maker: MaskMaker = SCALED,
) -> Image.Image:
    """Draw a row for each image and method, a column for each class.

    Args:
        explanandum: Frozen classifier, on the batch's device.
        methods: Name → method.
        batch: Images.
        classes: Names of the classes.
        maker: Maker of the masks.

    Returns:
        The picture: under the image the method's name, under each mask the class, its probability for the image and
        whether it is labelled, and the mask's area.
    """
    indices = [explanandum.classes.index(name) for name in classes]
    with torch.no_grad():
        logits = explanandum(batch.image).float()
        probabilities = explanandum.probabilities(logits)
    # all at once: a method explains a batch in fewer passes than its images one by one
    masks = {}
    for name, method in methods.items():
        masks[name] = class_masks(explanandum, method, batch.image, indices, maker)
    rows = []
    for n in range(len(batch.id)):
        for name, method_masks in masks.items():
            row = [Tile(to_pil(batch.image[n]), name)]
            for column, index in enumerate(indices):
                mask = method_masks[n, column]
                probability = float(probabilities[n, index])
                area = float(mask.mean())
                words = f"p {probability:.2f}, area {area:.2f}"
                if batch.labels[n, index] > 0:
                    words = f"labelled, {words}"
                picture = overlay(batch.image[n], mask[None])
                row.append(Tile(picture, words))
            rows.append(row)
    return gallery(rows, header=["image", *classes])
