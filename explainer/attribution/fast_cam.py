"""FastCAM: the combined SMOE map, coloured in with the class by Grad-CAM of the last scale.

T. N. Mundhenk, B. Y. Chen, G. Friedland: Efficient Saliency Maps for Explainable AI, 2020 (section 4); named FastCAM
by the authors' follow-up. One forward pass, and one backward pass through what comes after the last scale.
"""

from functools import partial

import torch
from torch import Tensor

from explainer.attribution.base import Attribution, by_batches
from explainer.attribution.layer import feature_layer, replacing
from explainer.attribution.smoe import Statistic, Weights, measure, scale_weights
from explainer.errors import check_range
from explainer.functional import activation_statistics as statistics
from explainer.networks import Explanandum
from explainer.networks.taps import read_taps


class FastCAM(Attribution):
    """SMOE × Grad-CAM.

    Args:
        statistic: Name of a function of `explainer.functional.activation_statistics`.
        weights: Weights of the scales, as `SMOE` takes them.
        rectify: Whether negative activations count as 0; None does so only where nobody named the taps.
        batch_size: Largest number of images that go through the classifier at once.
        epsilon: Number that is added to activations before a logarithm.

    Raises:
        InputError: An epsilon out of range.
    """

    def __init__(
        self,
        statistic: Statistic = "smoe_scale",
        weights: Weights | None = None,
        rectify: bool | None = None,
        batch_size: int = 16,
        epsilon: float = statistics.EPSILON,
    ) -> None:
        check_range("epsilon", epsilon, statistics.SMALLEST_EPSILON, 1)
        self.epsilon = epsilon
        self.statistic = statistic
        self.weights = weights
        self.rectify = rectify
        self.batch_size = batch_size

    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """Multiply the two maps batch by batch: (B, 1, H, W), at least 0."""
        return by_batches(self.batch_size, partial(self._product, explanandum), image, target)

    def _product(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """Multiply the two maps of at most `batch_size` images: (B, 1, H, W), at least 0."""
        taps = explanandum.taps
        size = (image.shape[-2], image.shape[-1])
        last = feature_layer(explanandum, taps[-1], "FastCAM")
        outputs: list[Tensor] = []

        def cut(maps: Tensor) -> Tensor:
            outputs.append(maps.detach().requires_grad_())  # nothing before the last scale is recorded
            return outputs[-1].clone()  # what follows may be a ReLU that works in place

        reading = read_taps(explanandum.network, taps, self.statistic.startswith("truncated"))
        # cut first: the taps are read from what the network goes on with
        cutting = replacing(last, image, cut, "FastCAM")
        with cutting, reading as activations, torch.inference_mode(False), torch.enable_grad():
            logits = explanandum(image.detach().clone())
            score = logits.gather(1, target[:, None]).sum()
            (gradient,) = torch.autograd.grad(score, outputs[-1])
        weight = gradient.mean((2, 3), keepdim=True)
        cam = (weight * outputs[-1].detach()).sum(1, keepdim=True).relu().float()
        named = explanandum.taps_were_named
        maps = [measure(activations[tap], self.statistic, tap, self.rectify, named, self.epsilon) for tap in taps]
        combined = statistics.combine(maps, scale_weights(self.weights, len(maps)), size)
        return combined * statistics.upsample(cam, size)
