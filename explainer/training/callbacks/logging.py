"""Save and log pictures of a running training: in a folder, and to its loggers. None can stop the training."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from PIL import Image
from pytorch_lightning.utilities.rank_zero import rank_zero_info

from explainer.errors import InputError, is_refusal, one_line, plain_words
from explainer.files import printable
from explainer.rendering import save_picture
from explainer.training.callbacks.loggers import is_a, send_numbers, send_picture

MOST_IMAGES = 1000
"""A picture of more images than these could not be looked at."""
_REPORTED: set[tuple[int, str]] = set()
"""Trainings and series of pictures of which a failure has been told."""


def check_images(key: str, images: int) -> None:
    """Refuse a number of images that no picture can show.

    Args:
        key: Setting of the user, such as "gallery.images".
        images: Number of images, `MOST_IMAGES` at most; 0 turns the pictures off.

    Raises:
        InputError: The number is out of range; names the key.

    Example:
        >>> check_images("gallery.images", 6)
    """
    if not 0 <= images <= MOST_IMAGES:
        raise InputError(f"{key} must be from 0, which turns it off, to {MOST_IMAGES}, got {images}")


def check_cadence(key: str, every_n_steps: int | None) -> None:
    """Refuse a cadence below one step.

    Args:
        key: Setting of the user, such as "gallery.every_n_steps".
        every_n_steps: Number of steps, at least 1, or None.

    Raises:
        InputError: The number is below 1; names the key.

    Example:
        >>> check_cadence("gallery.every_n_steps", None)
    """
    if every_n_steps is not None and every_n_steps < 1:
        raise InputError(f"{key} must be at least 1, or null for none within an epoch, got {every_n_steps}")


@contextlib.contextmanager
def forgiving(trainer: pl.Trainer, name: str) -> Iterator[None]:
    """Let the training go on without a picture that the disk, the memory or the images refuse; say so once.

    Args:
        trainer: Trainer of the run.
        name: Name of the series of pictures.
    """
    try:
        yield
    except Exception as error:
        # a mistake in the program is no such refusal: it should be seen, and mended
        if not isinstance(error, InputError) and not is_refusal(error):
            raise
        words = str(error) if isinstance(error, InputError) else plain_words(error)
        _report(trainer, name, f"{name} is not shown, the training goes on: {words}")


@contextlib.contextmanager
def sending(trainer: pl.Trainer, logger: Any) -> Iterator[None]:
    """Let the training go on without what a logger does not take; say so once.

    Args:
        trainer: Trainer of the run.
        logger: Logger that is called in the block, and nothing else: it may raise what it likes.
    """
    try:
        yield
    except Exception as error:
        name = type(logger).__name__
        _report(trainer, name, f"{name} lacks some of the curves and pictures: {one_line(error)}")


def _report(trainer: pl.Trainer, name: str, words: str) -> None:
    """Print a failure, unless the training had one under this name before."""
    if (id(trainer), name) not in _REPORTED:
        _REPORTED.add((id(trainer), name))
        rank_zero_info(printable(words))


def show(trainer: pl.Trainer, name: str, picture: Image.Image, folder: Path | None = None) -> None:
    """Save a picture as <folder>/<name>/step_<step>.png, and log it to each logger that takes pictures.

    Args:
        trainer: Trainer of the run, which knows the step and the loggers.
        name: Name of the series of pictures.
        picture: Picture to show.
        folder: Folder of the run; None takes the Trainer's.
    """
    # a trial run must leave the folder of the real one as it is
    if not trainer.fast_dev_run:  # type: ignore[attr-defined]
        with forgiving(trainer, name):
            parent = (folder or Path(trainer.default_root_dir)) / name
            save_picture(picture, parent / f"step_{trainer.global_step:07d}.png")
    for logger in trainer.loggers:
        with sending(trainer, logger):
            send_picture(logger, name, picture, logged_step(trainer))


def logged_step(trainer: pl.Trainer) -> int:
    """Return the step under which Lightning logs the scalars of this moment, so that pictures stand beside them.

    It counts batches after which an optimizer stepped, from 0, and so is one less than the steps that are done.
    """
    return int(trainer.fit_loop.epoch_loop._batches_that_stepped)


def log_numbers(trainer: pl.Trainer, numbers: Mapping[str, float]) -> None:
    """Log numbers to every logger, as curves.

    Args:
        trainer: Trainer of the run, which knows the step and the loggers.
        numbers: Name → number.
    """
    for logger in trainer.loggers:
        with sending(trainer, logger):
            send_numbers(logger, numbers, logged_step(trainer))


def log_to_wandb(trainer: pl.Trainer, make: Callable[[], Mapping[str, Any]]) -> None:
    """Log to wandb, where there is one, what no other logger could show.

    Args:
        trainer: Trainer of the run, which knows the step and the loggers.
        make: Function that returns key → table or list of pictures; not called without wandb.
    """
    for logger in trainer.loggers:
        if is_a(logger, "WandbLogger"):
            with forgiving(trainer, "a part of what goes to wandb"):
                values = make()
                with sending(trainer, logger):
                    logger.log_metrics(dict(values), step=logged_step(trainer))
