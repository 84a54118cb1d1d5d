"""Grad-CAM through captum.

R. R. Selvaraju et al.: Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization, ICCV 2017.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from explainer.attribution.layer import FeatureLayer, LayerAttribution, feature_maps, weighted_map
from explainer.errors import InputError
from explainer.networks import Explanandum
from explainer.networks.spatial import FIRST


class GradCAM(LayerAttribution):
    """Activations of a layer, weighted by their mean gradient, rectified and up-sampled bilinearly.

    Args:
        layer: Dotted name below the explanandum's `network`; None takes the last tap.
        batch_size: Largest number of images that go through the classifier at once.
    """

    title = "Grad-CAM"

    def maps_of_layer(
        self,
        explanandum: Explanandum,
        layer: FeatureLayer,
        image: Tensor,
        target: Tensor,
        progress: bool,
    ) -> Tensor:
        """Weigh the activations by captum: (B, 1, H, W), at least 0."""
        from captum.attr import (
            LayerGradCam,  # late: captum loads libraries of its own, for which other methods do not wait
        )

        with torch.inference_mode(False), torch.enable_grad():  # frozen weights: the input must ask for a gradient
            inputs = image.detach().clone().requires_grad_()
            if layer.layout is not None and layer.layout != FIRST:
                return self._of_other_layouts(explanandum, layer, inputs, target.clone())
            values = LayerGradCam(explanandum, layer.module).attribute(inputs, target=target.clone())
            coarse = values.detach().float().relu()
        if coarse.ndim != 4:
            raise InputError("Grad-CAM: the layer gives no feature maps (B, C, h, w); name one that does")
        return F.interpolate(coarse, image.shape[-2:], mode="bilinear", align_corners=False)

    def _of_other_layouts(self, explanandum: Explanandum, layer: FeatureLayer, image: Tensor, target: Tensor) -> Tensor:
        """Weigh activations that are not laid out as captum wants them: (B, 1, H, W), at least 0."""
        maps, logits = feature_maps(explanandum, layer, image, self.title)
        score = logits.gather(1, target[:, None]).sum()
        (gradient,) = torch.autograd.grad(score, maps)
        weights = gradient.float().mean((2, 3))
        size = (image.shape[-2], image.shape[-1])
        return weighted_map(maps.detach().float(), weights, size)
