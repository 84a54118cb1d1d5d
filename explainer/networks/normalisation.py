"""How a network normalises its images: what it says of itself, what it was given, or ImageNet's."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

from explainer.errors import InputError
from explainer.networks.description import check_colours
from explainer.networks.hugging_face import Preprocessing
from explainer.networks.spatial import first_channels, input_channels, known_channels, remember_channels

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Normalisation(NamedTuple):
    """Mean and standard deviation of a network's images, a number a channel.

    Attributes:
        mean: Mean colour, of images in [0, 1].
        std: Standard deviation, above 0.
        certain: Whether the caller, the network or its library says so; else they are a guess.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    certain: bool


def normalisation_of(
    network: nn.Module,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    preprocessing: Preprocessing | None = None,
) -> Normalisation:
    """Choose the normalisation of a network.

    Args:
        network: Network of any kind.
        mean: Mean colour that the caller gives; it goes before what anything else says.
        std: Standard deviation that the caller gives.
        preprocessing: What the network's preprocessor does; None where there is none.

    Raises:
        InputError: The caller's numbers are no normalisation, or of another number of channels than the network's.
    """
    if mean is not None and std is not None:
        chosen = Normalisation(tuple(mean), tuple(std), True)
    else:
        given = std if mean is None else mean
        channels = input_channels(network) if given is None else len(given)
        known = _known(network, channels, preprocessing)
        certain = known.certain or given is not None
        if mean is None:
            mean = known.mean
        if std is None:
            std = known.std
        chosen = Normalisation(tuple(mean), tuple(std), certain)
    check_colours(chosen.mean, chosen.std)
    _check_channels(network, len(chosen.mean))
    return chosen


def _known(network: nn.Module, channels: int, preprocessing: Preprocessing | None) -> Normalisation:
    """Return what a network's preprocessor or library says of images of so many channels, or else a guess."""
    if preprocessing is not None and len(preprocessing.mean) == channels:
        return Normalisation(preprocessing.mean, preprocessing.std, True)
    config = getattr(network, "default_cfg", None) or {}
    mean = tuple(config.get("mean", IMAGENET_MEAN))
    std = tuple(config.get("std", IMAGENET_STD))
    if channels == len(mean):
        of_torchvision = type(network).__module__.startswith("torchvision.models.")
        return Normalisation(mean, std, bool(config) or of_torchvision)
    if channels == 1 and config:
        # timm adds up the weights of the colours: a grey image is one whose colours are the same
        grey_mean = sum(mean) / len(mean)
        grey_std = sum(std) / len(std)
        return Normalisation((grey_mean,), (grey_std,), True)
    return Normalisation((0.0,) * channels, (1.0,) * channels, False)


def _check_channels(network: nn.Module, channels: int) -> None:
    """Refuse a normalisation of another number of channels than the network's; remember the number otherwise."""
    # the trial costs forward passes, and is needed only where the first convolution says something else
    if first_channels(network) not in (None, channels):
        actual = known_channels(network)
        if actual not in (None, channels):
            kind = type(network).__name__
            raise InputError(f"mean and std are of {channels} channels, but {kind} takes images of {actual}")
    remember_channels(network, channels)
