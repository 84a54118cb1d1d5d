"""How a network normalises its images: what it says of itself, what it was given, or ImageNet's."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

from explainer.networks.description import check_colours
from explainer.networks.hugging_face import Preprocessing

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
        InputError: The caller's numbers are no normalisation.
    """
    certain = mean is not None or std is not None or preprocessing is not None
    known: tuple[Sequence[float], Sequence[float]] = (IMAGENET_MEAN, IMAGENET_STD)
    config = getattr(network, "default_cfg", None)
    if preprocessing is not None:
        known = (preprocessing.mean, preprocessing.std)
    elif config:
        known = (config.get("mean", IMAGENET_MEAN), config.get("std", IMAGENET_STD))
        certain = True
    elif type(network).__module__.startswith("torchvision.models."):
        certain = True
    mean = known[0] if mean is None else mean
    std = known[1] if std is None else std
    check_colours(mean, std)
    return Normalisation(tuple(mean), tuple(std), certain)
