"""What every network that fills holes shares: what it is shown, and that known pixels come back as they were."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from explainer.errors import InputError
from explainer.networks.generative.hyperparameters import InpainterArguments, VAEArguments


def convolution(inside: int, outside: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Build a convolution that keeps the size (but for its stride), and an ELU.

    Args:
        inside: Channels of the input.
        outside: Channels of the output.
        kernel: Side of the kernel, odd.
        stride: Step between the places of the kernel.
        dilation: Distance between the kernel's values.

    Example:
        >>> convolution(3, 8, stride=2)(torch.rand(1, 3, 8, 8)).shape
        torch.Size([1, 8, 4, 4])
    """
    padding = dilation * (kernel // 2)
    layer = nn.Conv2d(inside, outside, kernel, stride, padding=padding, dilation=dilation)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # the default fades over so many layers
    return nn.Sequential(layer, nn.ELU())


def growing(inside: int, outside: int) -> nn.Sequential:
    """Build an upsampling to twice the side, by repeating pixels, and a convolution.

    Args:
        inside: Channels of the input.
        outside: Channels of the output.

    Example:
        >>> growing(8, 4)(torch.rand(1, 8, 4, 4)).shape
        torch.Size([1, 4, 8, 8])
    """
    return nn.Sequential(nn.Upsample(scale_factor=2), convolution(inside, outside))


def visible(image: Tensor, known: Tensor, guess: Tensor | None = None) -> Tensor:
    """Return what a network sees of an image with a hole.

    Args:
        image: Images (N, 3, H, W) in [0, 1].
        known: Masks (N, 1, H, W) of 0 and 1, 1 = known.
        guess: Pictures (N, 3, H, W) in [0, 1] that stand in the hole; None puts mid-grey there.

    Returns:
        (N, 5, H, W): colours in [-1, 1]; ones, which tell the border from padding; the hole.

    Example:
        >>> visible(torch.ones(1, 3, 1, 1), torch.zeros(1, 1, 1, 1)).flatten().tolist()
        [0.0, 0.0, 0.0, 1.0, 1.0]
    """
    in_hole = 0.5 if guess is None else guess
    # where(), not a product: whatever stands in the hole, a NaN too, has no influence
    colours = 2 * torch.where(known > 0, image, in_hole) - 1
    ones = torch.ones_like(known)
    seen = torch.cat([colours, ones, 1 - known], 1)
    return seen.contiguous(memory_format=torch.channels_last)  # saves a CPU a tenth of its time


class Inpainter(nn.Module, ABC):
    """Base of the networks that fill holes. Constructors take hyperparameters; `spec` keeps them for the checkpoint."""

    spec: InpainterArguments | VAEArguments
    multiple: int = 8
    """Sides of the images must be multiples of this."""

    @abstractmethod
    def filled(self, image: Tensor, known: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw the whole picture: checked (N, 3, H, W) and (N, 1, H, W) of 0 and 1 → (N, 3, H, W)."""

    def complete(self, image: Tensor, mask: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Fill the holes of images.

        Args:
            image: Images (N, 3, H, W) in [0, 1]; what stands in the hole has no influence.
            mask: Masks (N, 1, H, W), 1 = keep; rounded, 0.5 to 0. All ones and all zeros are allowed; with all zeros
                nothing is known, and the network draws what it expects of any image.
            generator: Generator of the samples, for networks that draw some; None takes the most likely picture.

        Returns:
            (N, 3, H, W) in [0, 1]; where the mask is 1, the image to the bit.

        Raises:
            InputError: Shapes do not fit together, or a side is no multiple of `multiple`.
        """
        self.check(image, mask)
        known = (mask > 0.5).to(image.dtype)
        filled = self.filled(image, known, generator).to(image.dtype)
        return torch.where(known > 0, image, filled)

    def check(self, image: Tensor, mask: Tensor) -> None:
        """Refuse images and masks that the network cannot take.

        Args:
            image: Tensor to check; images (N, 3, H, W) are wanted.
            mask: Tensor to check; masks (N, 1, H, W) are wanted.

        Raises:
            InputError: A shape does not fit; names it and the one that is wanted.
        """
        height, width = image.shape[-2:]
        multiple = self.multiple
        is_image = image.ndim == 4 and image.shape[1] == 3
        if not is_image or height % multiple or width % multiple:
            name = type(self).__name__
            raise InputError(
                f"{name} takes images (N, 3, H, W) whose sides are multiples of {multiple}, got {tuple(image.shape)}"
            )
        if mask.shape != (len(image), 1, height, width):
            raise InputError(f"mask has shape {tuple(mask.shape)}; wants ({len(image)}, 1, {height}, {width})")
