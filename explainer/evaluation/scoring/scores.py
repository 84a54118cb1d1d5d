"""The fixed scores of masks: S. Stalder et al., NeurIPS 2022, section 4.3, and RISE's two curves."""

import math
from typing import Any

import torch
from torch import Tensor

from explainer.data import Batch
from explainer.infill import gaussian_blur
from explainer.metrics import (
    area_under,
    mean_absolute_error,
    removal_curve,
    saliency_metric,
    soft_accuracy,
    soft_iou,
    truth_and_weight,
)
from explainer.metrics.segmentation import TruthRule
from explainer.networks import Explanandum


def fixed_scores(
    mask: Tensor, kept: Tensor, batch: Batch, rule: TruthRule, explained: Tensor | None = None
) -> dict[str, Tensor]:
    """Acc, IoU, MAE (of images with segmentations), Sal and the area.

    Args:
        mask: (B, 1, H, W) in [0, 1].
        kept: (B, K), logits of the masked images.
        batch: The images.
        rule: Which pixels of the annotation are the truth.
        explained: (B, K) multi-hot, the classes that the masks explain; None: the labels.

    Returns:
        Name → (B,), NaN where a score is not defined.
    """
    values = {"area": mask.mean((1, 2, 3))}
    if batch.segmentation is not None:
        truth, weight = truth_and_weight(batch.segmentation, batch.labels, rule)
        for key, function in (("acc", soft_accuracy), ("iou", soft_iou), ("mae", mean_absolute_error)):
            values[key] = function(mask, truth, weight)
    return values | {"sal": saliency_metric(mask, kept, batch.labels if explained is None else explained)}


def curves(explanandum: Explanandum, mask: Tensor, batch: Batch, steps: int) -> dict[str, Tensor]:
    """Areas under the insertion curve (from a blur of deviation 5) and the deletion curve (to the mean colour).

    Args:
        explanandum: The frozen classifier.
        mask: (B, 1, H, W).
        batch: The images; one with several labels, or none, has no curve.
        steps: Number of steps of each curve.

    Returns:
        "insertion" and "deletion", (B,) each, NaN where there is none.
    """
    single = (batch.labels.sum(1) == 1).nonzero()[:, 0]
    found = {key: torch.full((len(mask),), torch.nan, device=mask.device) for key in ("insertion", "deletion")}
    if not len(single):
        return found
    image, target = batch.image[single], batch.labels[single].argmax(1)

    def probability(seen: Tensor, owner: Tensor) -> Tensor:
        return explanandum.probabilities(explanandum(seen).float()).gather(1, target[owner][:, None])[:, 0]

    grey = explanandum.mean_colour.expand_as(image)
    pairs = {"insertion": (gaussian_blur(image, 5.0), image), "deletion": (image, grey)}
    for key, (before, after) in pairs.items():
        curve = removal_curve(mask[single], before, after, probability, min(steps, mask[0].numel()))
        found[key][single] = area_under(curve).to(found[key].dtype)
    return found


def predictions(explanandum: Explanandum, logits: Tensor, labels: Tensor) -> list[dict[str, Any]]:
    """What the classifier says of each image, as little as the scores need.

    Args:
        explanandum: Decides between sigmoid and softmax.
        logits: (B, K).
        labels: (B, K) multi-hot.

    Returns:
        An entry an image: the labels and all K probabilities of a multi-label classifier; of a single-label one the
        label, the predicted class and the label's probability.
    """
    probabilities = explanandum.probabilities(logits.float()).cpu()
    rows: list[dict[str, Any]] = []
    for p, y in zip(probabilities, labels.cpu(), strict=True):
        present = y.nonzero().flatten().tolist()
        if explanandum.multilabel:
            rows.append({"labels": present, "probabilities": [round(v, 5) for v in p.tolist()]})
        else:
            of_label = round(float(p[present[0]]), 5) if present else None
            rows.append({"labels": present, "predicted": int(p.argmax()), "probability": of_label})
    return rows


def plain(value: float) -> float | None:
    """None instead of NaN, which JSON does not have."""
    return None if math.isnan(value) else value
