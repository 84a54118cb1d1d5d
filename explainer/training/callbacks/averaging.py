"""Average the weights over the training; the average is validated, kept and published."""

import pytorch_lightning as pl
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor

from explainer.errors import check_range
from explainer.networks.ema import decay_at


class AveragedWeights(WeightAveraging):
    """An exponential moving average of the weights, of a network that exists only when its classes are known.

    Lightning's own `EMAWeightAveraging` starts from the untrained weights and forgets them slowly; here the average
    follows closely at first.

    Args:
        decay: Share of the average that stays at a step, after the first ones; in [0, 1].
    """

    def __init__(self, decay: float = 0.99) -> None:
        check_range("AveragedWeights: decay", decay, 0, 1)

        def step(average: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
            return average.lerp(current.to(average), 1 - decay_at(int(updates), decay))

        # buffers are copied, not averaged: BatchNorm's statistics are averages already, and counters have no mean
        super().__init__(use_buffers=False, avg_fn=step)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Build the module before it is copied; Lightning would do so afterwards."""
        pl_module.setup(stage)
        super().setup(trainer, pl_module, stage)
