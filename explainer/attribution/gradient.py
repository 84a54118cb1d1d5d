"""Methods that follow the gradient to the input, through captum.

K. Simonyan, A. Vedaldi, A. Zisserman: Deep Inside Convolutional Networks, 2013 (Gradient). J. T. Springenberg et al.:
Striving for Simplicity, ICLR workshop 2015 (Guided Backprop). M. D. Zeiler, R. Fergus: Visualizing and Understanding
Convolutional Networks, ECCV 2014 (Deconvnet). M. Sundararajan, A. Taly, Q. Yan: Axiomatic Attribution
for Deep Networks, ICML 2017 (Integrated Gradients).
"""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from explainer.attribution.base import Attribution
from explainer.errors import InputError
from explainer.networks import Explanandum

if TYPE_CHECKING:
    from captum.attr import GradientAttribution

# captum's classes are imported where they are used: it loads libraries of its own, for which other methods do not wait

Channels = Literal["abs_sum", "abs_max", "sum"]


class GradientMethod(Attribution):
    """A method of captum that gives a value for each channel of each pixel.

    Args:
        channels: Rule by which a pixel's channels become one value: "abs_sum" (sum of the magnitudes), "abs_max" (the
            largest magnitude, as in Simonyan et al.) or "sum" (signed).
        batch_size: Largest number of images that go through the classifier at once.
    """

    def __init__(self, channels: Channels = "abs_sum", batch_size: int = 16) -> None:
        self.channels = channels
        self.batch_size = batch_size

    @abstractmethod
    def captum(self, explanandum: Explanandum) -> "GradientAttribution":
        """Return captum's method for a network."""

    def arguments(self, explanandum: Explanandum, image: Tensor) -> dict[str, Any]:
        """Return further arguments of captum's `attribute`."""
        return {}

    def prepared(self, explanandum: Explanandum, image: Tensor) -> Tensor:
        """Return what captum is given for an image."""
        return image

    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """Run captum's method batch by batch: (B, 1, H, W)."""
        parts = zip(image.split(self.batch_size), target.split(self.batch_size), strict=True)
        maps = []
        with torch.inference_mode(False), torch.enable_grad(), simple_relu(explanandum):
            method = self.captum(explanandum)
            for images, classes in parts:
                # clones: what was made in inference mode can have no gradient
                inputs = self.prepared(explanandum, images.detach().clone()).requires_grad_()
                further = self.arguments(explanandum, images)
                values = method.attribute(inputs, target=classes.clone(), **further)
                maps.append(reduce_channels(values, self.channels).to(image.dtype))
        return torch.cat(maps)


def reduce_channels(attribution: Tensor, channels: Channels) -> Tensor:
    """Reduce the channels to one value a pixel: (B, 3, H, W) → (B, 1, H, W).

    Args:
        attribution: Attribution of each channel, (B, 3, H, W).
        channels: Rule, as `GradientMethod` describes it.

    Returns:
        Map (B, 1, H, W); signed for "sum", else at least 0.

    Example:
        >>> reduce_channels(torch.tensor([1.0, -3.0, 1.0]).view(1, 3, 1, 1), "abs_sum").item()
        5.0
    """
    attribution = attribution.detach()
    if channels == "sum":
        return attribution.sum(1, keepdim=True)
    magnitude = attribution.abs()
    if channels == "abs_sum":
        return magnitude.sum(1, keepdim=True)
    return magnitude.amax(1, keepdim=True)


class ClippedReLU(nn.Module):
    """ReLU6 made of a ReLU, which captum's hooks know, and a clip."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """Compute min(max(x, 0), 6)."""
        return self.relu(features).clamp_max(6)


@contextmanager
def simple_relu(network: nn.Module) -> Iterator[None]:
    """Give captum's hooks the ReLUs that they need: while open, none works in place, and ReLU6 holds a plain ReLU.

    Args:
        network: Network, which has its own activations again at the end.

    Example:
        >>> network = nn.Sequential(nn.ReLU(inplace=True))
        >>> with simple_relu(network): print(network[0].inplace)
        False
    """
    inplace: list[Any] = [m for m in network.modules() if getattr(m, "inplace", False)]
    clipped: list[tuple[nn.Module, str, nn.Module]] = []
    for parent in network.modules():
        for name, child in parent.named_children():
            if type(child) is nn.ReLU6:
                clipped.append((parent, name, child))
    for module in inplace:
        module.inplace = False
    for parent, name, _ in clipped:
        setattr(parent, name, ClippedReLU())
    try:
        yield
    finally:
        for parent, name, relu6 in clipped:
            setattr(parent, name, relu6)
        for module in inplace:
            module.inplace = True


class Gradient(GradientMethod):
    """Magnitude of the class score's gradient."""

    def captum(self, explanandum: Explanandum) -> "GradientAttribution":
        """Return captum's Saliency."""
        from captum.attr import Saliency

        return Saliency(explanandum)

    def arguments(self, explanandum: Explanandum, image: Tensor) -> dict[str, Any]:
        """Ask captum for the signed gradient."""
        # captum would take the magnitude itself; here `channels` decides about that
        return {"abs": False}


class InputXGradient(GradientMethod):
    """Input × gradient, where the input is the difference of the image to the mean colour, as after normalisation."""

    def captum(self, explanandum: Explanandum) -> "GradientAttribution":
        """Return captum's Input × Gradient, for an input that is zero at the mean colour."""
        from captum.attr import InputXGradient

        return InputXGradient(lambda shifted: explanandum(shifted + explanandum.mean_colour))

    def prepared(self, explanandum: Explanandum, image: Tensor) -> Tensor:
        """Subtract the mean colour."""
        return image - explanandum.mean_colour


class GuidedBackprop(GradientMethod):
    """The gradient, with negative parts left out at every ReLU on the way back; needs ReLU modules."""

    def captum(self, explanandum: Explanandum) -> "GradientAttribution":
        """Return captum's Guided Backprop, for networks in which it is more than the gradient."""
        from captum.attr import GuidedBackprop

        with_relu(explanandum, "Guided Backprop")
        return GuidedBackprop(explanandum)


class Deconvnet(GradientMethod):
    """The gradient, rectified at every ReLU on the way back, whatever was active; needs ReLU modules."""

    def captum(self, explanandum: Explanandum) -> "GradientAttribution":
        """Return captum's Deconvolution, for networks in which it is more than the gradient."""
        from captum.attr import Deconvolution

        with_relu(explanandum, "Deconvnet")
        return Deconvolution(explanandum)


def with_relu(explanandum: Explanandum, method: str) -> None:
    """Refuse networks whose ReLUs are functions: the method would silently be the plain gradient.

    Args:
        explanandum: Frozen classifier.
        method: Name of the method, for the error.

    Raises:
        InputError: There is no ReLU module.
    """
    if not any(isinstance(m, nn.ReLU) for m in explanandum.modules()):
        raise InputError(
            f"{method} changes what ReLU modules pass back; this classifier has none, "
            "or calls relu as a function: use Gradient or IntegratedGradients"
        )


class IntegratedGradients(GradientMethod):
    """Gradients along the straight line from the mean colour, times the difference to it.

    Args:
        steps: Number of points on the line.
        channels: Rule by which a pixel's channels become one value: "abs_sum", "abs_max" or "sum" (signed).
        batch_size: Largest number of points that go through the classifier at once.
    """

    budget = "steps"

    def __init__(self, steps: int = 25, channels: Channels = "abs_sum", batch_size: int = 16) -> None:
        super().__init__(channels, batch_size)
        if steps < 1:
            raise InputError(f"attribution IntegratedGradients: steps must be positive, got {steps}")
        self.steps = steps

    def captum(self, explanandum: Explanandum) -> "GradientAttribution":
        """Return captum's Integrated Gradients."""
        from captum.attr import IntegratedGradients

        return IntegratedGradients(explanandum)

    def arguments(self, explanandum: Explanandum, image: Tensor) -> dict[str, Any]:
        """Let the line start at a zero of the normalised input."""
        return {
            "baselines": explanandum.mean_colour.expand_as(image),
            "n_steps": self.steps,
            "internal_batch_size": max(self.batch_size, len(image)),
        }
