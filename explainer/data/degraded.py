"""Any data set with its most salient pixels removed, or with nothing but them: the inputs of ROAR and KAR.

S. Hooker et al.: A Benchmark for Interpretability Methods in Deep Neural Networks, NeurIPS 2019 (ROAR). T. N. Mundhenk
et al.: Efficient Saliency Maps for Explainable AI, 2020 (KAR).
"""

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from explainer.data.base import ImageDataModule, ImageDataset, Split
from explainer.data.ranks import LEVELS, Ranks
from explainer.errors import InputError

Mode = Literal["keep", "remove"]


def degrade(image: Tensor, rank: Tensor, mode: Mode, fraction: float, colour: Tensor) -> Tensor:
    """Replace pixels by a colour.

    Args:
        image: (3, H, W) in [0, 1].
        rank: (H, W), as `levels` gives it.
        mode: "keep" leaves the most salient fraction (KAR), "remove" takes it away (ROAR).
        fraction: Of the image, in [0, 1].
        colour: (3, 1, 1) in [0, 1].

    Returns:
        (3, H, W).

    Example:
        >>> rank = torch.tensor([[0, 100]], dtype=torch.uint8)
        >>> degrade(torch.ones(3, 1, 2), rank, "remove", 0.5, torch.zeros(3, 1, 1))[0].tolist()
        [[0.0, 1.0]]
    """
    salient = rank < round(fraction * LEVELS)
    return torch.where(salient if mode == "keep" else ~salient, image, colour)


class DegradedDataset(ImageDataset):
    """A split of a data set, degraded; augmentation comes after."""

    def __init__(
        self, base: ImageDataset, ranks: Ranks, mode: Mode, fraction: float, colour: Tensor, **options: Any
    ) -> None:
        super().__init__(base.ids, base.classes, **options)
        self.base, self.ranks, self.mode, self.fraction, self.colour = base, ranks, mode, fraction, colour

    def image(self, index: int) -> Tensor:
        """(3, S, S) in [0, 1]."""
        return degrade(self.base.image(index), self.ranks[index], self.mode, self.fraction, self.colour)

    def labels(self, index: int) -> Tensor:
        """Those of the data set."""
        return self.base.labels(index)

    def segmentation(self, index: int) -> Tensor | None:
        """That of the data set."""
        return self.base.segmentation(index)

    def boxes(self, index: int) -> Tensor | None:
        """Those of the data set."""
        return self.base.boxes(index)


class Degraded(ImageDataModule):
    """A DataModule whose images are degraded, in training, validation and test alike.

    Args:
        data: The DataModule; its root, image size, batch size, workers, seed and augmentation hold.
        ranks: Folder of the ranks, made by `evaluate.py` for a retraining grid.
        mode: "keep" the most salient fraction (KAR), or "remove" it (ROAR).
        fraction: Of the image, in [0, 1], to half a percent.
        method: Name of the method that the ranks must be of; None takes any.
    """

    def __init__(
        self, data: ImageDataModule, ranks: str, mode: Mode = "remove", fraction: float = 0.5, method: str | None = None
    ) -> None:
        if not 0 <= fraction <= 1:
            raise InputError(f"Degraded: fraction must lie in [0, 1], got {fraction}")
        super().__init__(
            root=str(data.root), image_size=data.image_size, batch_size=data.batch_size, num_workers=data.num_workers,
            strict=data.strict, flip=data.flip, erase=data.erase, seed=data.seed,
        )  # fmt: skip
        self.data, self.ranks, self.mode, self.fraction, self.method = data, Path(ranks), mode, fraction, method
        self.multilabel = data.multilabel

    @property
    def classes(self) -> tuple[str, ...]:
        """Those of the data set."""
        return self.data.classes

    def prepare_data(self) -> None:
        """As the data set."""
        self.data.prepare_data()

    def build(self, split: Split) -> DegradedDataset:
        """A split, with its ranks."""
        base = self.data.split(split)
        ranks = Ranks(self.ranks, split)
        ranks.open(base.ids, self.image_size, self.method)
        colour = torch.tensor(Ranks(self.ranks, "train").facts()["colour"]).view(3, 1, 1)
        return DegradedDataset(base, ranks, self.mode, self.fraction, colour, **self.options(split))
