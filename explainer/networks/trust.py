"""Limit what a checkpoint may build: known names, from plain arguments, within the memory that its own weights need.

A checkpoint is a file of a stranger until somebody vouches for it. What it names is therefore looked up in registries,
and never imported because of where it lies: a package that is trusted as a whole offers functions that run, fetch or
write anything. What is not in a registry the caller has to allow.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision import models

from explainer.errors import InputError, one_line

LIVE = "live/"
"""What a network's name begins with when it was given itself: no name builds it."""
OWN: dict[str, dict[str, Any]] = {
    "explainer.networks.small.small_cnn": {},
    "explainer.networks.lite.efficientnet_lite0": {"pretrained": False},
}
"""This project's builders of classifiers, and the arguments that they get from a checkpoint, which has the weights."""
ARCHITECTURES = (
    "DeepLabV3",
    "DeepLabV3Plus",
    "DPT",
    "FPN",
    "Linknet",
    "MAnet",
    "PAN",
    "PSPNet",
    "Segformer",
    "UPerNet",
    "Unet",
    "UnetPlusPlus",
)
"""Segmentation networks of segmentation-models-pytorch."""

_TIMM_NAME = re.compile(r"\w+(\.\w+)?", re.ASCII)
_FETCHING = {"weights", "pretrained", "checkpoint", "cache", "path", "file", "url", "hub", "dir", "repo"}
"""Words in the names of arguments that make a builder read or download a file."""
# far above what any published network needs, far below what fills a machine
_LARGEST_NUMBER = 10**6
_MOST_VALUES = 1000
_LONGEST_TEXT = 1000
_DEEPEST = 4
# room for what a builder makes beside its weights: buffers, tables of positions, first draws
_SPARE_ELEMENTS = 2**26
_SPARE_CALLS = 50_000
_FACTORIES = {
    "empty",
    "zeros",
    "ones",
    "full",
    "rand",
    "randn",
    "arange",
    "linspace",
    "eye",
    "empty_strided",
    "new_empty",
    "new_zeros",
    "new_ones",
    "new_full",
    "new_empty_strided",
    "repeat",
}


def in_timm(name: str) -> bool:
    """Tell whether a name, with or without a tag, is in timm's own registry; addresses of a hub or a folder are not.

    Example:
        >>> in_timm("resnet18.a1_in1k"), in_timm("hf-hub:someone/resnet18"), in_timm("local-dir:resnet18")
        (True, False, False)
    """
    import timm  # late: it takes seconds, for which the names of others do not wait

    return _TIMM_NAME.fullmatch(name) is not None and name.partition(".")[0] in timm.list_models()


def is_known(name: str) -> bool:
    """Tell whether a classifier's name is in torchvision's or timm's registry or among this project's own builders.

    Args:
        name: Name in a checkpoint: "resnet18", "timm/resnet18", or the dotted path of a builder.

    Example:
        >>> [is_known(name) for name in ("resnet18", "timm/resnet18", "torchvision.models.resnet18")]
        [True, True, True]
        >>> [is_known(name) for name in ("torchvision.io.write_file", "explainer.cli.train.train", "timm/hf-hub:a/b")]
        [False, False, False]
    """
    classifiers = models.list_models(module=models)  # detectors fetch the weights of their backbones
    if name in OWN or name in classifiers:
        return True
    if name.startswith("timm/"):
        return in_timm(name.removeprefix("timm/"))
    last = name.rpartition(".")[2]
    paths: set[str] = set()
    if last in classifiers:
        paths |= {f"torchvision.models.{last}", f"{models.get_model_builder(last).__module__}.{last}"}
    import timm  # late: it takes seconds, for which the names above do not wait

    if last in timm.list_models():
        paths |= {f"timm.models.{last}", f"{timm.model_entrypoint(last).__module__}.{last}"}
    return name in paths


def is_allowed(name: str, allow: Sequence[str]) -> bool:
    """Tell whether a dotted name is one of those allowed, or lies below one of them.

    Args:
        name: Dotted path of a builder.
        allow: Dotted names of builders, modules or packages.

    Example:
        >>> is_allowed("mine.nets.small", ["mine"]), is_allowed("mine.nets.small", ["mine.nets.small"])
        (True, True)
        >>> is_allowed("mineral.net", ["mine"]), is_allowed("mine.nets.large", ["mine.nets.small"])
        (False, False)
    """
    return any(entry and (name == entry or name.startswith(f"{entry}.")) for entry in allow)


def check_network(name: str, arguments: Mapping[str, Any], path: str | Path, allow: Sequence[str] = ()) -> None:
    """Refuse a checkpoint whose classifier nobody vouched for: building it would run its code.

    Args:
        name: Classifier's name in the checkpoint.
        arguments: Classifier's arguments in the checkpoint.
        path: Path of the checkpoint.
        allow: Dotted names of builders, modules or packages that the caller trusts. What lies below them is called
            with the checkpoint's arguments, whatever it does with them.

    Raises:
        InputError: The name is neither known nor allowed, or an argument is not plain, is of absurd size, or would
            make a known builder read or fetch a file.

    Example:
        >>> check_network("os.system", {}, "x.ckpt")
        Traceback (most recent call last):
        ...
        explainer.errors.InputError: x.ckpt builds its classifier by os.system: if you trust it, allow the package 'os'
    """
    if name.startswith(LIVE):
        kind = name.removeprefix(LIVE)
        raise InputError(f"{path} explains a network of your own ({kind}): give it, as load(path, model=network)")
    if name.startswith("hf/"):
        check_configuration(arguments, path)
        return
    known = is_known(name)
    if not known and "/" in name:
        raise InputError(f"{path} names the network {name!r}, which is neither in torchvision's nor in timm's registry")
    if not known and not is_allowed(name, allow):
        package, dot, _ = name.partition(".")
        if not dot or name.endswith((".ckpt", ".safetensors")):
            raise InputError(f"{path} names the network {name!r}, which is not known here")
        # a package that this project itself needs is full of functions that do more than build a network
        what = f"the package {package!r}"
        if package in ("explainer", "torchvision", "timm", "torch"):
            what = repr(name)
        raise InputError(f"{path} builds its classifier by {name}: if you trust it, allow {what}")
    check_arguments({**arguments, **OWN.get(name, {})}, f"{path}: network_args", vouched=not known)


def check_configuration(arguments: Mapping[str, Any], path: str | Path) -> None:
    """Refuse a configuration of transformers that is not plain, or makes the network read or fetch a file.

    Args:
        arguments: Classifier's arguments in the checkpoint: the configuration, and where texts are the classes the
            size of their embeddings.
        path: Path of the checkpoint.

    Raises:
        InputError: Names the argument.

    Example:
        >>> check_configuration({"config": {"backbone": "a/b"}}, "x.ckpt")
        Traceback (most recent call last):
        ...
        explainer.errors.InputError: x.ckpt: network_args.config.backbone is 'a/b', which names a file or an address
    """
    config = arguments.get("config")
    if not set(arguments) <= {"config", "texts"} or not isinstance(config, Mapping):
        raise InputError(f"{path}: a network of Hugging Face is built of its configuration alone, network_args.config")
    size = arguments.get("texts", [1, 1])
    is_pair = isinstance(size, list) and len(size) == 2
    if not is_pair or not all(isinstance(n, int) and n > 0 for n in size):
        raise InputError(f"{path}: network_args.texts must be two whole numbers, got {str(size)[:100]}")
    check_arguments({"texts": size}, f"{path}: network_args")
    source = f"{path}: network_args.config"
    todo = [(source, config)]
    while todo:
        source, values = todo.pop()
        nested = {key: value for key, value in values.items() if isinstance(value, Mapping)}
        # "drop_path_rate" and "pretrained_window_sizes" fetch nothing: their values are neither switches nor texts
        harmless = [key for key, value in values.items() if isinstance(value, float | list | tuple)]
        plain = {key: value for key, value in values.items() if key not in nested}
        check_arguments(plain, source, harmless=harmless)
        todo += [(f"{source}.{key}", value) for key, value in nested.items()]
        if len(todo) > _MOST_VALUES:
            raise InputError(f"{source} holds more than {_MOST_VALUES} dictionaries")


def check_masker(spec: Mapping[str, Any], path: str | Path) -> None:
    """Refuse a checkpoint whose masker is none of segmentation-models-pytorch's, with one of its or timm's encoders.

    Args:
        spec: Masker's description in the checkpoint.
        path: Path of the checkpoint.

    Raises:
        InputError: Names what is unknown, or the argument that is refused.
    """
    reads_features = "encoder" not in spec
    known = {"encoder", "architecture", "arguments"}
    if reads_features:
        known = {"width", "scales", "depth"}
    unknown = set(spec) - known
    if unknown:
        raise InputError(f"{path}: the masker has no {sorted(unknown)[0]!r}")
    if reads_features:
        check_arguments(spec, f"{path}: masker")
        return
    # late: it takes seconds, for which maskers without an encoder do not wait
    from segmentation_models_pytorch.encoders import encoders

    encoder = spec["encoder"]
    architecture = spec.get("architecture", "DeepLabV3")
    if architecture not in ARCHITECTURES:
        raise InputError(f"{path}: masker architecture {architecture!r} is none of {', '.join(ARCHITECTURES)}")
    # with "tu-" before it, a name is one of timm's
    of_timm = encoder.startswith("tu-") and in_timm(encoder.removeprefix("tu-"))
    if encoder not in encoders and not of_timm:
        raise InputError(f"{path}: masker encoder {encoder!r} is not in segmentation-models-pytorch or timm")
    check_arguments(spec.get("arguments") or {}, f"{path}: masker.arguments")


def check_arguments(
    arguments: Mapping[str, Any],
    source: str,
    *,
    vouched: bool = False,
    harmless: Sequence[str] = (),
) -> None:
    """Refuse arguments that are not plain values of sane size.

    Args:
        arguments: Keyword arguments of a builder.
        source: Name of the arguments in the error.
        vouched: Whether the caller trusts the builder: what its arguments mean is then its own affair, and
            dictionaries are plain values too.
        harmless: Names of arguments that fetch nothing, although a word in them says so.

    Raises:
        InputError: Names the argument.

    Example:
        >>> check_arguments({"width": 10**9}, "x.ckpt: network_args")
        Traceback (most recent call last):
        ...
        explainer.errors.InputError: x.ckpt: network_args.width is absurdly large
    """
    counted = 0
    for name, value in arguments.items():
        place = f"{source}.{name}"
        if not isinstance(name, str) or not name.isidentifier() or len(name) > _LONGEST_TEXT:
            raise InputError(f"{source} has the key {str(name)[:100]!r}, which is no argument's name")
        words = set(name.split("_"))
        fetching = bool(_FETCHING & words) and name not in ("init_weights", *harmless)
        if not vouched and value not in (None, False) and fetching:
            raise InputError(f"{place} is refused: a checkpoint has its own weights, and names no others")
        for leaf in _leaves(value, place, vouched, 0):
            counted += 1
            if counted > _MOST_VALUES:
                raise InputError(f"{source} holds more than {_MOST_VALUES} values")
            _check_leaf(leaf, place, vouched)


def _leaves(value: Any, place: str, vouched: bool, depth: int) -> Iterator[Any]:
    """List the values in nested lists (and dictionaries, where the caller vouched for the builder)."""
    if depth > _DEEPEST:
        raise InputError(f"{place} is nested too deeply")
    if isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part, place, vouched, depth + 1)
    elif isinstance(value, dict) and vouched:
        for key, part in value.items():
            yield key
            yield from _leaves(part, place, vouched, depth + 1)
    else:
        yield value


def _check_leaf(value: Any, place: str, vouched: bool) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, int | float):
        if not math.isfinite(value) or abs(value) > _LARGEST_NUMBER:
            raise InputError(f"{place} is absurdly large")
        return
    if not isinstance(value, str):
        raise InputError(f"{place} is a {type(value).__name__}: only numbers, texts and lists of them are built from")
    if len(value) > _LONGEST_TEXT:
        raise InputError(f"{place} is absurdly long")
    if not vouched and set(value) & set("/\\:"):
        raise InputError(f"{place} is {value[:100]!r}, which names a file or an address")


class _Budget(TorchDispatchMode):
    """Refuse an operation, before it takes memory, that makes more than so many elements."""

    def __init__(self, elements: int, calls: int) -> None:
        super().__init__()
        self.elements = elements
        self.calls = calls

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        kwargs = kwargs or {}
        self.calls -= 1
        size = 0
        if str(kwargs.get("device")) != "meta":  # there a tensor has no values, and takes no memory
            size = _size(name, args)
        if size > self.elements or self.calls < 0:
            raise InputError("its description asks for networks far larger than its weights")
        if name in _FACTORIES:
            self.elements -= size
        return func(*args, **kwargs)


def _size(name: str, args: Sequence[Any]) -> int:
    """Count the elements that an operation is about to make, at most: a factory's, or what its tensors broadcast to."""
    tensors = _tensors(args)
    if any(tensor.is_meta for tensor in tensors):
        return 0
    if name in ("arange", "linspace"):
        numbers = [abs(arg) for arg in args if isinstance(arg, int | float)]
        return int(max(numbers, default=0))
    if name in _FACTORIES:
        plain = [arg for arg in args if isinstance(arg, int)]
        sizes = next((arg for arg in args if isinstance(arg, list | tuple)), plain)
        count = math.prod(sizes)
        if name == "repeat":  # its sizes say how often, not how many
            count *= tensors[0].numel()
        return count
    if name in ("cat", "stack"):
        return sum(tensor.numel() for tensor in tensors)
    if name in ("clone", "_to_copy", "contiguous"):
        return tensors[0].numel()
    if len(tensors) < 2:
        return 0
    try:
        return math.prod(torch.broadcast_shapes(*(tensor.shape for tensor in tensors)))
    except RuntimeError:
        return 0


def _tensors(args: Sequence[Any]) -> list[Tensor]:
    """Return the tensors among arguments and in lists of arguments."""
    flat: list[Any] = []
    for arg in args:
        if isinstance(arg, list | tuple):
            flat += arg
        else:
            flat.append(arg)
    return [value for value in flat if isinstance(value, Tensor)]


@contextmanager
def bounded(state: Mapping[str, Tensor], source: str | Path) -> Iterator[None]:
    """Build, while open, only what a checkpoint's own weights can fill; every error becomes one line.

    Args:
        state: Weights of the checkpoint, each of which is stored whole.
        source: Path of the checkpoint.

    Raises:
        InputError: The networks would take much more memory than the weights, or cannot be built.

    Example:
        >>> with bounded({}, "x.ckpt"): torch.empty(10**6, 10**6)
        Traceback (most recent call last):
        ...
        explainer.errors.InputError: x.ckpt: its description asks for networks far larger than its weights
    """
    elements = sum(tensor.numel() for tensor in state.values())
    try:
        with _Budget(4 * elements + _SPARE_ELEMENTS, 200 * len(state) + _SPARE_CALLS):
            yield
    except InputError as error:
        message = str(error)
        if not message.startswith(f"{source}"):
            message = f"{source}: {message}"
        raise InputError(message) from error
    except Exception as error:  # whatever a library says of arguments that do not fit together
        raise InputError(f"{source}: its networks cannot be built: {one_line(error)}") from error
