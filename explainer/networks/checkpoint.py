"""Read a checkpoint of this project: safely, and without the Trainer, the data set or the classifier's own file.

A checkpoint is a Lightning checkpoint whose key "explainer" describes how to build its networks again, in plain
values: kind, classes, multilabel, image_size, the explanandum's and the masker's specs. A published one is a file of
safetensors, and the same key stands in config.json beside it.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from explainer.errors import InputError
from explainer.files import parse
from explainer.networks.description import Classified, Described, check_description, check_kind, check_state
from explainer.networks.loading import read_tensors
from explainer.networks.trust import check_network

KEY = "explainer"
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
"""Names of the two files of a published checkpoint."""

_LARGEST_CONFIG = 2**24
"""Bytes that a description may have: the names of a hundred thousand classes fit."""


def is_checkpoint(name: str) -> bool:
    """Tell whether the name of a network is that of a checkpoint's file.

    Example:
        >>> is_checkpoint("checkpoints/a.ckpt"), is_checkpoint("a/model.safetensors"), is_checkpoint("resnet18")
        (True, True, False)
    """
    return name.endswith((".ckpt", ".safetensors"))


def read_checkpoint(path: str | Path, kind: str | None = None) -> tuple[Described, dict[str, Tensor]]:
    """Return description and weights of a checkpoint; no code in the file is run.

    Args:
        path: Checkpoint that train.py wrote, or the weights of a published one.
        kind: Kind that the checkpoint must have ("classifier", "explainer", …); None takes any.

    Returns:
        The description, which has the fields of its kind (`KINDS`), and name → tensor.

    Raises:
        InputError: The file is missing, damaged, no checkpoint of this project or of another kind; or its description
            lacks a field, or has one of another type or of absurd size.
    """
    path = Path(path)
    content = _published(path) if path.suffix == ".safetensors" else read_tensors(path)
    if not isinstance(content, dict) or KEY not in content or "state_dict" not in content:
        raise InputError(f"{path} is not a checkpoint that train.py of this project wrote")
    spec = content[KEY]
    state = content["state_dict"]
    # the kind first: it says which fields the description must have
    spec_kind = check_kind(spec, path, kind)
    check_description(spec, path, spec_kind)
    check_state(state, path)
    return spec, state


def _published(path: Path) -> dict[str, Any]:
    """Read a published checkpoint as if it were one file."""
    tensors = read_tensors(path)
    config = path.with_name(CONFIG)
    if not config.is_file():
        raise InputError(f"{path} lacks the file {CONFIG} beside it, which describes its networks")
    if config.stat().st_size > _LARGEST_CONFIG:
        raise InputError(f"{config} is absurdly large")
    return {**parse(config, dict[str, Any]), "state_dict": tensors}


def read_classifier(path: str | Path, allow: Sequence[str] = ()) -> tuple[Classified, dict[str, Tensor]]:
    """Return description and weights of a checkpoint that holds a classifier, if that may be built.

    Args:
        path: Checkpoint that train.py wrote for a classifier or an Explainer.
        allow: Dotted names of builders, modules or packages that the caller trusts, as for `check_network`.

    Returns:
        The description, and name → tensor of the explanandum.

    Raises:
        InputError: `read_checkpoint` or `check_network` refuses it, or there is no classifier in it.
    """
    spec, state = read_checkpoint(path)
    if "explanandum" not in spec:
        raise InputError(f"{path} is a checkpoint of kind {spec['kind']!r}, which holds no classifier")
    classified = cast(Classified, spec)
    network = classified["explanandum"]
    check_network(network["network"], network["network_args"], path, allow)
    return classified, part(state, "explanandum")


def weights_digest(network: nn.Module) -> str:
    """Return the SHA-256 of a network's names and values: one that is built has no file of which one could be taken.

    Args:
        network: Network of any kind.

    Returns:
        64 hexadecimal digits.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> before = weights_digest(layer); _ = layer.weight.data.add_(1)
        >>> before == weights_digest(layer)
        False
    """
    total = hashlib.sha256()
    for name, value in network.state_dict().items():
        # as bytes: NumPy has no type for some that networks have
        flat = value.detach().cpu().contiguous().reshape(-1)
        content = flat.view(torch.uint8).numpy()
        total.update(name.encode() + content.tobytes())
    return total.hexdigest()


def part(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return the weights of one of a module's networks.

    Args:
        state: State dict of the whole module, name → tensor.
        name: Name of the network's attribute.

    Returns:
        Its weights, with the prefix taken off.

    Example:
        >>> list(part({"masker.a": Tensor(1), "explanandum.b": Tensor(1)}, "masker"))
        ['a']
    """
    prefix = f"{name}."  # with its dot: "mask" is no part of "masker"
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
