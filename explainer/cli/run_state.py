"""Checks that a run can go on from a checkpoint: Lightning finds out late, and in many ways."""

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
from explainer.networks.description import Described
from explainer.networks.description import check_state as check_state_dict
from explainer.networks.loading import check_fit, read_tensors
from explainer.training.modules import SaliencyModule

_MOST_EPOCHS = 10_000_000
"""More epochs than any training has: a larger number is damage."""


class _Place(TypedDict):
    """Progress of a training: finished epochs and steps."""

    epoch: int
    global_step: int


def check_state(path: Path, model: SaliencyModule) -> None:
    """Refuse a checkpoint that a training cannot go on from.

    Args:
        path: File that train.py wrote in the course of a training.
        model: Module that goes on, built for its data.

    Raises:
        InputError: Names the file, and the part of it that is missing, torn, or of another run.
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
    others = content.get("random_of_others", [])
    if not isinstance(others, list):
        raise InputError(f"{path} has no usable state of the random number generators: it is damaged")
    for state in others:
        check_random(path, {"cpu": state})
    check_described(path, content[KEY], model)
    check_fit(model, content["state_dict"], str(path))
    if "current_model_state" in content:  # beside an average of the weights, which then is the state_dict
        check_state_dict(content["current_model_state"], path)
        check_fit(model, content["current_model_state"], str(path))
    check_optimizers(path, content["optimizer_states"], model)


def check_version(path: Path, version: Any) -> None:
    """Refuse what is no version of Lightning, which upgrades checkpoints by it.

    Args:
        path: Checkpoint, for the error.
        version: Version that the checkpoint names.

    Raises:
        InputError: Names the file.
    """
    try:
        Version(version)
    except (InvalidVersion, TypeError) as error:
        raise InputError(f"{path} names no version of Lightning: a training cannot go on from it") from error


def check_random(path: Path, random: Any) -> None:
    """Refuse states of random number generators that PyTorch does not take; an older checkpoint has none at all.

    Args:
        path: Checkpoint, for the error.
        random: States that the checkpoint holds.

    Raises:
        InputError: Names the file.
    """
    if random is None:
        return
    state = random.get("cpu") if isinstance(random, dict) else None
    present = torch.get_rng_state()
    if not isinstance(state, Tensor) or state.dtype != present.dtype or state.shape != present.shape:
        raise InputError(f"{path} has no usable state of the random number generators: it is damaged")


def check_described(path: Path, described: Described, model: SaliencyModule) -> None:
    """Refuse a run on other classes or at another image size: its weights would mean something else.

    Args:
        path: Checkpoint, for the error.
        described: Description of the module in the checkpoint.
        model: Module that goes on.

    Raises:
        InputError: Names the difference.
    """
    if described["classes"] != model.description()["classes"]:
        first = ", ".join(described["classes"][:6])
        raise InputError(f"{path} is of a training on other classes: {first}")
    size = described["image_size"]
    if size != model.image_size:
        raise InputError(f"{path} is of a training on images of {size} pixels, the data is at {model.image_size}")


def check_optimizers(path: Path, states: list[Any], model: SaliencyModule) -> None:
    """Refuse optimizers' states that are of other parameters.

    Args:
        path: Checkpoint, for the error.
        states: States that the checkpoint holds, one an optimizer.
        model: Module that goes on.

    Raises:
        InputError: Names the file.
    """
    # only the number and the parameters count: the optimizers that train are made later, by Lightning.
    # Lightning's three forms: an optimizer, several, or one in a dictionary with its scheduler
    configured: Any = model.configure_optimizers()
    if isinstance(configured, dict):
        configured = configured["optimizer"]
    optimizers = configured if isinstance(configured, list | tuple) else [configured]
    whole = all(isinstance(state, dict) and isinstance(state.get("state"), dict) for state in states)
    if len(states) != len(optimizers) or not whole:
        raise InputError(f"{path} has no usable state of the optimizer: it is damaged, or of another training")
    for optimizer, state in zip(optimizers, states, strict=True):
        parameters = list(itertools.chain.from_iterable(group["params"] for group in optimizer.param_groups))
        for number, parts in state["state"].items():
            if not _fits(number, parts, parameters):
                raise InputError(f"{path} has a state of the optimizer for other weights: it is of another training")


def _fits(number: Any, parts: Any, parameters: list[Tensor]) -> bool:
    """Tell whether an optimizer's state of a parameter has the parameter's shape; a number without shape is a count."""
    if not isinstance(number, int) or not 0 <= number < len(parameters) or not isinstance(parts, dict):
        return False
    shape = parameters[number].shape
    tensors = [part for part in parts.values() if isinstance(part, Tensor)]
    return all(tensor.ndim == 0 or tensor.shape == shape for tensor in tensors)
