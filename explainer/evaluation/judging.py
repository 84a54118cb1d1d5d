"""The metrics that a config names, on one method's masks of one batch."""

from typing import Any

import torch
from torch import Tensor

from explainer.attribution.perturbing import score_of
from explainer.data import Batch
from explainer.infill import Constant, Infill
from explainer.metrics import ImageMetric, Judged, mean_level, truth_boxes
from explainer.networks import Explanandum


class Judge:
    """Metrics, and what they need beside masks and images.

    Args:
        metrics: Column → metric.
        infill: Of those that replace pixels; None is the classifier's mean colour.
        level: Above it a mask's pixel is salient.
        alphas: Method → α, for methods whose pixels are salient above α times the map's mean.
    """

    def __init__(
        self, metrics: dict[str, ImageMetric], infill: Infill | None = None, level: float = 0.5,
        alphas: dict[str, float] | None = None,
    ) -> None:  # fmt: skip
        self.metrics, self.infill, self.level, self.alphas = metrics, infill, level, alphas or {}

    def levels(self, method: str, mask: Tensor) -> Tensor:
        """(B,): above it a pixel is salient."""
        if method in self.alphas:
            return mean_level(mask, self.alphas[method])
        return mask.new_full((len(mask),), self.level)

    def __call__(self, explanandum: Explanandum, method: str, mask: Tensor, batch: Batch) -> list[dict[str, Any]]:
        """What to add to the rows of the images.

        Args:
            explanandum: The frozen classifier.
            method: Name.
            mask: (B, 1, H, W) in [0, 1].
            batch: The images, on the explanandum's device.

        Returns:
            An entry an image: a value for each column (None where it is not defined), whether nothing is salient, and
            the curves that values are areas of.
        """
        judged = self.judged(explanandum, method, mask, batch)
        empty = (~judged.region.flatten(1).any(1)).tolist()
        rows: list[dict[str, Any]] = [{"no_region": e, "curves": {}} for e in empty]
        for name, metric in self.metrics.items():
            found = metric.measure(judged)
            for n, row in enumerate(rows):
                value = float(found.value[n])
                row[name] = None if value != value else value
                if found.curve is not None and not bool(found.curve[n].isnan().any()):
                    row["curves"][name] = [round(v, 5) for v in found.curve[n].tolist()]
        return rows

    def judged(self, explanandum: Explanandum, method: str, mask: Tensor, batch: Batch) -> Judged:
        """All that a metric may look at."""
        target = batch.labels.argmax(1)
        fill = self.infill or Constant(explanandum.mean_colour.flatten().tolist())

        def filled(images: Tensor, masks: Tensor) -> Tensor:
            generator = torch.Generator(images.device).manual_seed(0)
            return fill(images, masks, generator).expand_as(images)

        def probability(seen: Tensor, owner: Tensor) -> Tensor:
            return explanandum.probabilities(explanandum(seen).float()).gather(1, target[owner][:, None])[:, 0]

        def log_odds(seen: Tensor, owner: Tensor) -> Tensor:
            return score_of(explanandum(seen).float(), target[owner], explanandum.multilabel, "log_odds")

        return Judged(
            mask, self.levels(method, mask), batch.image, batch.labels, true_boxes(batch), batch.segmentation,
            probability, log_odds, filled,
        )  # fmt: skip


def true_boxes(batch: Batch) -> list[Tensor]:
    """Boxes of the labelled objects, from the annotation or around each class's segmentation.

    Args:
        batch: Any images.

    Returns:
        B tensors (N, 4): x0, y0, x1, y1 in pixels, on the images' device; none where nothing is known.

    Example:
        >>> own = torch.tensor([[0.0, 1, 2, 3, 4], [1.0, 0, 0, 9, 9]])
        >>> true_boxes(Batch(torch.rand(1, 3, 9, 9), torch.eye(2)[:1], ["a"], boxes=[own]))[0].tolist()
        [[1.0, 2.0, 3.0, 4.0]]
    """
    outlined = [batch.image.new_zeros(0, 4)] * len(batch.id)
    if batch.segmentation is not None:
        outlined = truth_boxes(batch.segmentation, batch.labels)
    if batch.boxes is None:
        return outlined
    found = []
    for some, labels, other in zip(batch.boxes, batch.labels, outlined, strict=True):
        some = some.to(batch.image.device)
        own = some[labels[some[:, 0].long()] > 0, 1:]
        found.append(own if len(own) else other)
    return found
