"""Keep `last.ckpt` in the run's folder, so that a run that was stopped, or killed, goes on as if it had not been."""

import signal
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.utilities.rank_zero import rank_zero_info

LAST = "last.ckpt"


class Resume(Checkpoint):
    """Saves the state every so many steps, at the end of each epoch, and at Ctrl-C.

    The state includes PyTorch's random number generators; the order of the images and their augmentation are functions
    of seed and epoch. So a resumed run on a CPU ends in the same weights, to the bit, as an uninterrupted one.
    The first Ctrl-C finishes the step, saves and stops; the second one stops at once.

    Args:
        every_n_steps: Optimizer steps between saves within an epoch; at most so many are computed twice.
    """

    def __init__(self, every_n_steps: int = 200) -> None:
        self.every_n_steps = every_n_steps
        self._interrupted, self._saved = False, 0
        self._random: dict[str, Any] | None = None
        self._previous: Any = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over Ctrl-C."""
        self._interrupted = False
        self._previous = signal.signal(signal.SIGINT, self._interrupt)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give Ctrl-C back."""
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True
        rank_zero_info("\nstopping after this step (in validation: after it); Ctrl-C again stops at once")

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the state of the random number generators to every checkpoint."""
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        checkpoint["random"] = {"cpu": torch.get_rng_state(), "cuda": cuda}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the state until training starts: building and checking come in between."""
        self._random = checkpoint.get("random")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the random number generators."""
        if self._random is not None:
            torch.set_rng_state(self._random["cpu"].cpu())
            if self._random["cuda"] and len(self._random["cuda"]) == torch.cuda.device_count():
                torch.cuda.set_rng_state_all([state.cpu() for state in self._random["cuda"]])
            self._random = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save within the epoch; its last batch is left to the end of the epoch, which comes after validation."""
        epoch_loop = trainer.fit_loop.epoch_loop
        if epoch_loop.batch_progress.is_last_batch or epoch_loop._should_accumulate():
            return
        due = trainer.global_step % self.every_n_steps == 0 and trainer.global_step != self._saved
        if self._interrupted or due:
            self._save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the finished epoch."""
        self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        path = Path(trainer.default_root_dir) / LAST
        trainer.save_checkpoint(path)
        self._saved = trainer.global_step
        if self._interrupted:
            rank_zero_info(f"saved {path} at step {trainer.global_step}; go on with --ckpt_path last")
            raise KeyboardInterrupt
