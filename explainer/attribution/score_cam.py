"""Score-CAM: feature maps weighted by what the classifier says of the image seen through each of them.

H. Wang, Z. Wang, M. Du, F. Yang, Z. Zhang, S. Ding, P. Mardziel, X. Hu: Score-CAM: Score-Weighted Visual Explanations
for Convolutional Neural Networks, CVPR Workshops 2020.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from explainer.attribution.layer import FeatureLayer, LayerAttribution, feature_maps, weighted_map
from explainer.attribution.masked_score import MaskedScore, steps
from explainer.functional.masking import min_max
from explainer.networks import Explanandum


class ScoreCAM(LayerAttribution):
    r"""The maps of a layer, each as a mask on the image: the surer the classifier, the heavier the map.

    .. math:: \alpha = \mathrm{softmax}_k \big( s_c(X \circ H^k) - s_c(X_b) \big), \quad
        H^k = \mathrm{minmax}(\mathrm{up}(A^k))

    The baseline :math:`X_b`, the mean colour, shifts all scores alike and does not change the softmax. One forward pass
    for each channel: 2,048 for a ResNet-50.

    Args:
        layer: Dotted name below the explanandum's `network`; None takes the last tap.
        batch_size: Largest number of masked images that go through the classifier at once.
    """

    title = "Score-CAM"

    def maps_of_layer(
        self,
        explanandum: Explanandum,
        layer: FeatureLayer,
        image: Tensor,
        target: Tensor,
        progress: bool,
    ) -> Tensor:
        """Weigh the maps by the score seen through each: (B, 1, H, W), at least 0."""
        size = (image.shape[-2], image.shape[-1])
        with torch.no_grad():
            maps = feature_maps(explanandum, layer, image, self.title)[0].float()
            scorer = MaskedScore(explanandum, image, target, None, "logit", self.batch_size)
            scores = []
            # channel by channel: all masks at image size at once would be gigabytes
            for channel in steps(maps.shape[1], "ScoreCAM", progress):
                coarse = maps[:, channel : channel + 1]
                enlarged = F.interpolate(coarse, size, mode="bilinear", align_corners=False)
                mask = min_max(enlarged)
                scores.append(scorer(mask[None])[0])
            weights = torch.stack(scores, 1).softmax(1)
            return weighted_map(maps, weights, size)
