"""What methods that weigh the feature maps of a layer share: the layer, its maps, and the network behind them."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explainer.attribution.base import Attribution, by_batches
from explainer.errors import InputError
from explainer.networks import Explanandum
from explainer.networks.spatial import (
    Layout,
    from_maps,
    known_layouts,
    layout_at_sight,
    replaced,
    tensor_of,
    to_maps,
)


class LayerAttribution(Attribution):
    """A method that weighs the feature maps of one layer.

    Args:
        layer: Dotted name below the explanandum's `network`; None takes the last tap.
        batch_size: Largest number of images that go through the classifier at once.
    """

    title: str
    """Name of the method in errors."""

    def __init__(self, layer: str | None = None, batch_size: int = 16) -> None:
        self.layer = layer
        self.batch_size = batch_size

    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """Weigh the layer's maps batch by batch: (B, 1, H, W), at least 0."""
        return self._maps(explanandum, image, target, progress=False)

    def maps_with_progress(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """Compute the same maps; a method that looks at each channel in turn shows a progress bar meanwhile."""
        return self._maps(explanandum, image, target, progress=True)

    def _maps(self, explanandum: Explanandum, image: Tensor, target: Tensor, progress: bool) -> Tensor:
        """Weigh the layer's maps batch by batch, with or without a progress bar: (B, 1, H, W), at least 0."""
        layer = feature_layer(explanandum, self.layer, self.title)
        compute = partial(self.maps_of_layer, explanandum, layer, progress=progress)
        return by_batches(self.batch_size, compute, image, target)

    @abstractmethod
    def maps_of_layer(
        self,
        explanandum: Explanandum,
        layer: "FeatureLayer",
        image: Tensor,
        target: Tensor,
        progress: bool,
    ) -> Tensor:
        """Weigh the layer's maps of at most `batch_size` images: (B, 1, H, W), at least 0."""


def feature_layer(explanandum: Explanandum, name: str | None, method: str) -> "FeatureLayer":
    """Find the layer whose maps are weighed.

    Args:
        explanandum: Frozen classifier.
        name: Dotted name of the layer below its `network`; None takes the last tap.
        method: Name of the method, for errors.

    Returns:
        Layer, with the layout of its output.

    Raises:
        InputError: There is no such layer, or the classifier has no convolution at all.
    """
    has_convolution = any(isinstance(module, nn.Conv2d) for module in explanandum.modules())
    if name is None and not has_convolution:
        raise InputError(f"{method} weighs feature maps; this classifier has no convolution: choose another method")
    name = name or explanandum.taps[-1]
    try:
        module = explanandum.network.get_submodule(name)
    except AttributeError as error:
        raise InputError(f"{method}: no layer {name!r} in the classifier") from error
    return FeatureLayer(name, module, known_layouts(explanandum.network, [name]).get(name))


class FeatureLayer(NamedTuple):
    """A layer whose feature maps are weighed.

    Attributes:
        name: Dotted name below the explanandum's `network`.
        module: Layer.
        layout: Layout of its output; None where the network could not be asked.
    """

    name: str
    module: nn.Module
    layout: Layout | None

    def maps(self, output: Any, image: Tensor, method: str) -> tuple[Tensor, Tensor, Layout]:
        """Bring an output into the order of feature maps.

        Args:
            output: Output of the layer.
            image: Images (B, 3, H, W) that it was given for.
            method: Name of the method, for the error.

        Returns:
            Feature maps (B, C, h, w), the activations as they are, and their layout.

        Raises:
            InputError: The layer gives no feature maps.
        """
        activation = tensor_of(output, len(image))
        aspect = image.shape[-2] / image.shape[-1]
        try:
            if activation is None:
                raise InputError("it gives no tensor")
            layout = self.layout or layout_at_sight(self.name, activation, aspect)
            return to_maps(activation, layout, aspect), activation, layout
        except InputError as error:
            raise InputError(f"{method}: the layer gives no feature maps (B, C, h, w); name one that does") from error


@contextmanager
def replacing(layer: FeatureLayer, image: Tensor, change: Callable[[Tensor], Tensor], method: str) -> Iterator[None]:
    """Change the feature maps of a layer while open.

    Args:
        layer: Layer of a network; its hook is removed at the end.
        image: Images that go through the network.
        change: Function from the layer's maps to those that the network goes on with.
        method: Name of the method, for errors.
    """

    def exchange(module: nn.Module, inputs: tuple, output: Any) -> Any:
        maps, activation, layout = layer.maps(output, image, method)
        return replaced(output, from_maps(change(maps), activation, layout))

    handle = layer.module.register_forward_hook(exchange)
    try:
        yield
    finally:
        handle.remove()


def feature_maps(explanandum: Explanandum, layer: FeatureLayer, image: Tensor, method: str) -> tuple[Tensor, Tensor]:
    """Run the classifier, and keep a layer's output; where gradients are on, the graph leads from there to the logits.

    Args:
        explanandum: Frozen classifier.
        layer: Layer of its network.
        image: Images (B, 3, H, W) in [0, 1].
        method: Name of the method, for the error.

    Returns:
        Feature maps (B, C, h, w) and logits (B, K).

    Raises:
        InputError: The layer gives no feature maps.
    """
    outputs: list[Tensor] = []

    def keep(output: Tensor) -> Tensor:
        # a copy of its own: the next layer may work in place, and frozen weights ask for no gradient
        maps = output.detach().clone().requires_grad_(torch.is_grad_enabled())
        outputs.append(maps)
        return maps.clone()

    with replacing(layer, image, keep, method):
        logits = explanandum(image)
    return outputs[-1], logits


def weighted_map(maps: Tensor, weights: Tensor, size: tuple[int, int]) -> Tensor:
    r"""Compute :math:`\mathrm{ReLU}(\sum_k w_k A^k)`, enlarged bilinearly.

    Args:
        maps: Feature maps (B, C, h, w).
        weights: Weights (B, C), or one for each location, (B, C, h, w).
        size: H and W of the image.

    Returns:
        Map (B, 1, H, W), at least 0.

    Example:
        >>> weighted_map(torch.ones(1, 2, 2, 2), torch.tensor([[1.0, 2.0]]), (4, 4)).unique().item()
        3.0
    """
    if weights.ndim == 2:
        weights = weights[:, :, None, None]
    coarse = (weights * maps).sum(1, keepdim=True).relu()
    return F.interpolate(coarse, size, mode="bilinear", align_corners=False)
