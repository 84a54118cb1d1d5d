"""Grad-CAM++: Grad-CAM whose weights count each location of a feature map by how much it matters.

A. Chattopadhyay, A. Sarkar, P. Howlader, V. N. Balasubramanian: Grad-CAM++: Generalized Gradient-based Visual
Explanations for Deep Convolutional Networks, WACV 2018.
"""

import torch
from torch import Tensor, nn

from explainer.attribution.layer import LayerAttribution, feature_maps, weighted_map
from explainer.attribution.masked_score import score_of
from explainer.networks import Explanandum


def plus_plus_weights(maps: Tensor, gradient: Tensor) -> Tensor:
    r"""Compute the weights of the feature maps, up to a positive factor that all of an image share.

    .. math:: w_k = \sum_{ij} \alpha^k_{ij} \, \mathrm{ReLU}(\partial Y / \partial A^k_{ij}), \quad
        \alpha^k_{ij} = \frac{g^2}{2 g^2 + \sum_{ab} A^k_{ab} \, g^3}

    With :math:`Y = e^S` of a class score S and g its gradient, every derivative of Y is a power of g times Y.

    Args:
        maps: (B, C, h, w).
        gradient: (B, C, h, w), g.

    Returns:
        (B, C), at least 0 where all maps are; 0 where the gradient is.

    Example:
        >>> round(plus_plus_weights(torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1)).item(), 4)
        0.3333
    """
    square, total = gradient.square(), maps.sum((2, 3), keepdim=True)
    below = 2 * square + total * square * gradient
    share = torch.where(below != 0, square / torch.where(below != 0, below, 1.0), 0.0)
    return (share * gradient.relu()).sum((2, 3))


class GradCAMPlusPlus(LayerAttribution):
    """Activations of a layer, weighted by their positive gradients, location by location.

    Args:
        layer: Dotted name below the explanandum's `network`; None takes the last tap.
        batch_size: At most so many images at once.
    """

    title = "Grad-CAM++"

    def maps_of_layer(self, explanandum: Explanandum, layer: nn.Module, image: Tensor, target: Tensor) -> Tensor:
        """(B, 1, H, W), at least 0."""
        with torch.inference_mode(False), torch.enable_grad():
            maps, logits = feature_maps(explanandum, layer, image.clone(), self.title)
            score = score_of(logits.float(), target.clone(), explanandum.multilabel, "logit").sum()
            (gradient,) = torch.autograd.grad(score, maps)
        weights = plus_plus_weights(maps.detach().float(), gradient.float())
        return weighted_map(maps.detach().float(), weights, (image.shape[-2], image.shape[-1]))
