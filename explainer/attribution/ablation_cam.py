"""Ablation-CAM: feature maps weighted by how far the class score falls without them.

S. Desai, H. G. Ramaswamy: Ablation-CAM: Visual Explanations for Deep Convolutional Network via Gradient-free
Localization, WACV 2020. The fall is divided by the score's absolute value: by a negative score, as the paper has it,
the map would be turned upside down.
"""

from functools import partial

import torch
from torch import Tensor

from explainer.attribution.layer import FeatureLayer, LayerAttribution, feature_maps, replacing, weighted_map
from explainer.attribution.masked_score import score_of, steps
from explainer.networks import Explanandum


class AblationCAM(LayerAttribution):
    r"""The feature maps of a layer, each weighted by the fall of the class score when that map is set to 0.

    .. math:: w_k = (y^c - y^c_k) \, / \, |y^c|

    One forward pass for each channel: 2,048 for a ResNet-50.

    Args:
        layer: Dotted name below the explanandum's `network`; None takes the last tap.
        batch_size: Largest number of images that go through the classifier at once.
    """

    title = "Ablation-CAM"

    def maps_of_layer(
        self,
        explanandum: Explanandum,
        layer: FeatureLayer,
        image: Tensor,
        target: Tensor,
        progress: bool,
    ) -> Tensor:
        """Weigh the maps by their ablation: (B, 1, H, W), at least 0."""

        def scores(logits: Tensor) -> Tensor:
            return score_of(logits.float(), target, explanandum.multilabel, "logit")

        size = (image.shape[-2], image.shape[-1])
        with torch.no_grad():
            maps, logits = feature_maps(explanandum, layer, image, self.title)
            intact = scores(logits)
            falls = []
            for channel in steps(maps.shape[1], "AblationCAM", progress):
                with replacing(layer, image, partial(without, channel=channel), self.title):
                    ablated = explanandum(image)
                falls.append(intact - scores(ablated))
            # the absolute value: by a negative score the map would be turned upside down
            scale = intact.abs().clamp_min(1e-12)[:, None]
            weights = torch.stack(falls, 1) / scale
            return weighted_map(maps.float(), weights, size)


def without(maps: Tensor, channel: int) -> Tensor:
    """Return a copy of feature maps (B, C, h, w) of which one channel is 0.

    Example:
        >>> without(torch.ones(1, 3, 1, 1), 1).flatten().tolist()
        [1.0, 0.0, 1.0]
    """
    changed = maps.clone()
    changed[:, channel] = 0
    return changed
