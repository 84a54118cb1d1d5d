"""A run's folder: who may work in it, what becomes of an earlier run in it, and what a run can go on from."""

import hashlib
import itertools
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning.utilities.rank_zero import rank_zero_info

from explainer.errors import InputError
from explainer.files import alone, read_state, sweep, write_json
from explainer.networks.checkpoint import read_checkpoint
from explainer.training.callbacks.best import BEST
from explainer.training.callbacks.resume import LAST

RUNS = Path("runs")
"""Where runs keep their state, below the current folder."""
CHECKPOINTS = Path("checkpoints")
"""Where the best checkpoint of a finished run is put, below the current folder."""
CONFIG, INPUTS = "config.yaml", "inputs.json"
_HOW = {
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
"""Settings that say how a run is computed and shown; all others say what comes out."""


def alone_in(folder: Path) -> AbstractContextManager[None]:
    """Hold the lock of a run's folder, which lies beside it: the folder itself may be moved.

    Args:
        folder: The run's folder.

    Raises:
        InputError: Another process trains in it.
    """
    return alone(folder.with_name(f".{folder.name}.lock"), str(folder))


def can_go_on(folder: Path) -> bool:
    """Whether a run's folder holds a checkpoint."""
    return (folder / LAST).is_file() or (folder / BEST).is_file()


def newest(folder: Path, kind: str) -> Path:
    """Find the checkpoint that a run goes on from: `last.ckpt`, or where a crash tore or lost it `best.ckpt`.

    Both hold the whole state; from the older one more epochs are computed again, and come out the same.

    Args:
        folder: The run's folder.
        kind: Kind of the module that is trained.

    Returns:
        The checkpoint.

    Raises:
        InputError: There is none, or it is of another module.
    """
    if not can_go_on(folder):
        raise InputError(f"nothing to go on with: no {folder / LAST}; leave out --ckpt_path last")
    try:
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
        folder: The run's folder.
        going_on: Go on in it instead.
    """
    if going_on:
        sweep(folder)
    elif folder.exists():
        kept = set_aside(folder)
        rank_zero_info(f"an earlier run is kept as {kept} (to go on with it instead: --ckpt_path last)")
    folder.mkdir(parents=True, exist_ok=True)


def set_aside(folder: Path) -> Path:
    """Move a folder to a name beside it that tells the time.

    Args:
        folder: Must be there.

    Returns:
        Its new path; of folders moved within the same second the later ones are numbered.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime())
    names = (folder.with_name(f"{folder.name}.{stamp}{f'-{n}' if n else ''}") for n in itertools.count())
    kept = next(path for path in names if not path.exists())
    folder.rename(kept)
    return kept


def note_inputs(folder: Path, config: dict[str, Any]) -> None:
    """Write down which files a run is made from, so that a later one knows whether they are the same.

    Args:
        folder: The run's folder.
        config: Its settings in plain values.
    """
    write_json(folder / INPUTS, digests(config))


def same_run(folder: Path, config: dict[str, Any]) -> bool:
    """Whether the run in a folder was started with these settings, and from the same files.

    Args:
        folder: The run's folder, as an earlier call left it.
        config: Settings in plain values, as they are now.

    Returns:
        False as well where the folder does not tell.
    """
    try:
        earlier = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return False
    if not isinstance(earlier, dict) or by_class(what_matters(earlier)) != by_class(what_matters(config)):
        return False
    inputs = read_state(folder / INPUTS, dict[str, str])  # runs of earlier versions have no such file
    return inputs is None or inputs == digests(config)


def what_matters(config: dict[str, Any]) -> dict[str, Any]:
    """The settings on which the result of a training depends.

    Args:
        config: Of a run, in plain values.

    Example:
        >>> what_matters({"trainer": {"max_epochs": 2, "logger": False}, "gallery": {"images": 6}})
        {'seed_everything': None, 'model': None, 'data': None, 'trainer': {'max_epochs': 2}}
    """
    parts = {key: config.get(key) for key in ("seed_everything", "model", "data", "trainer")}
    return {key: without(part, _HOW.get(key, set())) for key, part in parts.items()}


def by_class(value: Any) -> Any:
    """A nested value in which a class is named by its last name: where its file lies changes no result.

    Args:
        value: Plain values, such as a config's.

    Example:
        >>> by_class({"model": {"class_path": "explainer.training.modules.Classifier"}})
        {'model': {'class_path': 'Classifier'}}
    """
    if isinstance(value, dict):
        return {
            key: part.rpartition(".")[2] if key == "class_path" and isinstance(part, str) else by_class(part)
            for key, part in value.items()
        }
    return [by_class(part) for part in value] if isinstance(value, list | tuple) else value


def without(value: Any, keys: set[str]) -> Any:
    """A nested value without some keys, at any depth."""
    if isinstance(value, dict):
        return {key: without(part, keys) for key, part in value.items() if key not in keys}
    return [without(part, keys) for part in value] if isinstance(value, list | tuple) else value


def digests(config: dict[str, Any]) -> dict[str, str]:
    """Path → digest, of the checkpoints that the settings of model and data name."""
    paths = sorted({text for key in ("model", "data") for text in texts(config.get(key))})
    return {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths if is_checkpoint(path)}


def is_checkpoint(path: str) -> bool:
    """Whether a setting is the path of a checkpoint that is there."""
    return path.endswith((".ckpt", ".pt", ".pth", ".safetensors")) and Path(path).is_file()


def texts(value: Any) -> Iterator[str]:
    """All strings in a nested value."""
    if isinstance(value, str):
        yield value
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    for part in parts:
        yield from texts(part)
