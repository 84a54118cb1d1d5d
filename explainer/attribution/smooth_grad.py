"""SmoothGrad and SmoothGrad-squared, through captum.

D. Smilkov et al.: SmoothGrad: Removing Noise by Adding Noise, 2017; squared: S. Hooker et al.: A Benchmark for
Interpretability Methods in Deep Neural Networks, NeurIPS 2019.
"""

import torch
from torch import Tensor

from explainer.attribution.base import Attribution, random_state_restored
from explainer.attribution.gradient import Gradient, GradientMethod, reduce_channels, simple_relu
from explainer.errors import InputError, check_seed
from explainer.networks import Explanandum


class SmoothGrad(Attribution):
    """Mean of a gradient method's values, or of their squares, over noisy copies of the image.

    Args:
        method: Gradient, Guided Backprop or Integrated Gradients; None takes Gradient.
        samples: Number of noisy copies; 15 as in ROAR.
        deviation: Standard deviation of the noise, in units of the image's range [0, 1].
        squared: Whether the squares are averaged, which ranks pixels far better.
        seed: Seed of the noise.
        batch_size: Largest number of copies that go through the classifier at once.

    Raises:
        InputError: Samples or deviation are not positive, or the seed is out of its range.
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
        if method is None:
            method = Gradient()
        self.method = method
        self.samples = samples
        self.deviation = deviation
        self.squared = squared
        check_seed(f"attribution {type(self).__name__}: seed", seed)
        self.seed = seed
        self.batch_size = batch_size

    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """Average over the copies, one image at a time: (B, 1, H, W), at least 0 when squared."""
        from captum.attr import (
            NoiseTunnel,  # late: captum loads libraries of its own, for which other methods do not wait
        )

        kind = "smoothgrad_sq" if self.squared else "smoothgrad"
        maps = []
        with (
            random_state_restored(image),
            torch.inference_mode(False),
            torch.enable_grad(),
            simple_relu(explanandum),
        ):
            tunnel = NoiseTunnel(self.method.captum(explanandum))
            for picture, its_class in zip(image.split(1), target.split(1), strict=True):
                # captum draws from the global generator: seeded anew, each image sees the same noise
                torch.manual_seed(self.seed)
                inputs = self.method.prepared(explanandum, picture.detach().clone()).requires_grad_()
                values = tunnel.attribute(
                    inputs,
                    target=its_class.clone(),
                    stdevs=self.deviation,
                    nt_type=kind,
                    nt_samples=self.samples,
                    nt_samples_batch_size=min(self.samples, self.batch_size),
                    **self.method.arguments(explanandum, picture),
                )
                maps.append(reduce_channels(values, self.method.channels).to(image.dtype))
        return torch.cat(maps)
