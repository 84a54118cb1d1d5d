"""Grad-CAM through captum.

R. R. Selvaraju et al.: Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization, ICCV 2017.
"""

import torch
from captum.attr import LayerGradCam
from torch import Tensor
from torch.nn import functional as F

from explainer.attribution.base import Attribution
from explainer.attribution.layer import feature_layer
from explainer.errors import InputError
from explainer.networks import Explanandum


class GradCAM(Attribution):
    """Activations of a layer, weighted by their mean gradient, rectified and up-sampled bilinearly.

    Args:
        layer: Dotted name below the explanandum's `network`; None takes the last tap.
        batch_size: At most so many images at once.
    """

    def __init__(self, layer: str | None = None, batch_size: int = 16) -> None:
        self.layer, self.batch_size = layer, batch_size

    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """(B, 1, H, W), at least 0."""
        layer = feature_layer(explanandum, self.layer, "Grad-CAM")
        found = []
        for some, its in zip(image.split(self.batch_size), target.split(self.batch_size), strict=True):
            with torch.inference_mode(False), torch.enable_grad():  # frozen weights: the input must ask for a gradient
                inputs = some.detach().clone().requires_grad_()
                coarse = LayerGradCam(explanandum, layer).attribute(inputs, target=its.clone()).detach().float().relu()
            if coarse.ndim != 4:
                raise InputError("Grad-CAM: the layer gives no feature maps (B, C, h, w); name one that does")
            found.append(F.interpolate(coarse, image.shape[-2:], mode="bilinear", align_corners=False))
        return torch.cat(found)
