"""Checks before the long work starts: settings, names, and networks that do not fit the images."""

import inspect
import os
from pathlib import Path

import torch
from jsonargparse import Namespace

from explainer.cli.including import read_config
from explainer.cli.reading import find_config
from explainer.data import ImageDataModule
from explainer.errors import InputError
from explainer.networks.loading import read_tensors
from explainer.networks.modes import evaluation_mode
from explainer.training.modules import SaliencyModule

# Lightning takes smaller values without a word, or fails late on them
_LEAST: dict[str, float] = {
    "trainer.accumulate_grad_batches": 1,
    "trainer.check_val_every_n_epoch": 1,
    "trainer.gradient_clip_val": 0,
    "trainer.fast_dev_run": 0,
    "trainer.log_every_n_steps": 0,
    "trainer.num_sanity_val_steps": -1,
    "trainer.max_epochs": -1,
    "trainer.max_steps": -1,
}
_POSITIVE = ("trainer.limit_train_batches", "trainer.limit_val_batches", "trainer.val_check_interval")
_LONGEST_NAME = 200
"""Bytes of a part of a run's name."""


def check_settings(config: Namespace) -> None:
    """Refuse settings that Lightning takes, or refuses late and in other words.

    Args:
        config: Parsed config of a run.

    Raises:
        InputError: Names the key.
    """
    for key, least in _LEAST.items():
        value = config.get(key)
        if isinstance(value, int | float) and not value >= least:
            raise InputError(f"{key} must be at least {least:g}, got {value:g}")
    for key in _POSITIVE:
        value = config.get(key)
        if isinstance(value, int | float) and not value > 0:
            raise InputError(f"{key} must be positive, got {value:g}: without such batches there is nothing to choose")
    epochs = config.get("trainer.max_epochs")
    steps = config.get("trainer.max_steps")
    every = config.get("trainer.check_val_every_n_epoch")
    if epochs == 0 or steps == 0:
        raise InputError("trainer.max_epochs and max_steps must not be 0: nothing would be trained")
    if epochs and every and epochs > 0 and every > epochs:
        raise InputError(
            f"trainer.check_val_every_n_epoch {every} is beyond the {epochs} epochs: no checkpoint is best"
        )
    if config.get("trainer.enable_checkpointing") is False:
        raise InputError("trainer.enable_checkpointing must not be false: the result of a run is its checkpoint")
    seed = config.get("seed_everything")
    if not isinstance(seed, bool) and isinstance(seed, int) and not 0 <= seed < 2**32:
        raise InputError(f"seed_everything must lie in [0, 2**32), got {seed}")
    check_devices(config)
    check_chain(config.get("explanandum_config"))


def check_devices(config: Namespace) -> None:
    """Refuse more processes on a CPU than it has cores; Lightning itself refuses more GPUs than there are.

    Args:
        config: Config of a run.

    Raises:
        InputError: Says how many cores there are.
    """
    devices = process_count(config)
    cores = os.cpu_count() or 1
    if _on_cpu(config) and devices > cores:
        raise InputError(f"trainer.devices is {devices}, and this machine's CPU has {cores} cores")


def _on_cpu(config: Namespace) -> bool:
    return config.get("trainer.accelerator") == "cpu" or not torch.cuda.is_available()


def process_count(config: Namespace) -> int:
    """Return how many processes a config starts on a machine: by their number, by their devices, or on all GPUs.

    Args:
        config: Config of a run.

    Example:
        >>> process_count(Namespace(trainer=Namespace(devices="2")))
        2
        >>> process_count(Namespace(trainer=Namespace(devices="[1, 3, 5]")))
        3
    """
    devices = str(config.get("trainer.devices"))  # the parser leaves a number as text, since text is allowed too
    if devices.isdecimal():
        return int(devices)
    if devices in ("auto", "-1", "None"):
        return 1 if _on_cpu(config) else torch.cuda.device_count()
    return len([name for name in devices.strip("[]").split(",") if name.strip()])


def check_name(name: str) -> None:
    """Refuse a run's name that is no name of a folder below runs/.

    Args:
        name: Name, which may have parts, divided by "/".

    Raises:
        InputError: Says what the name must not have.

    Example:
        >>> check_name("grid/cell")
    """
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in name:
        raise InputError(f"--name {name!r} is no name of a folder in runs/: leave out '..', and '/' at its ends")
    if not name.isprintable():
        raise InputError(f"--name {name!r} has a character that cannot be printed")
    # file systems take 255 bytes, of which suffixes need some
    longest = max(len(part.encode("utf-8", "replace")) for part in parts)
    if longest > _LONGEST_NAME:
        raise InputError(f"--name is too long: at most {_LONGEST_NAME} bytes")


def check_chain(config: str | None) -> None:
    """Refuse configs whose explanandums' configs name one another in a circle: training first would never end.

    Args:
        config: Config of the first explanandum, or None.

    Raises:
        InputError: Names the config that comes back to itself.
    """
    seen: set[Path] = set()
    while config:
        try:
            path = find_config(config)
        except InputError:
            return  # it is missed only when there is something to train by it
        resolved = Path(path).resolve()
        if resolved in seen:
            raise InputError(f"explanandum_config {config} comes back to itself: name the config of a classifier")
        seen.add(resolved)
        named = read_config(path).get("explanandum_config")
        if not isinstance(named, str):
            return
        config = named


def with_stand_in(config: Namespace, checkpoint: Path, source: Namespace, data: ImageDataModule) -> Namespace:
    """Return a config in which an untrained network stands for a checkpoint that is trained first.

    Args:
        config: Config of a run whose model names the checkpoint.
        checkpoint: File that is missing so far.
        source: Config that trains the checkpoint.
        data: DataModule, for the number of classes.

    Returns:
        A copy that can be built.
    """
    config = config.clone()
    given = source.get("model.init_args.explanandum") or Namespace()
    given = given.get("init_args", given)
    for key, value in list(config.items()):
        if value != str(checkpoint):
            continue
        if key.endswith(".network"):
            stem = key.removesuffix(".network")
            for name in ("network", "network_args", "mean", "std", "taps"):
                config[f"{stem}.{name}"] = given.get(name)
            config[f"{stem}.num_classes"] = len(data.classes)
            config[f"{stem}.multilabel"] = data.multilabel
            config[f"{stem}.weights"] = None
        elif key.endswith(".encoder_weights"):
            config[key] = None
    return config


def try_out(model: SaliencyModule, data: ImageDataModule) -> None:
    """Build all that training needs, and show the network one image, so that what does not fit is known at once.

    Args:
        model: Module, which is built and keeps its state.
        data: DataModule, which is downloaded where it is missing, and whose splits are listed.

    Raises:
        InputError: A split is empty, a network does not take images of this size, or the optimizer refuses a value.
    """
    data.prepare_data()
    data.split("train")
    data.split("val")
    model.image_size = data.image_size
    model.build(tuple(data.classes), data.multilabel)
    try:
        model.configure_optimizers()
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"model.init_args.optimizer or scheduler: {str(error).splitlines()[0]}") from error
    # modules that take more than an image, such as in-painters with their mask, are not shown one
    if len(inspect.signature(model.forward).parameters) == 1:
        show_one_image(model, data.image_size, data.channels)


def show_one_image(model: SaliencyModule, size: int, channels: int = 3) -> None:
    """Run the network on one grey image without a trace: no gradient, no random draw, no statistic is left.

    Args:
        model: Module that takes images (B, C, H, W).
        size: Side of the image in pixels.
        channels: Number C of its channels.

    Raises:
        InputError: The network cannot take an image of that size.
    """
    image = torch.full((1, channels, size, size), 0.5)
    try:
        with torch.no_grad(), evaluation_mode(model), torch.random.fork_rng(devices=[]):
            model(image)
    except InputError:
        raise
    except (RuntimeError, ValueError, MemoryError) as error:
        # a MemoryError has no words of its own
        words = "not enough memory" if isinstance(error, MemoryError) else str(error).splitlines()[0][:200]
        raise InputError(f"data.init_args.image_size {size}: the network cannot take such an image: {words}") from error


def check_interval(config: Namespace, data: ImageDataModule) -> None:
    """Refuse a validation interval beyond an epoch's batches, and more processes than batches.

    Args:
        config: Config of a run.
        data: DataModule, whose splits are listed.

    Raises:
        InputError: Names the key.
    """
    processes = max(1, process_count(config) * int(config.get("trainer.num_nodes") or 1))
    images = len(data.split("train"))
    if processes > images:
        raise InputError(f"there are {processes} processes and {images} training images: lower trainer.devices")
    interval = config.get("trainer.val_check_interval")
    batches = max(1, images // processes // data.batch_size)
    if isinstance(interval, int) and interval > batches and config.get("trainer.check_val_every_n_epoch"):
        raise InputError(f"trainer.val_check_interval is {interval}, and an epoch has {batches} batches")


def check_unfinished(path: Path, epochs: int | None) -> None:
    """Refuse to go on from a checkpoint whose training has nothing left to do: nothing would come of it.

    Args:
        path: Checkpoint to go on from.
        epochs: Number of epochs of the whole run; None or -1 for no limit.

    Raises:
        InputError: Says how many epochs are done.
    """
    loops = read_tensors(path).get("loops", {})
    progress = loops.get("fit_loop", {}).get("epoch_progress", {})
    done = progress.get("current", {}).get("processed", 0)
    if epochs is not None and 0 <= epochs <= done:
        raise InputError(f"{path} has trained {done} epochs already: set trainer.max_epochs above, to train on from it")
