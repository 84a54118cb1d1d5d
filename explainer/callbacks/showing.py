"""Where a picture of a running training goes: the run's folder, and wandb."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import wandb
from PIL import Image
from pytorch_lightning.loggers import WandbLogger


def show(trainer: pl.Trainer, name: str, picture: Image.Image) -> None:
    """Save a picture as <run's folder>/<name>/step_<step>.png, and log it to wandb.

    Args:
        trainer: Knows the step, the folder and the loggers.
        name: Of the series.
        picture: To be seen.
    """
    if not trainer.fast_dev_run:  # type: ignore[attr-defined]
        folder = Path(trainer.default_root_dir) / name
        folder.mkdir(parents=True, exist_ok=True)
        picture.save(folder / f"step_{trainer.global_step:07d}.png")
    log(trainer, lambda: {name: wandb.Image(picture)})


def log(trainer: pl.Trainer, make: Callable[[], dict[str, Any]]) -> None:
    """Log to wandb, where there is one.

    Args:
        trainer: Knows the step and the loggers.
        make: Gives key → number, picture or list of pictures; not called without wandb.
    """
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_metrics(make(), step=trainer.global_step)
