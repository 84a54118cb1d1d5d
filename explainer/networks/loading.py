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
        path: Path of the file.

    Returns:
        The file's content: tensors, numbers, strings, and lists and dictionaries of them.

    Raises:
        InputError: The file is missing, damaged or of another kind, or holds anything else.
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
        path: Path of the file.
        size: Size in bytes. With the time of the last change it tells whether the file was checked before.
        changed: Time of the last change in nanoseconds.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        packed = any(record.compress_type != zipfile.ZIP_STORED for record in records)
        if packed or sum(record.file_size for record in records) > size:
            return  # torch did not write it, and says so itself; unpacking it could take for ever
        if not any(record.CRC for record in records):
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
        content: Content of a file.

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
        prefix = _common_prefix(names)
        if prefix is None:
            break
        state = {name.removeprefix(prefix): state[name] for name in names}
    compiled = {str(name).replace("_orig_mod.", ""): tensor for name, tensor in state.items()}
    if list(compiled) != list(state):  # only a part of the network was compiled
        yield compiled


def _common_prefix(names: list[Any]) -> str | None:
    """Return the training scripts' prefix that all names have; None where there is no such one."""
    for prefix in _PREFIXES:
        if names and all(str(name).startswith(prefix) for name in names):
            return prefix
    return None


def read_state(path: str, network: nn.Module | None = None) -> dict[str, Tensor]:
    """Read a file's state dict, without the keys and prefixes that training scripts put around it.

    Args:
        path: File that `read_tensors` reads.
        network: Network that the weights are meant for; a prefix with which its own names begin stays. None takes every
            prefix off.

    Returns:
        The state dict, name → tensor.

    Raises:
        InputError: The file holds no state dict.
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
        network: Network that takes the weights; changed in place.
        state: State dict, name → tensor.
        source: Name of the state dict in the error.

    Raises:
        InputError: A key, a shape or a type differs, or a value is not finite; the first is named.
    """
    check_fit(network, state, source)
    network.load_state_dict(state)


def check_fit(network: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Refuse a state dict that a network cannot take; the network keeps its own.

    Args:
        network: Network of any kind.
        state: State dict, name → tensor.
        source: Name of the state dict in the error.

    Raises:
        InputError: A key, a shape or a type differs, or a value is not finite; the first is named.
    """
    expected = network.state_dict()
    for name, tensor in expected.items():
        if name not in state:
            raise InputError(f"{source} lacks {name!r} of {type(network).__name__}: it is of another network")
        if state[name].shape != tensor.shape:
            shapes = f"{tuple(state[name].shape)}, the network {tuple(tensor.shape)}"
            raise InputError(f"{source} has {name!r} of shape {shapes}: class count or architecture differ")
        _check_values(name, state[name], tensor, source)
    extra = sorted(set(state) - set(expected))
    if extra:
        raise InputError(f"{source} holds {extra[0]!r}, which {type(network).__name__} does not have")


def _check_values(name: str, given: Tensor, present: Tensor, source: str) -> None:
    if given.is_floating_point() != present.is_floating_point():
        raise InputError(f"{source} has {name!r} of type {given.dtype}, the network {present.dtype}")
    # a mask of a network may hold -inf by design: it does so before loading too
    if given.is_floating_point() and not given.isfinite().all() and (present.is_meta or present.isfinite().all()):
        raise InputError(f"{source}: {name!r} holds values that are not finite: the training that wrote it diverged")
