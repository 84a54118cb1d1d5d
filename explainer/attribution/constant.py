"""The same value at every pixel: the columns 0, 0.5 and 1 of the Explainer paper's Table 2."""

from torch import Tensor

from explainer.attribution.base import Reference
from explainer.errors import InputError


class Constant(Reference):
    """A constant mask.

    Args:
        value: In [0, 1].
    """

    def __init__(self, value: float = 0.5) -> None:
        if not 0 <= value <= 1:
            raise InputError(f"attribution Constant: value must lie in [0, 1], got {value}")
        self.value = value

    def mask(self, image: Tensor) -> Tensor:
        """(B, 1, H, W)."""
        return image.new_full((len(image), 1, *image.shape[-2:]), self.value)
