"""One colour."""

from collections.abc import Sequence

import torch
from torch import Tensor

from explainer.errors import InputError, check_range
from explainer.infill.base import Infill


class Constant(Infill):
    """The same colour everywhere.

    Args:
        colour: Colour, a number in [0, 1] for each channel; ImageNet's mean by default, a zero at the input of most
            classifiers. One number is a grey for any number of channels.

    Raises:
        InputError: The colour has no numbers, or one is out of its range.

    Example:
        >>> Constant((0.0, 0.5, 1.0))(torch.rand(2, 3, 4, 4)).flatten().tolist()
        [0.0, 0.5, 1.0]
    """

    def __init__(self, colour: Sequence[float] = (0.485, 0.456, 0.406)) -> None:
        if not len(colour):
            raise InputError("infill Constant: colour has a number for each channel, got none")
        for value in colour:
            check_range("infill Constant: colour", value, 0, 1)
        self.colour = tuple(colour)

    def __call__(self, image: Tensor, mask: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Return the colour: (1, C, 1, 1).

        Raises:
            InputError: The images have another number of channels.
        """
        if len(self.colour) not in (1, image.shape[1]):
            numbers = f"{len(self.colour)} numbers, and the images have {image.shape[1]} channels"
            raise InputError(f"infill Constant: colour has {numbers}")
        # one pixel: whoever composes broadcasts it, and no tensor of the image's size is made
        colour = torch.tensor(self.colour, dtype=image.dtype, device=image.device)
        return colour.view(1, -1, 1, 1).expand(1, image.shape[1], 1, 1)
