"""Grad-CAM++: Grad-CAM whose weights count each location of a feature map by how much it matters.

A. Chattopadhyay, A. Sarkar, P. Howlader, V. N. Balasubramanian: Grad-CAM++: Generalized Gradient-based Visual
Explanations for Deep Convolutional Networks, WACV 2018.
"""

import torch
from torch import Tensor

from explainer.attribution.layer import FeatureLayer, LayerAttribution, feature_maps, weighted_map
from explainer.attribution.masked_score import score_of
from explainer.networks import Explanandum


def plus_plus_weights(maps: Tensor, gradient: Tensor) -> Tensor:
    r"""Compute the weights of the feature maps, up to a positive factor that all of an image share.

    .. math:: w_k = \sum_{ij} \alpha^k_{ij} \, \mathrm{ReLU}(\partial Y / \partial A^k_{ij}), \quad
        \alpha^k_{ij} = \frac{g^2}{2 g^2 + \sum_{ab} A^k_{ab} \, g^3}

    With :math:`Y = e^S` of a class score S and g its gradient, every derivative of Y is a power of g times Y.

    Args:
        maps: Feature maps (B, C, h, w).
        gradient: g, gradient of the class score to the maps, (B, C, h, w).

    Returns:
        Weights (B, C), at least 0 where all maps are; 0 where the gradient is.

    Example:
        >>> round(plus_plus_weights(torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1)).item(), 4)
        0.3333
    """
    square = gradient.square()
    total = maps.sum((2, 3), keepdim=True)
    denominator = 2 * square + total * square * gradient
    defined = denominator != 0
    # where() computes both branches, and a division by 0 in either would be NaN
    alpha = torch.where(defined, square / torch.where(defined, denominator, 1.0), 0.0)
    return (alpha * gradient.relu()).sum((2, 3))


class GradCAMPlusPlus(LayerAttribution):
    """Activations of a layer, weighted by their positive gradients, location by location.

    Args:
        layer: Dotted name below the explanandum's `network`; None takes the last tap.
        batch_size: Largest number of images that go through the classifier at once.
    """

    title = "Grad-CAM++"

    def maps_of_layer(
        self,
        explanandum: Explanandum,
        layer: FeatureLayer,
        image: Tensor,
        target: Tensor,
        progress: bool,
    ) -> Tensor:
        """Weigh the activations location by location: (B, 1, H, W), at least 0."""
        size = (image.shape[-2], image.shape[-1])
        with torch.inference_mode(False), torch.enable_grad():
            maps, logits = feature_maps(explanandum, layer, image.clone(), self.title)
            score = score_of(logits.float(), target.clone(), explanandum.multilabel, "logit").sum()
            # one backward pass for all images: the score of each depends on its own maps only
            (gradient,) = torch.autograd.grad(score, maps)
        maps = maps.detach().float()
        weights = plus_plus_weights(maps, gradient.float())
        return weighted_map(maps, weights, size)
