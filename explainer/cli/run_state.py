"""Whether a run can go on from a checkpoint: Lightning finds out late, and in many ways."""

import itertools
from pathlib import Path
from typing import Any

import torch
from packaging.version import InvalidVersion, Version
from torch import Tensor
from typing_extensions import TypedDict

from explainer.errors import InputError
from explainer.files import conform
from explainer.networks.checkpoint import KEY
from explainer.networks.description import check_state as check_state_dict
from explainer.networks.loading import check_fit, read_tensors
from explainer.training.modules import SaliencyModule

_MOST_EPOCHS = 10_000_000


class _Place(TypedDict):
    """Where a training was."""

    epoch: int
    global_step: int


def check_state(path: Path, model: SaliencyModule) -> None:
    """Refuse a checkpoint that a training cannot go on from.

    Args:
        path: A file that train.py wrote in the course of a training.
        model: The module that goes on, built for its data.

    Raises:
        InputError: Names the file, and what in it is missing, torn, or of another run.
    """
    content = read_tensors(path)
    place = conform({name: content.get(name) for name in ("epoch", "global_step")}, _Place, path)
    if not 0 <= place["epoch"] <= _MOST_EPOCHS or place["global_step"] < 0:
        raise InputError(f"{path} says that {place['epoch']} epochs are done: it is damaged")
    check_version(path, content.get("pytorch-lightning_version"))
    for name, kind in (("loops", dict), ("callbacks", dict), ("optimizer_states", list), ("lr_schedulers", list)):
        if not isinstance(content.get(name), kind):
            raise InputError(f"{path} has no usable {name!r}: it holds a network, but no training that could go on")
    check_random(path, content.get("random"))
    check_described(path, content[KEY], model)
    check_fit(model, content["state_dict"], str(path))
    if "current_model_state" in content:  # beside an average of the weights, which then is the state_dict
        check_state_dict(content["current_model_state"], path)
        check_fit(model, content["current_model_state"], str(path))
    check_optimizers(path, content["optimizer_states"], model)


def check_version(path: Path, version: Any) -> None:
    """Refuse what is no version of Lightning, which upgrades checkpoints by it.

    Raises:
        InputError: Names the file.
    """
    try:
        Version(version)
    except (InvalidVersion, TypeError) as error:
        raise InputError(f"{path} names no version of Lightning: a training cannot go on from it") from error


def check_random(path: Path, random: Any) -> None:
    """Refuse states of random number generators that PyTorch does not take; none at all is an older checkpoint.

    Raises:
        InputError: Names the file.
    """
    if random is None:
        return
    state = random.get("cpu") if isinstance(random, dict) else None
    if not isinstance(state, Tensor) or state.dtype != torch.uint8 or state.shape != torch.get_rng_state().shape:
        raise InputError(f"{path} has no usable state of the random number generators: it is damaged")


def check_described(path: Path, described: dict[str, Any], model: SaliencyModule) -> None:
    """Refuse a run on other classes or at another image size: its weights would mean something else.

    Raises:
        InputError: Names what differs.
    """
    classes = model.description().get("classes")
    if classes is not None and list(described.get("classes") or []) != list(classes):
        raise InputError(f"{path} is of a training on other classes: {', '.join(list(described['classes'])[:6])}")
    if described.get("image_size") != model.image_size:
        size = described.get("image_size")
        raise InputError(f"{path} is of a training on images of {size} pixels, the data is at {model.image_size}")


def check_optimizers(path: Path, states: list[Any], model: SaliencyModule) -> None:
    """Refuse optimizers' states that are of other parameters.

    Raises:
        InputError: Names the file.
    """
    made: Any = model.configure_optimizers()
    made = made["optimizer"] if isinstance(made, dict) else made
    optimizers = made if isinstance(made, list | tuple) else [made]
    whole = all(isinstance(state, dict) and isinstance(state.get("state"), dict) for state in states)
    if len(states) != len(optimizers) or not whole:
        raise InputError(f"{path} has no usable state of the optimizer: it is damaged, or of another training")
    for optimizer, state in zip(optimizers, states, strict=True):
        parameters = list(itertools.chain.from_iterable(group["params"] for group in optimizer.param_groups))
        for number, parts in state["state"].items():
            fits = isinstance(number, int) and 0 <= number < len(parameters) and isinstance(parts, dict)
            tensors = [part for part in parts.values() if isinstance(part, Tensor)] if fits else []
            if not fits or any(t.ndim and t.shape != parameters[number].shape for t in tensors):
                raise InputError(f"{path} has a state of the optimizer for other weights: it is of another training")
