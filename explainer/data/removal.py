"""Remove random parts of training images, so that a classifier knows images with parts removed.

R. Hesse, S. Schaub-Meyer, S. Roth: Benchmarking the Attribution Quality of Vision Models, NeurIPS 2024 (one cell of a
grid, in half of the images). X. Zheng et al.: F-Fidelity: A Robust Framework for Faithfulness Evaluation of Explainable
AI, ICLR 2025 (single pixels, at random). A classifier that is fine-tuned so does not see an image with a part removed
as something new, and what it then says measures the part and not the surprise.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from explainer.data.bounds import within
from explainer.errors import InputError
from explainer.functional.masking import grid_cells


class Removal(ABC):
    """What is removed from a training image, and the colour that stands there.

    Args:
        colour: Red, green and blue in [0, 1]: the mean colour of the classifier that is fine-tuned, if an evaluation
            fills with it too; None takes each image's own mean colour.

    Raises:
        InputError: The colour is none in [0, 1].
    """

    def __init__(self, colour: Sequence[float] | None = None) -> None:
        if colour is not None and not all(0 <= value <= 1 for value in colour):
            raise InputError(f"removal {type(self).__name__}: colour must lie in [0, 1], got {list(colour)}")
        self.colour = None if colour is None else list(colour)

    @abstractmethod
    def gone(self, size: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Draw which pixels are removed: (H, W) bool.

        Args:
            size: H and W.
            generator: Generator on the CPU.
        """

    def __call__(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Remove a part of an image.

        Args:
            image: Image (C, H, W) in [0, 1]; it stays as it is.
            generator: Generator on the CPU.

        Returns:
            A copy (C, H, W) in [0, 1].

        Raises:
            InputError: The image has another number of channels than the colour.
        """
        if self.colour is None:
            fill = image.mean((1, 2), keepdim=True)
        else:
            if len(self.colour) != len(image):
                words = f"{len(self.colour)} numbers, and the images have {len(image)} channels"
                raise InputError(f"removal {type(self).__name__}: colour has {words}")
            fill = torch.tensor(self.colour).to(image).view(-1, 1, 1)
        size = (image.shape[1], image.shape[2])
        return torch.where(self.gone(size, generator), fill, image)


class SinglePatch(Removal):
    """With some probability one cell of a grid is removed; all cells are equally likely.

    Args:
        grid: Number of cells along each side (4 in the paper).
        probability: Probability that an image loses a cell (0.5 in the paper).
        colour: Red, green and blue in [0, 1]; None takes each image's own mean colour.

    Raises:
        InputError: A number is out of range.

    Example:
        >>> removal = SinglePatch(grid=2, probability=1.0)
        >>> removal.gone((4, 4), torch.Generator().manual_seed(0)).sum().item()
        4
    """

    def __init__(self, grid: int = 4, probability: float = 0.5, colour: Sequence[float] | None = None) -> None:
        super().__init__(colour)
        within("removal.init_args.grid", grid, 1)
        within("removal.init_args.probability", probability, 0, 1)
        self.grid = grid
        self.probability = probability

    def gone(self, size: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Draw a cell, or none: (H, W) bool."""
        if self.grid > min(size):
            raise InputError(f"removal SinglePatch: a grid of {self.grid} cells does not fit images of {size}")
        # both numbers in any case: which cell it is does not depend on the probability
        chance = torch.rand((), generator=generator)
        cell = torch.randint(self.grid**2, (), generator=generator)
        cells = grid_cells(size, self.grid)
        return (cells == cell) & (chance < self.probability)


class RandomPixels(Removal):
    """Each pixel is removed with a probability that is drawn anew for each image.

    Args:
        rate: Largest probability, β of F-Fidelity (0.1 in the paper); each image's is even between 0 and this one.
        colour: Red, green and blue in [0, 1]; None takes each image's own mean colour.

    Raises:
        InputError: The rate is out of range.

    Example:
        >>> RandomPixels(rate=0.0).gone((4, 4), torch.Generator().manual_seed(0)).any().item()
        False
    """

    def __init__(self, rate: float = 0.1, colour: Sequence[float] | None = None) -> None:
        super().__init__(colour)
        within("removal.init_args.rate", rate, 0, 1)
        self.rate = rate

    def gone(self, size: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Draw pixels: (H, W) bool."""
        rate = self.rate * torch.rand((), generator=generator)
        return torch.rand(size, generator=generator) < rate
