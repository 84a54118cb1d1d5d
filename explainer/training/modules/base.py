"""The base of the LightningModules: the data set's classes, checkpoints that describe themselves, finite losses."""

import math
from abc import ABC, abstractmethod
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from explainer.errors import InputError
from explainer.networks.checkpoint import KEY
from explainer.networks.description import ClassifierParts, GeneratorParts
from explainer.training.means import Means
from explainer.training.processes import rank_and_world, share_buffers
from explainer.training.schedule import WarmUpCosine
from explainer.version import __version__


class NonFiniteLossError(InputError):
    """A loss term became NaN or infinite; training stops before the optimizer sees it."""


def require_finite(terms: dict[str, Tensor], step: int) -> None:
    """Stop when a loss term is NaN or infinite.

    Args:
        terms: Loss terms, name → scalar.
        step: Number of the step, for the error.

    Raises:
        NonFiniteLossError: A term is not finite; names the first one.

    Example:
        >>> require_finite({"tv": torch.tensor(1.0)}, 0)
    """
    values = torch.stack([term.detach().float() for term in terms.values()])
    # one question for all terms: each makes a GPU wait
    if bool(torch.isfinite(values).all()):
        return
    name = next(name for name, term in terms.items() if not torch.isfinite(term))
    raise NonFiniteLossError(
        f"loss term {name!r} is {float(terms[name])} at step {step}: training stopped, the last good checkpoint is "
        "kept; lower the learning rate, or look at this batch's images"
    )


class SaliencyModule(pl.LightningModule, ABC):
    """Base of every LightningModule.

    Args:
        optimizer: Function from parameters to an optimizer.
        scheduler: Function from an optimizer to a learning-rate scheduler, or None.
        scheduler_interval: Whether the scheduler steps each "epoch" or each "step".
    """

    kind: str
    """Name of the module's kind in a checkpoint, by which one of another module is recognised."""
    monitor: str
    """Name of the logged value that decides which checkpoint is best."""
    monitor_mode: Literal["min", "max"]
    image_size: int | None = None

    def __init__(
        self,
        optimizer: OptimizerCallable,
        scheduler: LRSchedulerCallable | None,
        scheduler_interval: Literal["epoch", "step"],
    ) -> None:
        super().__init__()
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.scheduler_interval = scheduler_interval
        self._means = Means()

    @abstractmethod
    def build(self, classes: tuple[str, ...], multilabel: bool) -> None:
        """Make what depends on the classes; called once before training, and again without effect."""

    @property
    @abstractmethod
    def watched(self) -> nn.Module | None:
        """The network in training whose activations are worth watching, if there is one."""

    @abstractmethod
    def watched_input(self, image: Tensor) -> Tensor:
        """Return what `watched` is fed for images (B, 3, H, W) in [0, 1]."""

    @abstractmethod
    def description(self) -> ClassifierParts | GeneratorParts:
        """Return plain values from which a checkpoint builds the networks again."""

    def setup(self, stage: str) -> None:
        """Take classes and image size from the DataModule."""
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        self.image_size = data.image_size
        self.build(tuple(data.classes), data.multilabel)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Describe the networks in the checkpoint."""
        described = {"version": __version__, "kind": self.kind, "image_size": self.image_size}
        checkpoint[KEY] = {**described, **self.description()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse the checkpoint of another module."""
        kind = checkpoint.get(KEY, {}).get("kind")
        if kind != self.kind:
            raise InputError(f"the checkpoint is of a {kind or 'another project'}, this run trains a {self.kind}")

    def configure_optimizers(self) -> Any:
        """Make one optimizer of all that is trained, and its scheduler."""
        parameters = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimizer = self.optimizer(parameters)
        if self.scheduler is None:
            return optimizer
        scheduler = self.scheduler(optimizer)
        interval = "step" if isinstance(scheduler, WarmUpCosine) else self.scheduler_interval
        # monitored in any case: of all schedulers only ReduceLROnPlateau asks, and it fails without an answer
        schedule = {"scheduler": scheduler, "interval": interval, "monitor": self.monitor}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_train_start(self) -> None:
        """Tell schedules how many steps the training has, where their config does not.

        It cannot be told when they are made: to count the steps, Lightning makes the loader, and a loader that is made
        before a checkpoint is read begins a resumed epoch from its start.
        """
        for config in self.trainer.lr_scheduler_configs:
            expected = self.trainer.estimated_stepping_batches
            if isinstance(config.scheduler, WarmUpCosine) and math.isfinite(expected):
                config.scheduler.steps = config.scheduler.steps or int(expected)

    def without_images(self) -> Tensor | None:
        """Return the loss of a training batch in which no image could be read.

        Returns:
            None, which leaves the step out. Among several processes a loss of 0, whose gradients are 0: the others wait
            for them.

        Raises:
            InputError: BatchNorm takes the statistics of all processes, which needs images from each.
        """
        if rank_and_world()[1] == 1:
            return None
        if any(isinstance(module, nn.SyncBatchNorm) for module in self.modules()):
            raise InputError(
                "no image of a batch can be read, and with trainer.sync_batchnorm the other processes wait for its "
                "statistics: leave sync_batchnorm out, or take unreadable images out of the data set"
            )
        sums = [parameter.float().sum() for parameter in self.parameters() if parameter.requires_grad]
        return 0 * torch.stack(sums).sum()

    def record(self, stage: str, terms: dict[str, Tensor], batch_size: int) -> None:
        """Log every term under `stage/`: in training at each step, else as the mean over the images of all processes.

        Args:
            stage: Stage "train", "val" or "test".
            terms: Terms of a batch, name → scalar.
            batch_size: Number of images of the batch.
        """
        values = {f"{stage}/{name}": term.detach() for name, term in terms.items()}
        if stage != "train":
            self._means.add(values, batch_size)
            return
        if self._trainer is not None and self.trainer.optimizers:
            group = self.trainer.optimizers[0].param_groups[0]
            values["train/learning_rate"] = torch.tensor(group["lr"])
        # of this process alone: to average at each step would make all wait for the slowest
        self.log_dict(values, batch_size=batch_size, on_step=True, on_epoch=False)
        self._show_loss(values)

    def _show_loss(self, values: dict[str, Tensor]) -> None:
        """Log the loss, or else the first value, once more under a short name for the progress bar alone."""
        stage_and_name = next((name for name in values if name.endswith("/loss")), next(iter(values), None))
        if stage_and_name is not None:
            name = stage_and_name.partition("/")[2]
            self.log(name, values[stage_and_name], prog_bar=True, logger=False)

    def log_means(self) -> dict[str, Tensor]:
        """Log the means over the images that all processes have validated, or tested, and begin anew.

        Returns:
            Name → mean, the same in each process.
        """
        means = self._means.take(self.device)
        self.log_dict(means)
        self._show_loss(means)
        return means

    def on_validation_start(self) -> None:
        """Validate in all processes what the first one saves."""
        share_buffers(self)

    def on_validation_epoch_start(self) -> None:
        """Begin without values of a validation that was broken off."""
        self._means.clear()

    def on_test_epoch_start(self) -> None:
        """Begin without values of another test."""
        self._means.clear()

    def on_validation_epoch_end(self) -> None:
        """Log what was validated."""
        self.log_means()

    def on_test_epoch_end(self) -> None:
        """Log what was tested."""
        self.log_means()
