"""Score-CAM: feature maps weighted by what the classifier says of the image seen through each of them.

H. Wang, Z. Wang, M. Du, F. Yang, Z. Zhang, S. Ding, P. Mardziel, X. Hu: Score-CAM: Score-Weighted Visual Explanations
for Convolutional Neural Networks, CVPR Workshops 2020.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from explainer.attribution.base import Attribution
from explainer.attribution.layer import feature_layer, feature_maps, weighted_map
from explainer.attribution.perturbing import MaskedScore, steps
from explainer.masking import min_max
from explainer.networks import Explanandum


class ScoreCAM(Attribution):
    r"""The maps of a layer, each as a mask on the image: the surer the classifier, the heavier the map.

    .. math:: \alpha = \mathrm{softmax}_k \big( s_c(X \circ H^k) - s_c(X_b) \big), \quad
        H^k = \mathrm{minmax}(\mathrm{up}(A^k))

    The baseline :math:`X_b`, the mean colour, shifts all scores alike and does not change the softmax. One forward pass
    for each channel: 2,048 for a ResNet-50.

    Args:
        layer: Dotted name below the explanandum's `network`; None takes the last tap.
        batch_size: At most so many masked images at once.
    """

    def __init__(self, layer: str | None = None, batch_size: int = 16) -> None:
        self.layer, self.batch_size = layer, batch_size

    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """(B, 1, H, W), at least 0."""
        layer = feature_layer(explanandum, self.layer, "Score-CAM")
        size = (image.shape[-2], image.shape[-1])
        with torch.no_grad():
            maps = feature_maps(explanandum, layer, image, "Score-CAM")[0].float()
            scorer = MaskedScore(explanandum, image, target, None, "logit", self.batch_size)
            scores = []
            for channel in steps(maps.shape[1], "ScoreCAM"):
                mask = min_max(
                    F.interpolate(maps[:, channel : channel + 1], size, mode="bilinear", align_corners=False)
                )
                scores.append(scorer(mask[None])[0])
            weights = torch.stack(scores, 1).softmax(1)
            return weighted_map(maps, weights, size)
