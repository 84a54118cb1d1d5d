"""Send pictures and numbers to the loggers of a training, of either of Lightning's import names.

A logger is known by the name of its class: `lightning.pytorch` and `pytorch_lightning` have the same loggers twice.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_WITH_FOLDER = ("CSVLogger", "TensorBoardLogger")
"""Loggers that write the files of a run into a folder of its own, their `log_dir`."""


def is_a(logger: Any, name: str) -> bool:
    """Tell whether a logger is of a class, or of one that is derived from it.

    Args:
        logger: Logger of a Trainer.
        name: Name of the class, such as "WandbLogger".

    Example:
        >>> is_a(3, "int"), is_a(True, "int"), is_a(3, "CSVLogger")
        (True, True, False)
    """
    return any(kind.__name__ == name for kind in type(logger).__mro__)


def send_picture(logger: Any, name: str, picture: Image.Image, step: int) -> None:
    """Send a picture to a logger that takes pictures: wandb, TensorBoard or MLflow; any other is passed over.

    Args:
        logger: Logger of a Trainer.
        name: Name of the series of pictures.
        picture: Picture, RGB.
        step: Step under which it stands.
    """
    if is_a(logger, "WandbLogger"):
        import wandb  # late: it takes a second, for which those who do not use it do not wait

        logger.log_metrics({name: wandb.Image(picture)}, step=step)
    elif is_a(logger, "TensorBoardLogger"):
        pixels = np.asarray(picture.convert("RGB"))
        logger.experiment.add_image(name, pixels, step, dataformats="HWC")
    elif is_a(logger, "MLFlowLogger"):
        # by key and step: MLflow then shows the series with a slider
        logger.experiment.log_image(logger.run_id, picture, key=name, step=step)


def send_numbers(logger: Any, numbers: Mapping[str, float], step: int) -> None:
    """Send numbers to a logger, as curves; every logger of Lightning takes those.

    Args:
        logger: Logger of a Trainer.
        numbers: Name → number.
        step: Step under which they stand.
    """
    logger.log_metrics(dict(numbers), step=step)


def folder_of(trainer: Any) -> Path:
    """Return the folder in which the files of a run lie.

    `Trainer.log_dir` would ask all processes, and wait for ever where only the first one asks.

    Args:
        trainer: Trainer of the run.

    Returns:
        The folder of the first logger that has one for the run, else the Trainer's.
    """
    for logger in trainer.loggers:
        if any(is_a(logger, name) for name in _WITH_FOLDER):
            return Path(logger.log_dir)
    return Path(trainer.default_root_dir)
