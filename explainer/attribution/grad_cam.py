"""Grad-CAM through captum.

R. R. Selvaraju et al.: Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization, ICCV 2017.
"""

import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn
from torch.nn import functional as F

from explainer.attribution.layer import LayerAttribution
from explainer.errors import InputError
from explainer.networks import Explanandum


class GradCAM(LayerAttribution):
    """Activations of a layer, weighted by their mean gradient, rectified and up-sampled bilinearly.

    Args:
        layer: Dotted name below the explanandum's `network`; None takes the last tap.
        batch_size: Largest number of images that go through the classifier at once.
    """

    title = "Grad-CAM"

    def maps_of_layer(
        self, explanandum: Explanandum, layer: nn.Module, image: Tensor, target: Tensor, progress: bool
    ) -> Tensor:
        """Weigh the activations by captum: (B, 1, H, W), at least 0."""
        with torch.inference_mode(False), torch.enable_grad():  # frozen weights: the input must ask for a gradient
            inputs = image.detach().clone().requires_grad_()
            values = LayerGradCam(explanandum, layer).attribute(inputs, target=target.clone())
            coarse = values.detach().float().relu()
        if coarse.ndim != 4:
            raise InputError("Grad-CAM: the layer gives no feature maps (B, C, h, w); name one that does")
        return F.interpolate(coarse, image.shape[-2:], mode="bilinear", align_corners=False)
