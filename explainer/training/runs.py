"""Manage a run's folder: who may work in it, what becomes of an earlier run, and what a run goes on from."""

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning.utilities.rank_zero import rank_zero_info

from explainer.data.later import without_unused
from explainer.errors import InputError
from explainer.files import alone, digest, read_state, sweep, write_json
from explainer.networks.checkpoint import read_checkpoint
from explainer.training.callbacks.best import BEST
from explainer.training.callbacks.resume import LAST

RUNS = Path("runs")
"""Where runs keep their state, below the current folder."""
CHECKPOINTS = Path("checkpoints")
"""Where the best checkpoint of a finished run is put, below the current folder."""
CONFIG = "config.yaml"
INPUTS = "inputs.json"
_WITHOUT_EFFECT = {
    "trainer": {
        "accelerator",
        "strategy",
        "logger",
        "log_every_n_steps",
        "enable_progress_bar",
        "enable_model_summary",
        "enable_checkpointing",
        "default_root_dir",
        "profiler",
        "fast_dev_run",
        "num_sanity_val_steps",
        "plugins",
        "model_registry",
        "barebones",
        "enable_autolog_hparams",
    },
    "data": {"num_workers", "download", "strict"},
}
"""Settings that change how a run is computed and shown, but not its result."""


def alone_in(folder: Path) -> AbstractContextManager[None]:
    """Hold the lock of a run's folder, which lies beside it: the folder itself may be moved.

    Args:
        folder: Folder of the run.

    Raises:
        InputError: Another process trains in it.
    """
    return alone(folder.with_name(f".{folder.name}.lock"), str(folder))


def can_go_on(folder: Path) -> bool:
    """Tell whether a run's folder holds a checkpoint."""
    return (folder / LAST).is_file() or (folder / BEST).is_file()


def newest(folder: Path, kind: str) -> Path:
    """Find the checkpoint that a run goes on from: `last.ckpt`, or where a crash tore or lost it `best.ckpt`.

    Both hold the whole state. From the older one, more epochs are computed again; they come out the same.

    Args:
        folder: Folder of the run.
        kind: Kind of the module that is trained.

    Returns:
        Path of the checkpoint.

    Raises:
        InputError: There is no checkpoint, or it is of another module.
    """
    if not can_go_on(folder):
        raise InputError(f"nothing to go on with: no {folder / LAST}; leave out --ckpt_path last")
    try:
        # read, not only looked for: a torn file exists too
        read_checkpoint(folder / LAST, kind)
        return folder / LAST
    except InputError as error:
        reason = error
    try:
        read_checkpoint(folder / BEST, kind)
    except InputError:
        raise InputError(f"{reason}; leave out --ckpt_path last, and the run begins anew") from reason
    rank_zero_info(f"{folder / LAST} is missing or damaged: going on from {folder / BEST}, the best epoch")
    return folder / BEST


def begin(folder: Path, going_on: bool) -> None:
    """Make the folder ready; an earlier run in it is moved out of the way, so that nothing computed is lost.

    Args:
        folder: Folder of the run.
        going_on: Whether the run in the folder goes on; else it is moved away.
    """
    if going_on:
        sweep(folder)
    elif folder.exists():
        aside = set_aside(folder)
        rank_zero_info(f"an earlier run is kept as {aside} (to go on with it instead: --ckpt_path last)")
    folder.mkdir(parents=True, exist_ok=True)


def set_aside(folder: Path) -> Path:
    """Move a folder to a name beside it that tells the time.

    Args:
        folder: Folder that exists.

    Returns:
        New path of the folder; folders that are moved within the same second are numbered.
    """
    # local time: a person looks for the run of yesterday evening
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime())
    target = folder.with_name(f"{folder.name}.{stamp}")
    number = 0
    while target.exists():
        number += 1
        target = folder.with_name(f"{folder.name}.{stamp}-{number}")
    folder.rename(target)
    return target


def note_inputs(folder: Path, config: Mapping[str, object]) -> None:
    """Write down which files a run is made from, so that a later one knows whether they are the same.

    Args:
        folder: Folder of the run.
        config: Settings of the run in plain values.
    """
    write_json(folder / INPUTS, digests(config))


def same_run(folder: Path, config: Mapping[str, object]) -> bool:
    """Tell whether the run in a folder was started with these settings, and from the same files.

    Args:
        folder: Folder of the run, as an earlier call left it.
        config: Settings in plain values, as they are now.

    Returns:
        Whether both are the same; False too where the folder lacks the files that tell.
    """
    try:
        earlier = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        # what cannot be read cannot be compared: it counts as another run, which is moved aside and not lost
        return False
    if not isinstance(earlier, dict):
        return False
    if by_class(what_matters(earlier)) != by_class(what_matters(config)):
        return False
    inputs = read_state(folder / INPUTS, dict[str, str])  # runs of earlier versions have no such file
    return inputs is None or inputs == digests(config)


def what_matters(config: Mapping[str, object]) -> dict[str, object]:
    """Return the settings on which the result of a training depends.

    Args:
        config: Settings of a run in plain values.

    Example:
        >>> what_matters({"trainer": {"max_epochs": 2, "logger": False}, "gallery": {"images": 6}})
        {'seed_everything': None, 'model': None, 'data': None, 'trainer': {'max_epochs': 2}}
    """
    parts = {key: config.get(key) for key in ("seed_everything", "model", "data", "trainer")}
    parts["data"] = without_unused(parts["data"])
    return {key: without(part, _WITHOUT_EFFECT.get(key, set())) for key, part in parts.items()}


def by_class(value: Any) -> Any:
    """Return a nested value in which a class is named by its last name: where its file lies changes no result.

    Args:
        value: Nested plain values, such as a config's.

    Example:
        >>> by_class({"model": {"class_path": "explainer.training.modules.Classifier"}})
        {'model': {'class_path': 'Classifier'}}
    """
    if isinstance(value, list | tuple):
        return [by_class(part) for part in value]
    if not isinstance(value, dict):
        return value
    shortened = {key: by_class(part) for key, part in value.items()}
    if isinstance(shortened.get("class_path"), str):
        shortened["class_path"] = shortened["class_path"].rpartition(".")[2]
    return shortened


def without(value: Any, keys: set[str]) -> Any:
    """Return a nested value without some keys, at any depth."""
    if isinstance(value, dict):
        return {key: without(part, keys) for key, part in value.items() if key not in keys}
    if isinstance(value, list | tuple):
        return [without(part, keys) for part in value]
    return value


def digests(config: Mapping[str, object]) -> dict[str, str]:
    """Return path → digest of the checkpoints that the settings of model and data name."""
    named = {*texts(config.get("model")), *texts(config.get("data"))}
    paths = [path for path in sorted(named) if is_checkpoint(path)]
    # by content: a classifier that was trained anew under its old name makes another run
    return {path: digest(path) for path in paths}


def is_checkpoint(path: str) -> bool:
    """Tell whether a setting is the path of a checkpoint that exists."""
    return path.endswith((".ckpt", ".pt", ".pth", ".safetensors")) and Path(path).is_file()


def texts(value: Any) -> Iterator[str]:
    """Yield all strings in a nested value."""
    if isinstance(value, str):
        yield value
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list | tuple):
        return
    for part in value:
        yield from texts(part)
