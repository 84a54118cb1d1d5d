"""Build a classifier from its name, and put weights and a head of the right size into it."""

import importlib
import pickle
import urllib.error
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torchvision import models

from explainer.errors import InputError

TRUSTED = ("torchvision", "timm", "explainer")
"""Packages whose callables a checkpoint may name without being asked for."""
WEIGHT_FILES = {".pth", ".pt", ".bin", ".safetensors", ".ckpt"}


def build_network(name: str, weights: str | None = None, arguments: dict[str, Any] | None = None) -> nn.Module:
    """A classifier by name.

    Args:
        name: A torchvision model ("vgg16"), a timm model ("timm/resnet18.a1_in1k"), or the dotted path of a Python
            callable that returns a network ("my_package.my_module.my_network").
        weights: A torchvision enum name ("IMAGENET1K_V1", "DEFAULT"), "DEFAULT" for timm, a local file that holds a
            state dict (read without unpickling), or None for a fresh network.
        arguments: Keyword arguments of the callable.

    Returns:
        The network, in train mode, its head as the callable makes it.

    Raises:
        InputError: The name, the weights or the arguments are unknown, or the weights cannot be downloaded.

    Example:
        >>> type(build_network("alexnet")).__name__
        'AlexNet'
    """
    arguments = arguments or {}
    is_file = weights is not None and Path(weights).suffix in WEIGHT_FILES
    named = None if is_file else weights
    try:
        if name in models.list_models():
            chosen = models.get_model_weights(name)[named] if named else None
            network = models.get_model(name, weights=chosen, **arguments)
        elif name.startswith("timm/"):
            network = timm.create_model(name.removeprefix("timm/"), pretrained=named is not None, **arguments)
        else:
            if named:
                raise InputError(f"weights {weights!r}: give a file for {name!r}, or pass them in network_args")
            network = _callable(name)(**arguments)
    except (urllib.error.URLError, OSError) as error:
        raise InputError(f"cannot download weights {weights!r} of {name!r} ({error}); give a local file") from error
    except KeyError as error:
        raise InputError(f"{name!r} has no weights {weights!r}: choose one of its enum names, or a file") from error
    except (TypeError, RuntimeError) as error:
        raise InputError(f"cannot build {name!r} with {arguments}: {error}") from error
    if not isinstance(network, nn.Module):
        raise InputError(f"{name!r} returned {type(network).__name__}, not a torch network")
    if is_file:
        load_weights(network, str(weights))
    return network


def _callable(path: str) -> Callable[..., nn.Module]:
    module, _, attribute = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, ValueError, AttributeError) as error:
        raise InputError(
            f"unknown network {path!r}: neither a torchvision model, nor timm/<name>, nor a dotted path ({error})"
        ) from error
    if not callable(found):
        raise InputError(f"{path!r} cannot be called")
    return found


def read_tensors(path: str | Path) -> Any:
    """Read a torch or safetensors file without running any code in it.

    Args:
        path: The file.

    Returns:
        What it holds: tensors, numbers, strings, and lists and dictionaries of them.

    Raises:
        InputError: The file is missing, is no such file, or holds anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no file {path}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if zipfile.is_zipfile(path):
            raise InputError(f"{path} holds more than tensors and plain values; nothing in it was run") from error
        raise InputError(f"{path} is not a file of tensors") from error
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path} is not a file of tensors: {reason}") from error


def load_weights(network: nn.Module, path: str) -> None:
    """Load a file's state dict into a network, whose head is made to fit the file's number of classes.

    Args:
        network: Changed in place.
        path: A file for `read_tensors`.

    Raises:
        InputError: A key or a shape differs; the first is named.
    """
    state = read_state(path)
    weight = state.get(f"{head(network)[0]}.weight")
    if weight is not None:
        replace_head(network, len(weight))
    load_state(network, state, path)


def read_state(path: str) -> dict[str, Tensor]:
    """A file's state dict, bare, or under "state_dict" or "model"; a prefix that all names share there is taken off.

    Args:
        path: A file for `read_tensors`.

    Returns:
        Name → tensor.

    Raises:
        InputError: There is none.
    """
    state = read_tensors(path)
    for key in ("state_dict", "model"):
        state = state.get(key, state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not state:
        raise InputError(f"{path} holds no state dict")
    for prefix in ("module.", "model.", "network.", "net."):
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def load_state(network: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Load a state dict strictly, with an error in one line.

    Args:
        network: Changed in place.
        state: Name → tensor.
        source: What to call it in the error.

    Raises:
        InputError: A key or a shape differs; the first is named.
    """
    own = network.state_dict()
    for name, tensor in own.items():
        if name not in state:
            raise InputError(f"{source} lacks {name!r} of {type(network).__name__}: it is of another network")
        if state[name].shape != tensor.shape:
            shapes = f"{tuple(state[name].shape)}, the network {tuple(tensor.shape)}"
            raise InputError(f"{source} has {name!r} of shape {shapes}: class count or architecture differ")
    extra = sorted(set(state) - set(own))
    if extra:
        raise InputError(f"{source} holds {extra[0]!r}, which {type(network).__name__} does not have")
    network.load_state_dict(state)


def head(network: nn.Module) -> tuple[str, nn.Linear | nn.Conv2d]:
    """The last linear layer (or the last 1×1 convolution, as in SqueezeNet), which gives the class scores.

    Args:
        network: Any classifier.

    Returns:
        Its dotted name and the layer.

    Raises:
        InputError: There is none.

    Example:
        >>> head(models.resnet18())[0]
        'fc'
    """
    layers: list[tuple[str, nn.Linear | nn.Conv2d]]
    layers = [(n, m) for n, m in network.named_modules() if isinstance(m, nn.Linear)]
    layers = layers or [
        (n, m) for n, m in network.named_modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)
    ]
    if not layers:
        raise InputError(f"{type(network).__name__} has no linear layer: cannot tell its class count")
    return layers[-1]


def num_outputs(network: nn.Module) -> int:
    """How many classes the network's head scores."""
    layer = head(network)[1]
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


def replace_head(network: nn.Module, num_classes: int) -> None:
    """Give the network a fresh head; nothing happens when it already has `num_classes` outputs.

    Args:
        network: Changed in place.
        num_classes: K.

    Example:
        >>> network = models.resnet18(); replace_head(network, 20); num_outputs(network)
        20
    """
    name, layer = head(network)
    if num_outputs(network) == num_classes:
        return
    fresh: nn.Module
    if isinstance(layer, nn.Linear):
        fresh = nn.Linear(layer.in_features, num_classes, bias=layer.bias is not None)
    else:
        fresh = nn.Conv2d(layer.in_channels, num_classes, 1)
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, fresh)
