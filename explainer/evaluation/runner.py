"""Methods × images: mask, score, append; resumable.

Scores are those of S. Stalder et al., NeurIPS 2022, section 4.3, the explanandum's probabilities for the original, the
masked and the complement image, and seconds an image.
"""

import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from explainer.attribution import Attribution
from explainer.attribution.perturbing import no_bars
from explainer.data import VOID, Batch
from explainer.evaluation.judging import Judge
from explainer.evaluation.kept import KeptMasks
from explainer.evaluation.probes import Probe
from explainer.evaluation.probing import merged, probe
from explainer.evaluation.store import Store
from explainer.infill import gaussian_blur
from explainer.masking import composite
from explainer.metrics import (
    area_under,
    mean_absolute_error,
    removal_curve,
    saliency_metric,
    soft_accuracy,
    soft_iou,
    truth_and_weight,
)
from explainer.metrics.segmentation import Void
from explainer.networks import Explanandum

ORIGINAL, TRUTH = "Original image", "Ground truth"

SET_UP = 5.0
"""Seconds: of a first call that takes longer, set-up is a small part."""


def evaluate(
    explanandum: Explanandum, methods: dict[str, Attribution], batches: Iterable[Batch], store: Store, *,
    total: int, void: Void = "ignore", device: str = "cpu", curve_steps: int = 0, kept: KeptMasks | None = None,
    judge: Judge | None = None, scaled: bool = True, probes: dict[str, Probe] | None = None,
) -> None:  # fmt: skip
    """Score every method on every image, and append the rows to the store.

    Args:
        explanandum: The frozen classifier.
        methods: Name → method; the ground truth is added where the images have segmentations.
        batches: The images.
        store: Rows that it has already are not computed again.
        total: Number of images, for the progress bar.
        void: As in `truth_and_weight`.
        device: Where to compute.
        curve_steps: As in `score`.
        kept: Where masks are kept for pictures.
        judge: Further metrics.
        scaled: As in `make_mask`.
        probes: Column → question to a method that takes further maps.
    """
    explanandum.to(device)
    warm: set[str] = set()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress, no_bars():
        task = progress.add_task("evaluating", total=total)
        for batch in batches:
            known = annotated(batch)
            for name in [ORIGINAL, *([TRUTH] if known.id else []), *methods]:
                some = known if name == TRUTH else batch
                if store.has(name, some.id):
                    continue
                here = to_device(some, device)
                progress.update(task, description=name)
                cold = name not in warm
                warm.add(name)
                store.append(
                    score(
                        explanandum, name, methods.get(name), here, void, curve_steps, kept, judge, scaled, cold, probes
                    )
                )
            progress.advance(task, len(batch.id))


def to_device(batch: Batch, device: str) -> Batch:
    """Move what is computed with."""
    segmentation = None if batch.segmentation is None else batch.segmentation.to(device)
    boxes = None if batch.boxes is None else [some.to(device) for some in batch.boxes]
    return Batch(batch.image.to(device), batch.labels.to(device), batch.id, segmentation, boxes)


def annotated(batch: Batch) -> Batch:
    """Those images that have a segmentation: the others have no ground truth to score."""
    if batch.segmentation is None:
        return batch._replace(image=batch.image[:0], labels=batch.labels[:0], id=[], boxes=None)
    have = (batch.segmentation != VOID).flatten(1).any(1)
    names = [name for name, has in zip(batch.id, have.tolist(), strict=True) if has]
    boxes = None if batch.boxes is None else [some for some, has in zip(batch.boxes, have.tolist(), strict=True) if has]
    return Batch(batch.image[have], batch.labels[have], names, batch.segmentation[have], boxes)


def score(
    explanandum: Explanandum, name: str, method: Attribution | None, batch: Batch, void: Void, curve_steps: int = 0,
    kept_masks: KeptMasks | None = None, judge: Judge | None = None, scaled: bool = True,
    cold: bool = False, probes: dict[str, Probe] | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """The rows of one method for one batch.

    Args:
        explanandum: The frozen classifier.
        name: Of the method; `ORIGINAL` and `TRUTH` have none.
        method: Makes the masks.
        batch: On the explanandum's device.
        void: As in `truth_and_weight`.
        curve_steps: Of the insertion and deletion curves of images with one label; 0: none.
        kept_masks: Where masks are kept for pictures.
        judge: Further metrics.
        scaled: As in `make_mask`.
        cold: The method was not called before: where set-up could count, it is called again and that is timed.
        probes: As in `evaluate`.

    Returns:
        A row an image, in plain values; None where a score is not defined.
    """
    if name == ORIGINAL:
        with torch.no_grad():
            said = predictions(explanandum, explanandum(batch.image), batch.labels)
        return [{"id": i, "method": name, "kept": kept} for i, kept in zip(batch.id, said, strict=True)]
    mask, seconds = timed(lambda: make_mask(explanandum, method, batch, void, scaled), batch.image.device)
    if cold and seconds < SET_UP:
        mask, seconds = timed(lambda: make_mask(explanandum, method, batch, void, scaled), batch.image.device)
    if kept_masks is not None:
        kept_masks.add(name, batch.id, mask)
    values: dict[str, Tensor] = {"area": mask.mean((1, 2, 3))}
    if curve_steps:
        values |= curves(explanandum, mask, batch, curve_steps)
    with torch.no_grad():
        both = [composite(batch.image, m, explanandum.mean_colour) for m in (mask, 1 - mask)]
        kept, removed = (explanandum(images).float() for images in both)
    if batch.segmentation is not None:
        truth, weight = truth_and_weight(batch.segmentation, batch.labels, void)
        for key, function in (("acc", soft_accuracy), ("iou", soft_iou), ("mae", mean_absolute_error)):
            values[key] = function(mask, truth, weight)
    values["sal"] = saliency_metric(mask, kept, batch.labels)
    constant = (mask.amax((1, 2, 3)) == mask.amin((1, 2, 3))).tolist()
    judged = [{} for _ in batch.id] if judge is None else judge(explanandum, name, mask, batch)
    if probes:
        judged = merged(judged, probe(probes, explanandum, method, batch, mask, scaled))
    said_kept, said_removed = (predictions(explanandum, z, batch.labels) for z in (kept, removed))
    rows = []
    for n, name_of_image in enumerate(batch.id):
        numbers = {key: plain(float(value[n])) for key, value in values.items()}
        extra = {"seconds": seconds / len(batch.id), "constant": constant[n]}
        spoken = {"kept": said_kept[n], "removed": said_removed[n]}
        rows.append({"id": name_of_image, "method": name} | numbers | extra | judged[n] | spoken)
    return rows


def make_mask(
    explanandum: Explanandum, method: Attribution | None, batch: Batch, void: Void = "ignore", scaled: bool = True
) -> Tensor:
    """The mask of all classes present.

    Args:
        explanandum: The frozen classifier.
        method: Makes it; without one it is the ground truth.
        batch: The images.
        void: As in `truth_and_weight`.
        scaled: Whether maps that are masks already are scaled too.

    Returns:
        (B, 1, H, W) in [0, 1]. A NaN pixel makes a mask 0, so constant.
    """
    if method is None:
        assert batch.segmentation is not None
        return truth_and_weight(batch.segmentation, batch.labels, void)[0]
    plain_masks = {"scaled": False} if method.is_mask and not scaled else {}
    mask = method.target_mask(explanandum, batch.image, batch.labels, **plain_masks).detach()
    broken = mask.isnan().flatten(1).any(1)
    return mask.masked_fill(broken[:, None, None, None], 0.0).clamp(0, 1)


def curves(explanandum: Explanandum, mask: Tensor, batch: Batch, steps: int) -> dict[str, Tensor]:
    """Areas under the insertion curve (from a blur of deviation 5) and the deletion curve (to the mean colour).

    Args:
        explanandum: The frozen classifier.
        mask: (B, 1, H, W).
        batch: The images; one with several labels, or none, has no curve.
        steps: Of each curve.

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


def timed(work: Callable[[], Tensor], device: torch.device) -> tuple[Tensor, float]:
    """A result, and the seconds until the device had it."""
    start = time.perf_counter()
    result = work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return result, time.perf_counter() - start


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
