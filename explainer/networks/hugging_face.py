"""Image classifiers of Hugging Face's transformers: loaded by name without running code, described, and built again.

A name says "hf/" and then a repository ("hf/google/vit-base-patch16-224") or a folder that `save_pretrained` wrote.
Weights are read from safetensors only, and no code of the repository is run.
"""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor, nn

from explainer.errors import InputError, missing_extra, one_line
from explainer.networks.description import Arguments
from explainer.networks.image_text import ImageTextClassifier, untrained

PREFIX = "hf/"
CONFIG = "config"
"""Key of the network's arguments under which a description holds the configuration."""
TEXTS = "texts"
"""Key under which it holds the number and the length of the embeddings of texts, where texts are the classes."""
_LEFT_OUT = {
    "id2label",
    "label2id",
    "_name_or_path",
    "name_or_path",
    "transformers_version",
    "dtype",
    "torch_dtype",
    "auto_map",
    "quantization_config",
    "pretrained_cfg",
}
"""Keys of a configuration without which a network of the same shape is built."""
_FAMILIES = "transformers.models."
_EXACT = 1e-3
"""Largest difference, in units of the network's input, to a normalisation by mean and standard deviation."""


class Preprocessing(NamedTuple):
    """What a preprocessor does with a photograph, as far as it can be told from its output.

    Attributes:
        mean: Mean colour that it subtracts, of each channel of an image in [0, 1].
        std: Standard deviation by which it divides, of each channel.
        side: Side in pixels of the square images that it gives; None where they are not square.
        reversed: Whether it gives the channels in the order blue, green, red.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    side: int | None
    reversed: bool


def library() -> ModuleType:
    """Import transformers.

    Raises:
        InputError: It is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise missing_extra("networks of Hugging Face need transformers", "huggingface") from error
    return transformers


def is_hugging_face(network: nn.Module) -> bool:
    """Tell whether a network is one of transformers' own classes, or derived from one.

    Example:
        >>> is_hugging_face(nn.Linear(1, 1))
        False
    """
    bases = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(network).__mro__]
    return "transformers.modeling_utils.PreTrainedModel" in bases


def is_own_class(network: nn.Module) -> bool:
    """Tell whether transformers itself defines a network's class, so that its name is enough to build it again.

    Example:
        >>> is_own_class(nn.Linear(1, 1))
        False
    """
    return is_hugging_face(network) and type(network).__module__.startswith(_FAMILIES)


def build(name: str, arguments: Arguments) -> nn.Module:
    """Load a classifier with its weights; or build a fresh one, where the arguments hold its configuration.

    Args:
        name: "hf/" and the name of a repository, or a folder.
        arguments: Keyword arguments of `from_pretrained`; or a configuration under "config", as a description has it.

    Returns:
        The network, in evaluation mode.

    Raises:
        InputError: transformers is not installed, there is no such classifier, the network or safetensors lack, or
            the classifier runs code of its own.
    """
    if CONFIG in arguments:
        network = _of_config(arguments[CONFIG], name)
        return untrained(network, arguments[TEXTS]) if TEXTS in arguments else network
    return load(name, "AutoModelForImageClassification", arguments)


def load(name: str, kind: str, arguments: Arguments | None = None) -> nn.Module:
    """Load a network with its weights, from safetensors alone and without code of the repository.

    Args:
        name: "hf/" and the name of a repository, or a folder.
        kind: Class of transformers that loads it, such as "AutoModel".
        arguments: Keyword arguments of `from_pretrained`.

    Returns:
        The network, in evaluation mode.

    Raises:
        InputError: transformers is not installed, there is no such network, or it cannot be had without a connection,
            without safetensors, or without running code.
    """
    source = name.removeprefix(PREFIX)
    loader = getattr(library(), kind)
    try:
        network, loading = loader.from_pretrained(
            source, **(arguments or {}), use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
    except Exception as error:  # the library and its hub raise errors of many kinds
        raise InputError(_refusal(name, error)) from error
    fresh = sorted(loading["missing_keys"])
    if fresh:
        warnings.warn(f"{name} has no weights for {fresh[0]!r}: they are random until they are trained", stacklevel=2)
    return network


def _refusal(name: str, error: Exception) -> str:
    """Return what to tell a person whose classifier could not be loaded."""
    source = name.removeprefix(PREFIX)
    if Path(source).is_dir():
        advice = "a folder must hold config.json and model.safetensors, as save_pretrained writes them"
    else:
        advice = "check the name and the network, or give hf/ and a folder that save_pretrained wrote"
    return f"cannot load {name} of Hugging Face: {advice} ({one_line(error)})"


def _of_config(values: Any, name: str) -> nn.Module:
    """Build a fresh network of one of transformers' own classes."""
    transformers = library()
    names = None
    if isinstance(values, Mapping):
        names = values.get("architectures")
    architecture = None
    if isinstance(names, list | tuple) and names:
        architecture = names[0]
    kind: Any = getattr(transformers, str(architecture), None)
    known = isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)
    # only what transformers defines itself: nothing that somebody registered, and no class for loading
    if not known or not kind.__module__.startswith(_FAMILIES):
        raise InputError(f"{name}: transformers has no network {str(architecture)[:100]!r}")
    return kind(kind.config_class(**values))


def description_of(network: nn.Module) -> tuple[str, Arguments] | None:
    """Return the name and the arguments from which `build` makes a network again, without its weights.

    Args:
        network: Network of any kind.

    Returns:
        Name of its class after "hf/", and arguments; None for a network that transformers does not define.
    """
    model: Any = network
    arguments: Arguments = {}
    if isinstance(network, ImageTextClassifier):
        model = network.model
        arguments[TEXTS] = list(network.texts.weight.shape)
    if not is_own_class(model):
        return None
    return f"{PREFIX}{type(model).__name__}", {CONFIG: config_of(model), **arguments}


def config_of(network: nn.Module) -> dict[str, Any]:
    """Return the configuration from which `build` makes a fresh network of the same shape, in plain values.

    Args:
        network: Network of transformers.
    """
    config: Any = network.config
    values = {key: value for key, value in config.to_diff_dict().items() if key not in _LEFT_OUT}
    values["num_labels"] = config.num_labels
    values["architectures"] = [type(network).__name__]
    return values


def class_names(network: nn.Module) -> tuple[str, ...]:
    """Return the names of the classes of a network of transformers; none where it only numbers them.

    Args:
        network: Network of transformers.

    Returns:
        Names in the order of the outputs, each of them once: of two classes of one name, the later has its number too.
    """
    config: Any = network.config
    labels = getattr(config, "id2label", None) or {}
    if sorted(labels) != list(range(len(labels))):
        return ()
    if all(label == f"LABEL_{number}" for number, label in labels.items()):
        return ()
    names: dict[str, None] = {}
    for number in range(len(labels)):
        name = str(labels[number])
        if name in names:
            name = f"{name} ({number})"
        names[name] = None
    return tuple(names)


def first_name(label: str) -> str:
    """Return the first of a label's synonyms, in small letters.

    Example:
        >>> first_name("Egyptian_cat, tabby")
        'egyptian cat'
    """
    return label.partition(",")[0].replace("_", " ").strip().casefold()


def has_several_labels(network: nn.Module) -> bool | None:
    """Tell whether an image may have several classes for a network of transformers; None where it does not say so."""
    config: Any = network.config
    problem = str(getattr(config, "problem_type", None))
    return {"multi_label_classification": True, "single_label_classification": False}.get(problem)


def read_preprocessor(name: str) -> Any:
    """Load the image processor that belongs to a classifier.

    Args:
        name: "hf/" and the name of a repository, or a folder.

    Returns:
        Image processor of transformers; None where the classifier comes without one.
    """
    try:
        return library().AutoImageProcessor.from_pretrained(name.removeprefix(PREFIX), trust_remote_code=False)
    except InputError:
        raise
    except Exception:  # a repository without one raises errors of many kinds; the network itself was loaded
        return None


def measured(preprocessor: Callable[..., Any]) -> Preprocessing:
    """Measure what a preprocessor does, by its answers to pictures of one colour.

    Processors scale, shift, normalise twice or exchange channels by options of many names; what comes out tells all.

    Args:
        preprocessor: Image processor of transformers, or a function from a PIL image to a tensor, such as torchvision's
            transforms.

    Raises:
        InputError: It gives no images of three channels, or does more than to normalise them.

    Example:
        >>> from torchvision.transforms import Compose, Normalize, ToTensor
        >>> measured(Compose([ToTensor(), Normalize((0.5, 0.4, 0.3), (0.2, 0.2, 0.1))])).mean
        (0.5, 0.4, 0.3)
    """
    black = _answer(preprocessor, (0, 0, 0))
    white = _answer(preprocessor, (255, 255, 255))
    red = _answer(preprocessor, (255, 0, 0))
    by_red = (_middle(red) - _middle(black)).abs()
    reverse = bool(by_red[2] > by_red[0])
    order = [2, 1, 0] if reverse else [0, 1, 2]
    offset = _middle(black)[order]
    scale = _middle(white)[order] - offset
    if bool((scale.abs() < _EXACT).any()):
        raise InputError("the preprocessor gives the same for black and white: give mean and std instead")
    colour = torch.tensor([51.0, 102.0, 204.0]) / 255
    answer = _middle(_answer(preprocessor, (51, 102, 204)))[order]
    expected = offset + scale * colour
    difference = (answer - expected).abs()
    if bool(difference.max() > _EXACT * scale.abs().max()):
        raise InputError("the preprocessor does more than to normalise each channel: give mean and std instead")
    height, width = black.shape[-2:]
    # the processor computes in float32: what it was given has fewer digits than it returns
    mean = tuple(round(float(value), 6) for value in -offset / scale)
    std = tuple(round(float(value), 6) for value in 1 / scale)
    side = height if height == width else None
    return Preprocessing(mean, std, side, reverse)


def _answer(preprocessor: Callable[..., Any], colour: tuple[int, int, int]) -> Tensor:
    """Return what a preprocessor gives for a picture of one colour, (3, h, w)."""
    picture = Image.new("RGB", (256, 256), colour)
    of_transformers = type(preprocessor).__module__.startswith("transformers.")
    try:
        output = preprocessor(images=picture, return_tensors="pt") if of_transformers else preprocessor(picture)
    except Exception as error:  # a preprocessor may be anything
        raise InputError(f"the preprocessor does not take a picture: {one_line(error)}") from error
    if isinstance(output, Mapping):
        output = output.get("pixel_values")
    if torch.is_tensor(output) and output.ndim == 4:
        output = output[0]
    if not torch.is_tensor(output) or output.ndim != 3 or len(output) != 3:
        raise InputError("the preprocessor gives no image (3, H, W): give mean and std instead")
    return output.float()


def _middle(image: Tensor) -> Tensor:
    """Return the colour in the middle of an image, (3,): a border may be padded."""
    height, width = image.shape[1:]
    return image[:, height // 2, width // 2]


def reverse_channels(network: nn.Module) -> None:
    """Make a network of images in the order blue, green, red one of images in the order red, green, blue.

    Args:
        network: Network whose first convolution looks at the image; changed in place.

    Raises:
        InputError: The first convolution has not three channels.
    """
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None or first.in_channels != 3 or first.groups != 1:
        raise InputError(f"{type(network).__name__} takes blue first, and its first convolution cannot be turned round")
    with torch.no_grad():
        first.weight.copy_(first.weight.flip(1))
