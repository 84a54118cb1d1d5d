"""A completion VAE: from what is visible to a distribution over codes, and from a code to the whole picture.

D. P. Kingma, M. Welling: Auto-Encoding Variational Bayes, ICLR 2014. The encoder's dilated convolutions are those of
S. Iizuka, E. Simo-Serra, H. Ishikawa: Globally and Locally Consistent Image Completion, SIGGRAPH 2017, which C.-H.
Chang et al., ICLR 2019, name as the architecture of their in-fill. A code is a map of an eighth of the side, so that
any size goes through; FIDO took the mean of the code, which worked better than a sample.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from explainer.errors import InputError
from explainer.networks.generative.contextual_attention import context, decoder, encoder
from explainer.networks.generative.inpainter import Inpainter, convolution, growing, visible

LOG_VARIANCE = 8.0
"""Bound of the logarithms of variances, on both sides: their exponential stays finite in half precision."""


class Completion(NamedTuple):
    """A completed picture, and the distribution of its code.

    Attributes:
        image: Whole pictures (N, 3, H, W) in [0, 1].
        mean: Mean (N, latent, H / 8, W / 8) of the code.
        log_variance: Logarithm of the code's variance, the same shape.
    """

    image: Tensor
    mean: Tensor
    log_variance: Tensor


class CompletionVAE(Inpainter):
    """An encoder from masked image and mask to a code, and a decoder from the code to the whole picture.

    Args:
        width: Channels of the first convolutions; four times as many at a quarter of the size.
        latent: Channels of the code.
        dilations: Dilations of the encoder's dilated convolutions.

    Raises:
        InputError: A hyperparameter is not positive.

    Example:
        >>> completion = CompletionVAE(width=4, latent=8)(torch.rand(2, 3, 32, 48), torch.ones(2, 1, 32, 48))
        >>> completion.image.shape, completion.mean.shape
        (torch.Size([2, 3, 32, 48]), torch.Size([2, 8, 4, 6]))
    """

    def __init__(self, width: int = 32, latent: int = 64, dilations: Sequence[int] = (2, 4, 8)) -> None:
        super().__init__()
        if width < 1 or latent < 1:
            raise InputError(f"CompletionVAE: width {width} and latent {latent} must be positive")
        self.spec = {"width": width, "latent": latent, "dilations": list(dilations)}
        wide = 4 * width
        self.encoder = nn.Sequential(
            encoder(width),
            context(wide, dilations),
            convolution(wide, wide, stride=2),
            nn.Conv2d(wide, 2 * latent, 3, padding=1),
        )
        self.decoder = nn.Sequential(convolution(latent, wide), growing(wide, wide), decoder(wide, width))

    def forward(self, image: Tensor, mask: Tensor, generator: torch.Generator | None = None) -> Completion:
        """Encode, draw, decode.

        Args:
            image: Images (N, 3, H, W) in [0, 1], H and W multiples of 8.
            mask: Masks (N, 1, H, W), 1 = keep; rounded.
            generator: Generator of the code's noise, one draw an image; None decodes the mean.

        Returns:
            The pictures and the distributions of their codes.

        Raises:
            InputError: Shapes do not fit together, or a side is no multiple of `multiple`.
        """
        self.check(image, mask)
        known = (mask > 0.5).to(image.dtype)
        mean, log_variance = self.encode(image, known)
        noise = None
        if generator is not None:
            noise = draw(mean.shape, generator).to(mean)
        return Completion(self.decode(mean, log_variance, noise), mean, log_variance)

    def encode(self, image: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the variance of the code, each (N, latent, H / 8, W / 8)."""
        code = self.encoder(visible(image, known))
        mean, log_variance = code.float().chunk(2, 1)
        return mean, log_variance.clamp(-LOG_VARIANCE, LOG_VARIANCE)

    def decode(self, mean: Tensor, log_variance: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return the picture (N, 3, H, W) in [0, 1] of the mean code, or of the code that the noise leads to."""
        code = mean
        if noise is not None:
            # Kingma & Welling's reparametrisation: noise is an input, so that gradients reach mean and variance
            code = mean + (0.5 * log_variance).exp() * noise
        return self.decoder(code)

    def filled(self, image: Tensor, known: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return the picture; a draw is shared by the images of a batch, as in every stochastic in-fill."""
        mean, log_variance = self.encode(image, known)
        noise = None
        if generator is not None:
            noise = draw((1, *mean.shape[1:]), generator).to(mean)
        return self.decode(mean, log_variance, noise)


def draw(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draw normal noise on the generator's device.

    Example:
        >>> draw((1, 2), torch.Generator().manual_seed(0)).shape
        torch.Size([1, 2])
    """
    return torch.randn(tuple(shape), generator=generator, device=generator.device)
