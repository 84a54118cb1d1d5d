"""The view of a metric: masks of one batch, the images, the truth, and the classifier's answers."""

import torch
from torch import Tensor

from explainer.attribution.masked_score import score_of
from explainer.data import Batch
from explainer.evaluation.images import true_boxes
from explainer.infill import Constant, Infill
from explainer.metrics import Judged
from explainer.networks import Explanandum


def metric_view(
    explanandum: Explanandum,
    mask: Tensor,
    levels: Tensor,
    batch: Batch,
    infill: Infill | None = None,
) -> Judged:
    """Gather all that a metric may look at.

    Args:
        explanandum: Frozen classifier.
        mask: Masks (B, 1, H, W) in [0, 1].
        levels: Level of each mask above which a pixel is salient, (B,).
        batch: Images, on the explanandum's device; the first label of each is the target.
        infill: In-fill of those metrics that replace pixels; None is the classifier's mean colour.

    Returns:
        What every `ImageMetric` measures.
    """
    # metrics of one class ask about images with one label only, of which the first label is the label
    target = batch.labels.argmax(1)
    fill = infill or Constant(explanandum.mean_colour.flatten().tolist())

    def filled(images: Tensor, masks: Tensor) -> Tensor:
        # the same draws at each call: a metric compares pictures, not draws
        generator = torch.Generator(images.device).manual_seed(0)
        return fill(images, masks, generator).expand_as(images)

    def probability(seen: Tensor, owner: Tensor) -> Tensor:
        probabilities = explanandum.probabilities(explanandum(seen).float())
        of_target = probabilities.gather(1, target[owner][:, None])
        return of_target[:, 0]

    def log_odds(seen: Tensor, owner: Tensor) -> Tensor:
        return score_of(explanandum(seen).float(), target[owner], explanandum.multilabel, "log_odds")

    def logits(seen: Tensor) -> Tensor:
        return explanandum(seen).float()

    return Judged(
        mask=mask,
        level=levels,
        image=batch.image,
        labels=batch.labels,
        boxes=true_boxes(batch),
        segmentation=batch.segmentation,
        probability=probability,
        log_odds=log_odds,
        fill=filled,
        logits=logits,
        mean_colour=explanandum.mean_colour,
        parts=batch.parts,
    )
