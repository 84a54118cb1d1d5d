"""Where a picture of a running training goes: the run's folder, and wandb. None of it can stop the training."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import wandb
from PIL import Image
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_info

from explainer.errors import InputError, is_refusal, plain_words
from explainer.files import printable
from explainer.rendering import save_picture

MOST_IMAGES = 1000
"""A picture of more images than these could not be looked at."""
_SAID: set[tuple[int, str]] = set()


def check_images(key: str, images: int) -> None:
    """Refuse a number of images that no picture can show.

    Args:
        key: What the user set, such as "gallery.images".
        images: At most `MOST_IMAGES`; 0 turns the pictures off.

    Raises:
        InputError: Names the key.

    Example:
        >>> check_images("gallery.images", 6)
    """
    if not 0 <= images <= MOST_IMAGES:
        raise InputError(f"{key} must be from 0, which turns it off, to {MOST_IMAGES}, got {images}")


def check_cadence(key: str, every_n_steps: int | None) -> None:
    """Refuse a cadence that is none.

    Args:
        key: What the user set, such as "gallery.every_n_steps".
        every_n_steps: At least 1, or None.

    Raises:
        InputError: Names the key.

    Example:
        >>> check_cadence("gallery.every_n_steps", None)
    """
    if every_n_steps is not None and every_n_steps < 1:
        raise InputError(f"{key} must be at least 1, or null for none within an epoch, got {every_n_steps}")


@contextlib.contextmanager
def forgiving(trainer: pl.Trainer, name: str) -> Iterator[None]:
    """Let the training go on without a picture that the disk, the memory or the images refuse; say so once.

    Args:
        trainer: Whose training it is.
        name: Of the series of pictures.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, InputError) and not is_refusal(error):
            raise
        if (id(trainer), name) not in _SAID:
            _SAID.add((id(trainer), name))
            words = str(error) if isinstance(error, InputError) else plain_words(error)
            rank_zero_info(f"{name} is not shown, the training goes on: {printable(words)}")


def show(trainer: pl.Trainer, name: str, picture: Image.Image) -> None:
    """Save a picture as <run's folder>/<name>/step_<step>.png, and log it to wandb.

    Args:
        trainer: Knows the step, the folder and the loggers.
        name: Of the series.
        picture: To be seen.
    """
    if not trainer.fast_dev_run:  # type: ignore[attr-defined]
        with forgiving(trainer, name):
            save_picture(picture, Path(trainer.default_root_dir) / name / f"step_{trainer.global_step:07d}.png")
    log(trainer, lambda: {name: wandb.Image(picture)})


def logged_step(trainer: pl.Trainer) -> int:
    """Return the step under which Lightning logs the scalars of this moment, so that pictures stand beside them.

    It counts batches after which an optimizer stepped, from 0, and so is one less than the steps that are done.
    """
    return int(trainer.fit_loop.epoch_loop._batches_that_stepped)


def log(trainer: pl.Trainer, make: Callable[[], dict[str, Any]]) -> None:
    """Log to wandb, where there is one.

    Args:
        trainer: Knows the step and the loggers.
        make: Gives key → number, picture or list of pictures; not called without wandb.
    """
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            with forgiving(trainer, "a part of what goes to wandb"):
                logger.log_metrics(make(), step=logged_step(trainer))
