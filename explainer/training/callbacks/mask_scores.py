"""Log how good the masks are, as curves: the segmentation scores of the target mask on validation images."""

from typing import Any

import pytorch_lightning as pl

from explainer.errors import check_range
from explainer.functional.masking import composite, target_mask
from explainer.metrics import MaskMAE, SaliencyMetric, SoftAccuracy, SoftIoU


class Scores(pl.Callback):
    """Log val/acc, val/iou, val/mae and val/sal of an Explainer where the data set has segmentations.

    The training never sees these segmentations.

    Args:
        batches: Number of validation batches scored, the first ones; each costs one more forward pass. 0 turns the
            scores off.

    Raises:
        InputError: `batches` is negative.
    """

    def __init__(self, batches: int = 8) -> None:
        check_range("scores.batches", batches, 0)
        self.batches = batches
        self._metrics: dict[str, Any] = {}

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start with empty scores."""
        metrics = {"acc": SoftAccuracy(), "iou": SoftIoU(), "mae": MaskMAE(), "sal": SaliencyMetric()}
        self._metrics = {name: metric.to(pl_module.device) for name, metric in metrics.items()}

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Score a batch."""
        if pl_module.kind != "explainer" or batch_idx >= self.batches or batch.segmentation is None or not batch.id:
            return
        mask = target_mask(pl_module(batch.image), batch.labels)
        logits = pl_module.explanandum(composite(batch.image, mask, pl_module.explanandum.mean_colour)).float()
        for name in ("acc", "iou", "mae"):
            self._metrics[name].update(mask, batch.segmentation, batch.labels)
        self._metrics["sal"].update(mask, logits, batch.labels)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log what was scored."""
        for name, metric in self._metrics.items():
            if metric.count > 0:
                pl_module.log(f"val/{name}", metric.compute(), prog_bar=name == "iou")
