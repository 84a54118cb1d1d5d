"""Read a file of tensors without running code in it, find the weights in it, and put them into a network."""

import pickle
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from explainer.errors import InputError
from explainer.networks.description import check_state

WEIGHT_FILES = {".pth", ".pt", ".bin", ".safetensors", ".ckpt"}
_CONTAINERS = (
    "state_dict",
    "model",
    "model_state_dict",
    "module",
    "network",
    "net",
    "state_dict_ema",
    "model_ema",
    "ema",
)
"""Keys under which training scripts put the weights; those of an average only where there are no others."""
_PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.", "ema.")


def read_tensors(path: str | Path) -> Any:
    """Read a torch or safetensors file without running any code in it.

    Args:
        path: The file.

    Returns:
        What it holds: tensors, numbers, strings, and lists and dictionaries of them.

    Raises:
        InputError: The file is missing, is no such file, holds anything else, or is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no file {path}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        stat = path.stat()
        _check_archive(path, stat.st_size, stat.st_mtime_ns)
        return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        if zipfile.is_zipfile(path):
            raise InputError(f"{path} holds more than tensors and plain values; nothing in it was run") from error
        raise InputError(f"{path} is not a file of tensors") from error
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path} is not a file of tensors: {reason}") from error


@lru_cache(8)
def _check_archive(path: Path, size: int, changed: int) -> None:
    """Compare the checksums of an archive, which torch does not do: a damaged disk or copy would go unnoticed.

    Args:
        path: The file.
        size: In bytes. With the time of its last change it tells whether the file was checked before.
        changed: In nanoseconds.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        if any(r.compress_type != zipfile.ZIP_STORED for r in records) or sum(r.file_size for r in records) > size:
            return  # torch did not write it, and says so itself; unpacking it could take for ever
        if not any(r.CRC for r in records):
            return  # written without checksums, as torch can be told to
        try:
            damaged = archive.testzip()
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise InputError(f"{path} is damaged: {error}; take an earlier copy") from error
    if damaged:
        raise InputError(f"{path} is damaged: the record {damaged} has another checksum; take an earlier copy")


def unwrapped(content: Any) -> Iterator[dict[str, Any]]:
    """Take off what training scripts put around a state dict, layer by layer.

    Args:
        content: What a file holds.

    Yields:
        Dictionaries with names nearer and nearer to the network's own.

    Example:
        >>> [list(state) for state in unwrapped({"model": {"state_dict": {"module._orig_mod.a": torch.ones(1)}}})]
        [['module._orig_mod.a'], ['_orig_mod.a'], ['a']]
    """
    while isinstance(content, dict):
        inner = next((content[key] for key in _CONTAINERS if isinstance(content.get(key), dict)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, dict) or not content:
        return
    state = content
    while True:
        yield state
        names = [name for name in state if name != "n_averaged"]  # the count of torch's own averaging
        prefix = next((p for p in _PREFIXES if names and all(str(n).startswith(p) for n in names)), None)
        if prefix is None:
            break
        state = {name.removeprefix(prefix): state[name] for name in names}
    compiled = {str(name).replace("_orig_mod.", ""): tensor for name, tensor in state.items()}
    if list(compiled) != list(state):  # only a part of the network was compiled
        yield compiled


def read_state(path: str, network: nn.Module | None = None) -> dict[str, Tensor]:
    """Read a file's state dict, without the keys and prefixes that training scripts put around it.

    Args:
        path: A file for `read_tensors`.
        network: The network whose weights they should be: where its own names begin with what looks like a prefix,
            that stays. None takes everything off.

    Returns:
        Name → tensor.

    Raises:
        InputError: There is none.
    """
    state: dict[str, Tensor] = {}
    first = next(iter(network.state_dict()), None) if network is not None else None
    for state in unwrapped(read_tensors(path)):
        if first is not None and first in state:
            break
    if not state:
        raise InputError(f"{path} holds no state dict")
    check_state(state, path)
    return state


def load_state(network: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Load a state dict strictly, with an error in one line.

    Args:
        network: Changed in place.
        state: Name → tensor.
        source: What to call it in the error.

    Raises:
        InputError: A key, a shape or a type differs, or a value is not finite; the first is named.
    """
    check_fit(network, state, source)
    network.load_state_dict(state)


def check_fit(network: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Refuse a state dict that a network cannot take; the network keeps its own.

    Args:
        network: Any.
        state: Name → tensor.
        source: What to call it in the error.

    Raises:
        InputError: A key, a shape or a type differs, or a value is not finite; the first is named.
    """
    own = network.state_dict()
    for name, tensor in own.items():
        if name not in state:
            raise InputError(f"{source} lacks {name!r} of {type(network).__name__}: it is of another network")
        if state[name].shape != tensor.shape:
            shapes = f"{tuple(state[name].shape)}, the network {tuple(tensor.shape)}"
            raise InputError(f"{source} has {name!r} of shape {shapes}: class count or architecture differ")
        _check_values(name, state[name], tensor, source)
    extra = sorted(set(state) - set(own))
    if extra:
        raise InputError(f"{source} holds {extra[0]!r}, which {type(network).__name__} does not have")


def _check_values(name: str, given: Tensor, own: Tensor, source: str) -> None:
    if given.is_floating_point() != own.is_floating_point():
        raise InputError(f"{source} has {name!r} of type {given.dtype}, the network {own.dtype}")
    # a mask of a network may hold -inf by design: it does so before loading too
    if given.is_floating_point() and not given.isfinite().all() and (own.is_meta or own.isfinite().all()):
        raise InputError(f"{source}: {name!r} holds values that are not finite: the training that wrote it diverged")
