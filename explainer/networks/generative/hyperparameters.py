"""Hyperparameters of the generative networks, as a checkpoint keeps them to build a network again."""

from typing_extensions import TypedDict  # typing's own is not enough for the check before Python 3.12

from explainer.files import no_other_keys


@no_other_keys
class GeneratorArguments(TypedDict, total=False):
    """Hyperparameters of a DCGAN."""

    image_size: int
    latent: int
    width: int
    num_classes: int
    spectral: bool


@no_other_keys
class InpainterArguments(TypedDict, total=False):
    """Hyperparameters of the contextual-attention network."""

    width: int
    dilations: list[int]
    rate: int
    scale: float
    reach: int


@no_other_keys
class VAEArguments(TypedDict, total=False):
    """Hyperparameters of the completion VAE."""

    width: int
    latent: int
    dilations: list[int]
