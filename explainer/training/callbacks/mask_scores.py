"""Log how good the masks are, as curves: the segmentation scores of the target mask on validation images."""

from typing import Any

import pytorch_lightning as pl
import torch
from torchmetrics import MeanMetric

from explainer.errors import check_range
from explainer.functional.masking import composite, target_mask
from explainer.metrics import mean_absolute_error, saliency_metric, soft_accuracy, soft_iou, truth_and_weight
from explainer.training.processes import gathered


class Scores(pl.Callback):
    """Log val/acc, val/iou, val/mae and val/sal of an Explainer where the data set has segmentations.

    The training never sees these segmentations.

    Args:
        batches: Number of validation batches scored, the first ones of each process; each costs one more forward pass.
            0 turns the scores off.

    Raises:
        InputError: `batches` is negative.
    """

    def __init__(self, batches: int = 8) -> None:
        check_range("scores.batches", batches, 0)
        self.batches = batches
        self._means: dict[str, MeanMetric] = {}

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start with empty scores."""
        self._means = {}
        for name in ("acc", "iou", "mae", "sal"):
            # an image without an object has no score, which is NaN
            mean = MeanMetric(nan_strategy="ignore", sync_on_compute=False)
            self._means[name] = mean.to(pl_module.device)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Score a batch."""
        if pl_module.kind != "explainer" or batch_idx >= self.batches:
            return
        if batch.segmentation is None or not batch.id:
            return
        mask = target_mask(pl_module(batch.image), batch.labels)
        explanandum = pl_module.explanandum
        masked = composite(batch.image, mask, explanandum.mean_colour)
        logits = explanandum(masked).float()
        truth, weight = truth_and_weight(batch.segmentation, batch.labels)
        self._means["acc"].update(soft_accuracy(mask, truth, weight))
        self._means["iou"].update(soft_iou(mask, truth, weight))
        self._means["mae"].update(mean_absolute_error(mask, truth, weight))
        self._means["sal"].update(saliency_metric(mask, logits, batch.labels))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log what was scored."""
        sums = {}
        for name, mean in self._means.items():
            sums[name] = (float(mean.mean_value), float(mean.weight))
        # in all processes alike, whatever each has scored
        parts = gathered(sums, pl_module.device)
        for name, mean in self._means.items():
            total = sum(part[name][0] for part in parts)
            weight = sum(part[name][1] for part in parts)
            # of a data set without segmentations, or without an object in these batches, there is nothing to log
            if weight == 0:
                continue
            value = mean.compute() if len(parts) == 1 else torch.tensor(total / weight)
            pl_module.log(f"val/{name}", value, prog_bar=name == "iou")
