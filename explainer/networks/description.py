"""What a checkpoint says of its networks, and the one check of it.

A file of another version, of another project, or of an attacker is read like any other: whatever is missing, of another
type or of absurd size is named, with the file, before anything is built from it.
"""

import math
from collections import Counter
from pathlib import Path
from typing import (
    Any,
    Literal,
    NotRequired,  # typing's own is not enough for the check before Python 3.12
)

import torch
from torch import Tensor
from typing_extensions import TypedDict

from explainer.errors import InputError
from explainer.files import conform, more_keys, no_other_keys
from explainer.networks.generative.hyperparameters import GeneratorArguments, InpainterArguments, VAEArguments
from explainer.networks.trust import check_arguments, check_masker
from explainer.version import __version__

LARGEST_SIDE = 8192
MOST_CLASSES = 100_000
LONGEST_NAME = 1000
MOST_CHANNELS = 1000
Arguments = dict[str, Any]
"""Keyword arguments of a builder: each builder takes others."""


# other keys are no fault where a later version may write more than this one reads
@more_keys
class Network(TypedDict):
    """Spec of the explanandum."""

    network: str
    network_args: Arguments
    mean: list[float]
    std: list[float]
    taps: list[str] | None
    head: NotRequired[list[str] | None]


@more_keys
class Segmenter(TypedDict):
    """Spec of a masker with an encoder of its own."""

    encoder: str
    architecture: NotRequired[str]
    arguments: NotRequired[Arguments | None]


@no_other_keys
class Reader(TypedDict):
    """Spec of the masker that reads the explanandum's layers."""

    width: int
    scales: int
    depth: int


@more_keys
class Kind(TypedDict):
    """Field that is checked first: whether the file is the one that is needed."""

    kind: str


class Heading(Kind):
    """What the base of the modules writes into every description."""

    version: NotRequired[str | None]
    image_size: int


class Described(Heading):
    """Description of which nothing more is known."""

    classes: list[str]


@more_keys
class ClassifierParts(TypedDict):
    """What the module of a classifier adds to the heading."""

    classes: list[str]
    multilabel: bool | None
    explanandum: Network


class ExplainerParts(ClassifierParts):
    """What the module of an Explainer adds to the heading."""

    masker: Segmenter | Reader


@more_keys
class GeneratorParts(TypedDict):
    """What the module of a network that makes or completes images adds to the heading."""

    classes: list[str]
    multilabel: NotRequired[bool | None]
    network: Arguments


class Classified(Heading, ClassifierParts):
    """A classifier."""


class Explained(Heading, ExplainerParts):
    """A classifier and its Explainer."""


class Generated(Heading, GeneratorParts):
    """A network that makes or completes images."""


KINDS: dict[str, type] = {
    "classifier": Classified,
    "layer_masked": Classified,
    "explainer": Explained,
    "generator": Generated,
    "inpainter": Generated,
    "vae": Generated,
}
_GENERATIVE: dict[str, type] = {
    "generator": GeneratorArguments,
    "inpainter": InpainterArguments,
    "vae": VAEArguments,
}


def check_kind(spec: Any, source: str | Path, kind: str | None) -> str:
    """Return the kind of a checkpoint, if it is the one that is needed.

    Args:
        spec: Description, as it stands under the checkpoint's key.
        source: Path of the checkpoint.
        kind: Kind that is needed; None takes every known one.

    Returns:
        The checkpoint's kind.

    Raises:
        InputError: The checkpoint is of another kind, or names none.
    """
    actual = conform(spec, Kind, source)["kind"]
    if kind is not None and actual != kind:
        raise InputError(f"{source} is a checkpoint of kind {actual!r}, but {kind!r} is needed here")
    if kind is None and actual not in KINDS:
        raise InputError(f"{source} is a checkpoint of kind {actual[:100]!r}: known are {', '.join(KINDS)}")
    return actual


def check_description(spec: Any, source: str | Path, kind: str) -> None:
    """Refuse a description in which something is missing, of another type, or of absurd size.

    Args:
        spec: Description, as it stands under the checkpoint's key.
        source: Path of the checkpoint.
        kind: Kind of the checkpoint; where that is not this project's own, only the fields of every description are
            checked.

    Raises:
        InputError: Names the file, the field and what is wrong.
    """
    conform(spec, KINDS.get(kind, Described), source)
    _check_version(spec.get("version"), source)
    if not 1 <= spec["image_size"] <= LARGEST_SIDE:
        raise InputError(f"{source}: image_size is {spec['image_size']}, it must be from 1 to {LARGEST_SIDE} pixels")
    # a generator without classes is a whole network, a classifier without classes is not
    fewest = 1 if KINDS.get(kind) in (Classified, Explained) else 0
    _check_classes(spec["classes"], source, at_least=fewest)
    if "explanandum" in spec and kind in KINDS:
        network = spec["explanandum"]
        check_colours(network["mean"], network["std"], f"{source}: ")
    if kind == "explainer":
        check_masker(spec["masker"], source)
    if kind in _GENERATIVE:
        conform(spec["network"], _GENERATIVE[kind], f"{source}: network")
        check_arguments(spec["network"], f"{source}: network")


def _check_version(version: str | None, source: str | Path) -> None:
    """Refuse a file of a later major version: it may mean other things by the same words."""
    major = (version or "0").partition(".")[0]
    our_major = __version__.partition(".")[0]
    # int() reads no number of thousands of digits, which a damaged file may hold
    if not major.isdecimal() or len(major) > 9 or int(major) > int(our_major):
        raise InputError(f"{source} is of version {version!r:.50}, this is {__version__}: update the project")


def _check_classes(classes: list[str], source: str | Path, at_least: int) -> None:
    if not at_least <= len(classes) <= MOST_CLASSES:
        raise InputError(f"{source} has {len(classes)} classes; from {at_least} to {MOST_CLASSES} can be")
    for name, times in Counter(classes).most_common(1):
        if times > 1:
            raise InputError(f"{source} has the class {name[:100]!r} {times} times: names must differ")
    if max(map(len, classes), default=0) > LONGEST_NAME:
        raise InputError(f"{source} has a class whose name has more than {LONGEST_NAME} characters")


def check_colours(mean: Any, std: Any, source: str = "") -> None:
    """Refuse a normalisation that has not a number for each channel.

    Args:
        mean: Value to check; a number for each channel is wanted.
        std: Value to check; as many numbers above 0 are wanted.
        source: Text in front of the error.

    Raises:
        InputError: One of them is not as it must be; names it and its value.

    Example:
        >>> check_colours((0.5, 0.5, 0.5), (1, 1, 0))
        Traceback (most recent call last):
        ...
        explainer.errors.InputError: std must be numbers above 0, one for each channel, got (1, 1, 0)
    """
    for name, values, limit in (("mean", mean, -math.inf), ("std", std, 0)):
        numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
        only_numbers = len(numbers) == len(values)
        countable = only_numbers and 1 <= len(numbers) <= MOST_CHANNELS
        if not countable or not all(math.isfinite(v) and v > limit for v in numbers):
            kind = "numbers above 0" if name == "std" else "numbers"
            shown = str(values)[:100]
            raise InputError(f"{source}{name} must be {kind}, one for each channel, got {shown}")
    if len(mean) != len(std):
        raise InputError(f"{source}mean is of {len(mean)} channels and std of {len(std)}: give one number for each")


def check_state(state: Any, source: str | Path) -> None:
    """Refuse weights that are not tensors with a value for each of their elements.

    Args:
        state: Value to check, as it stands under the checkpoint's "state_dict".
        source: Path of the checkpoint.

    Raises:
        InputError: Names the entry.
    """
    if not isinstance(state, dict):
        raise InputError(f"{source}: its state_dict is a {type(state).__name__}, not a dictionary of tensors")
    for name, tensor in state.items():
        fault = _fault(name, tensor)
        if fault:
            raise InputError(f"{source}: the entry {str(name)[:200]!r} of its state_dict {fault}")


def _fault(name: Any, tensor: Any) -> str | Literal[""]:
    """Say what is wrong with an entry; empty where nothing is."""
    if not isinstance(name, str):
        return f"has a name that is a {type(name).__name__}"
    if not isinstance(tensor, Tensor):
        return f"is a {type(tensor).__name__}, not a tensor"
    if tensor.layout != torch.strided:
        return "is a sparse tensor"
    if tensor.is_meta:
        return "has no values: it was saved from the device meta"
    if tensor.is_quantized:
        return "is quantized"
    if tensor.is_complex():
        return "is complex"
    # a few bytes can be expanded to any shape; copying that into a network would take all memory
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return f"claims the shape {tuple(tensor.shape)}, of which not all is stored"
    return ""
