"""Build a classifier from its name, and put weights and a head of the right size into it."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn
from torchvision import models

from explainer.errors import InputError, one_line
from explainer.networks import hugging_face
from explainer.networks.description import Arguments
from explainer.networks.heads import fit_heads
from explainer.networks.lite_names import is_packaged, timm_names
from explainer.networks.loading import WEIGHT_FILES, load_state, read_state


def build_network(name: str, weights: str | None = None, arguments: Arguments | None = None) -> nn.Module:
    """Build a classifier by its name.

    Args:
        name: Name of a torchvision model ("vgg16"), of a timm model ("timm/resnet18.a1_in1k") or of an image classifier
            of Hugging Face ("hf/google/vit-base-patch16-224"), or dotted path of a Python callable that returns a
            network ("my_package.my_module.my_network").
        weights: Name in torchvision's enum ("IMAGENET1K_V1", "DEFAULT"), "DEFAULT" for timm, a local file that holds a
            state dict (read without unpickling), or None for a fresh network. A classifier of Hugging Face comes with
            its own.
        arguments: Keyword arguments of the callable.

    Returns:
        The network, its head as the callable makes it.

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
        network = _new_network(name, named, arguments)
    except InputError:
        raise
    except Exception as error:  # a callable of the user's own, or a library deep inside, may say anything
        raise InputError(_reason(name, weights, named, arguments, error)) from error
    if not isinstance(network, nn.Module):
        raise InputError(f"{name!r} returned {type(network).__name__}, not a torch network")
    # a width of 0 builds a network that runs, and learns nothing
    empty = next((layer for layer, weight in network.named_parameters() if not weight.numel()), None)
    if empty is not None:
        raise InputError(f"the network {name!r} with network_args {arguments} has nothing in its layer {empty!r}")
    if is_file:
        load_weights(network, str(weights))
    return network


def _new_network(name: str, weights: str | None, arguments: Arguments) -> Any:
    """Let the library that a name says build the network, with its own weights of a name or with fresh ones."""
    if name in models.list_models():
        enum_member = models.get_model_weights(name)[weights] if weights else None
        return models.get_model(name, weights=enum_member, **arguments)
    if name.startswith("timm/"):
        import timm  # late: it takes seconds, for which networks of other libraries do not wait

        return timm.create_model(name.removeprefix("timm/"), pretrained=weights is not None, **arguments)
    if name.startswith(hugging_face.PREFIX):
        if weights not in (None, "DEFAULT"):
            raise InputError(f"weights {weights!r}: {name} comes with its own; give a file, or leave them out")
        return hugging_face.build(name, arguments)
    if weights:
        raise InputError(f"weights {weights!r}: give a file for {name!r}, or pass them in network_args")
    return _callable(name)(**arguments)


def _reason(name: str, weights: str | None, named: str | None, arguments: Arguments, error: Exception) -> str:
    """Return what to tell a person whose network could not be built."""
    if named and isinstance(error, KeyError):
        known = ", ".join(weight.name for weight in models.get_model_weights(name))
        return f"{name!r} has no weights {weights!r}: there are {known}; or give a file"
    if named and isinstance(error, OSError):  # a URLError is one
        return f"cannot download weights {weights!r} of {name!r} ({one_line(error)}); give a local file"
    return f"cannot build the network {name!r} with network_args {arguments}: {one_line(error)}"


def _callable(path: str) -> Callable[..., nn.Module]:
    module, _, attribute = path.rpartition(".")
    try:
        builder = getattr(importlib.import_module(module), attribute)
    except (ImportError, ValueError, AttributeError) as error:
        known = "neither a torchvision model, nor timm/<name>, nor hf/<name>, nor a dotted path"
        raise InputError(f"unknown network {path!r}: {known} ({one_line(error)})") from error
    except Exception as error:  # the module's own code may raise anything
        raise InputError(f"the module of the network {path!r} cannot be imported: {one_line(error)}") from error
    if not callable(builder):
        raise InputError(f"{path!r} cannot be called")
    return builder


def load_weights(network: nn.Module, path: str) -> None:
    """Load a file's state dict into a network; its heads are made to fit the file's number of classes.

    Args:
        network: Network that takes the weights; changed in place.
        path: File that `read_tensors` reads.

    Raises:
        InputError: A key or a shape differs; the first is named.
    """
    state = read_state(path, network)
    # told by the names: the package's file and timm's network have the same tensors under other ones
    if is_packaged(state) and "conv_stem.weight" in network.state_dict():
        state = timm_names(state)
    fit_heads(network, state)
    load_state(network, state, path)
