"""SmoothGrad and SmoothGrad-squared, through captum.

D. Smilkov et al.: SmoothGrad: Removing Noise by Adding Noise, 2017; squared: S. Hooker et al.: A Benchmark for
Interpretability Methods in Deep Neural Networks, NeurIPS 2019.
"""

import torch
from captum.attr import NoiseTunnel
from torch import Tensor

from explainer.attribution.base import Attribution
from explainer.attribution.gradient import Gradient, GradientMethod, reduce_channels, simple_relu
from explainer.errors import InputError, check_seed
from explainer.networks import Explanandum


class SmoothGrad(Attribution):
    """Mean of a gradient method over noisy copies of the image, or of its squares.

    Args:
        method: Gradient, Guided Backprop or Integrated Gradients; None takes Gradient.
        samples: Noisy copies; 15 as in ROAR.
        deviation: Of the noise, in units of the image's range [0, 1].
        squared: Average the squares, which ranks pixels far better.
        seed: Of the noise.
        batch_size: At most so many copies at once.
    """

    budget = "samples"

    def __init__(
        self,
        method: GradientMethod | None = None,
        samples: int = 15,
        deviation: float = 0.15,
        squared: bool = True,
        seed: int = 0,
        batch_size: int = 16,
    ) -> None:
        if samples < 1 or deviation <= 0:
            raise InputError(
                f"attribution SmoothGrad: samples and deviation must be positive, got {samples}, {deviation}"
            )
        self.method = Gradient() if method is None else method
        self.samples, self.deviation, self.squared = samples, deviation, squared
        check_seed(f"attribution {type(self).__name__}: seed", seed)
        self.seed, self.batch_size = seed, batch_size

    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """(B, 1, H, W); at least 0 when squared. One image at a time, its copies in a batch."""
        devices = [image.device] if image.is_cuda else []
        found = []
        with torch.random.fork_rng(devices), torch.inference_mode(False), torch.enable_grad(), simple_relu(explanandum):
            tunnel = NoiseTunnel(self.method.captum(explanandum))
            for one, its in zip(image.split(1), target.split(1), strict=True):
                torch.manual_seed(self.seed)
                inputs = self.method.prepared(explanandum, one.detach().clone()).requires_grad_()
                values = tunnel.attribute(
                    inputs,
                    target=its.clone(),
                    stdevs=self.deviation,
                    nt_type="smoothgrad_sq" if self.squared else "smoothgrad",
                    nt_samples=self.samples,
                    nt_samples_batch_size=min(self.samples, self.batch_size),
                    **self.method.arguments(explanandum, one),
                )
                found.append(reduce_channels(values, self.method.channels).to(image.dtype))
        return torch.cat(found)
