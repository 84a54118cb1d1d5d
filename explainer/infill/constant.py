"""One colour."""

from collections.abc import Sequence

import torch
from torch import Tensor

from explainer.errors import InputError, check_range
from explainer.infill.base import Infill


class Constant(Infill):
    """The same colour everywhere.

    Args:
        colour: RGB colour in [0, 1]; ImageNet's mean by default, a zero at the input of most classifiers.

    Raises:
        InputError: The colour has not three numbers, or one is out of its range.

    Example:
        >>> Constant((0.0, 0.5, 1.0))(torch.rand(2, 3, 4, 4)).flatten().tolist()
        [0.0, 0.5, 1.0]
    """

    def __init__(self, colour: Sequence[float] = (0.485, 0.456, 0.406)) -> None:
        if len(colour) != 3:
            raise InputError(f"infill Constant: colour has three numbers, got {len(colour)}")
        for value in colour:
            check_range("infill Constant: colour", value, 0, 1)
        self.colour = tuple(colour)

    def __call__(self, image: Tensor, mask: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Return the colour: (1, 3, 1, 1)."""
        # one pixel: whoever composes broadcasts it, and no tensor of the image's size is made
        colour = torch.tensor(self.colour, dtype=image.dtype, device=image.device)
        return colour.view(1, 3, 1, 1)
