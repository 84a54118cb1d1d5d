"""Any data set with its most salient pixels removed, or with nothing but them: the inputs of ROAR and KAR.

S. Hooker et al.: A Benchmark for Interpretability Methods in Deep Neural Networks, NeurIPS 2019 (ROAR). T. N. Mundhenk
et al.: Efficient Saliency Maps for Explainable AI, 2020 (KAR).
"""

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from explainer.data.base import ImageDataModule, ImageDataset, Split
from explainer.errors import InputError
from explainer.experiments.retraining.rank_store import LEVELS, Ranks
from explainer.infill import Infill

Mode = Literal["keep", "remove"]


def degrade(image: Tensor, rank: Tensor, mode: Mode, fraction: float, fill: Tensor) -> Tensor:
    """Replace the pixels that a method holds to be salient, or all others.

    Args:
        image: Image, (3, H, W) in [0, 1].
        rank: Ranks of the pixels, (H, W) uint8, as `levels` returns them.
        mode: "keep" leaves the most salient fraction (KAR), "remove" takes it away (ROAR).
        fraction: Fraction of the image, in [0, 1].
        fill: Colour (3, 1, 1) or picture (3, H, W) in [0, 1] that takes the place of the pixels.

    Returns:
        (3, H, W) in [0, 1].

    Example:
        >>> rank = torch.tensor([[0, 100]], dtype=torch.uint8)
        >>> degrade(torch.ones(3, 1, 2), rank, "remove", 0.5, torch.zeros(3, 1, 1))[0].tolist()
        [[0.0, 1.0]]
    """
    return torch.where(staying(rank, mode, fraction), image, fill)


def staying(rank: Tensor, mode: Mode, fraction: float) -> Tensor:
    """Return where the image stays.

    Args:
        rank: Ranks of the pixels, (H, W) uint8, as `levels` returns them.
        mode: "keep" or "remove".
        fraction: Fraction of the image that is kept or removed, in [0, 1].

    Returns:
        (H, W) bool, True where the image stays.
    """
    # rounded, not cut: 0.29 · 200 is a little less than 58 in binary
    count = round(fraction * LEVELS)
    salient = rank < count
    return salient if mode == "keep" else ~salient


class DegradedDataset(ImageDataset):
    """A split of a data set, degraded.

    Augmentation comes after, as in the paper: whole images are masked, and what is masked is flipped and cropped with
    the rest. So a fraction is one of the whole image, and a crop may have more of its pixels replaced, or fewer.
    """

    def __init__(
        self,
        base: ImageDataset,
        ranks: Ranks,
        mode: Mode,
        fraction: float,
        fill: Tensor | Infill | None,
        **options: Any,
    ) -> None:
        super().__init__(base.ids, base.classes, **options)
        self.base = base
        self.ranks = ranks
        self.mode: Mode = mode
        self.fraction = fraction
        self.fill = fill

    def image(self, index: int) -> Tensor:
        """Return a degraded image, or where its pixels would stay, (3, S, S) in [0, 1]."""
        rank = self.ranks[index]
        if self.fill is None:
            return staying(rank, self.mode, self.fraction).float().expand(3, -1, -1)
        image = self.base.image(index)
        if isinstance(self.fill, Tensor):
            return degrade(image, rank, self.mode, self.fraction, self.fill)
        mask = staying(rank, self.mode, self.fraction).to(image)[None, None]
        # the same picture in every epoch and every process: what retraining sees is one data set
        fill = self.fill(image[None], mask, torch.Generator().manual_seed(index))
        return degrade(image, rank, self.mode, self.fraction, fill[0])

    def check(self) -> None:
        """Do nothing: the data set has been checked, and a learned infill need not run for that."""

    def labels(self, index: int) -> Tensor:
        """Return the labels of the data set, (K,) of 0 and 1."""
        return self.base.labels(index)

    def segmentation(self, index: int) -> Tensor | None:
        """Return the segmentation of the data set, if it has one."""
        return self.base.segmentation(index)

    def boxes(self, index: int) -> Tensor | None:
        """Return the boxes of the data set, if it has any."""
        return self.base.boxes(index)


class Degraded(ImageDataModule):
    """A DataModule whose images are degraded, in training, validation and test alike.

    Args:
        data: DataModule of the images; its root, image size, batch size, workers, seed and augmentation hold.
        ranks: Folder of the ranks, made by `evaluate.py` for a retraining grid.
        mode: "keep" the most salient fraction (KAR), or "remove" it (ROAR).
        fraction: Fraction of the image, in [0, 1], to half a percent.
        method: Name of the method that the ranks must be by; None takes any.
        infill: In-fill of the pixels that are replaced; None takes the training images' mean colour, as ROAR does. A
            learned one runs for every image that is read: `num_workers` processes share this work.
        masks_alone: Whether the images are the masks themselves, white where a pixel would stay.

    Raises:
        InputError: The fraction is out of range.
    """

    def __init__(
        self,
        data: ImageDataModule,
        ranks: str,
        mode: Mode = "remove",
        fraction: float = 0.5,
        method: str | None = None,
        infill: Infill | None = None,
        masks_alone: bool = False,
    ) -> None:
        if not 0 <= fraction <= 1:
            raise InputError(f"data.init_args.fraction must lie in [0, 1], got {fraction}")
        super().__init__(
            root=str(data.root),
            image_size=data.image_size,
            batch_size=data.batch_size,
            num_workers=data.num_workers,
            strict=data.strict,
            flip=data.flip,
            erase=data.erase,
            blank=data.blank,
            seed=data.seed,
            crop=data.crop,
            removal=data.removal,
        )
        self.data = data
        self.ranks = Path(ranks)
        self.mode: Mode = mode
        self.fraction = fraction
        self.method = method
        self.multilabel = data.multilabel
        self.infill = infill
        self.masks_alone = masks_alone

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of the data set."""
        return self.data.classes

    def prepare_data(self) -> None:
        """Prepare the data set."""
        self.data.prepare_data()

    def build(self, split: Split) -> DegradedDataset:
        """Return a split with its ranks."""
        base = self.data.split(split)
        ranks = Ranks(self.ranks, split)
        ranks.open(base.ids, base.image_size, self.method)
        fill: Tensor | Infill | None
        if self.masks_alone:
            fill = None  # no pixel of an image is seen
        elif self.infill is None:
            # of the training images for every split: what is tested must not be looked at
            colour = Ranks(self.ranks, "train").facts()["colour"]
            fill = torch.tensor(colour).view(3, 1, 1)
        else:
            self.infill.check_classes(self.classes)
            fill = self.infill
        return DegradedDataset(base, ranks, self.mode, self.fraction, fill, **self.options(split))
