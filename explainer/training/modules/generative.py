"""What the modules with a generator share: its average, draws that depend on nothing but the seed, and validation.

T. Karras et al.: Progressive Growing of GANs, ICLR 2018 (the average of the generator's weights is what is used).
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from pytorch_lightning.cli import OptimizerCallable
from torch import Tensor, nn

from explainer.errors import InputError
from explainer.functional.gan_losses import hole_error
from explainer.functional.random_masks import Holes
from explainer.functional.seeds import derived_seed
from explainer.networks import Explanandum
from explainer.networks.ema import Average
from explainer.networks.generative.inpainter import Inpainter
from explainer.training.modules.base import SaliencyModule, require_finite


class GenerativeModule(SaliencyModule):
    """Base of the modules with a generator, which is optimized by hand.

    Args:
        network: Holds the generator; its `spec` goes into the checkpoint.
        generator: The part of the network of which an average is kept.
        optimizer: Of the generator, from parameters to an optimizer.
        decay: Of the average, in [0, 1).
        seed: Of all that is drawn in training and validation.
    """

    def __init__(
        self, network: nn.Module, generator: nn.Module, optimizer: OptimizerCallable, decay: float, seed: int
    ) -> None:
        super().__init__(optimizer, None, "epoch")
        if not 0 <= decay < 1:
            raise InputError(f"{type(self).__name__}: decay must lie in [0, 1), got {decay}")
        self.automatic_optimization = False
        self.network, self.average, self.seed = network, Average(generator, decay), seed
        self.classes: tuple[str, ...] = ()
        self.multilabel = True

    def build(self, classes: tuple[str, ...], multilabel: bool) -> None:
        """Take the data set's classes, by which an in-fill is later recognised."""
        self.classes, self.multilabel = classes, multilabel

    def description(self) -> dict[str, Any]:
        """Classes of the data set, and the network's hyperparameters."""
        return {"classes": list(self.classes), "multilabel": self.multilabel, "network": self.network.spec}

    @property
    def watched(self) -> None:
        """Nothing: activation statistics are of classifiers and of what looks at the same images."""

    def watched_input(self, image: Tensor) -> Tensor:
        """Not asked for."""
        return image

    def draws(self, stage: str, index: int) -> torch.Generator:
        """The random numbers of one batch: the same after a resume, and the same for every validation."""
        epoch = self.current_epoch if stage == "train" else 0
        part = ("train", "val", "test").index(stage)
        seed = derived_seed(self.seed, part, epoch, index, self.global_rank)
        return torch.Generator().manual_seed(seed)

    def descend(self, number: int, loss: Tensor) -> None:
        """A step of one optimizer; only those of the first, the generator's, count as steps of the training.

        Raises:
            NonFiniteLossError: The loss is NaN or infinite; no weight is changed.
        """
        require_finite({"critic" if number else "generator": loss}, self.global_step)
        found: Any = self.optimizers()
        optimizer = found[number] if isinstance(found, list) else found
        optimizer.zero_grad()
        self.manual_backward(loss)
        if number:
            self.trainer.strategy.optimizer_step(optimizer.optimizer, lambda: None, self)
        else:
            optimizer.step()

    def note(self, stage: str, terms: dict[str, Tensor], batch_size: int) -> None:
        """Log terms under `stage/`, as the mean over the epoch and, in training, each step."""
        train = stage == "train"
        values = {f"{stage}/{name}": term.detach() for name, term in terms.items()}
        self.log_dict(values, batch_size=batch_size, on_step=train, on_epoch=not train, sync_dist=not train)
        name = "loss" if "loss" in terms else next(iter(terms))
        self.log(name, values[f"{stage}/{name}"], batch_size=batch_size, prog_bar=True, logger=False)


class FillingModule(GenerativeModule):
    """Base of the modules that fill holes; best by the error in the holes of validation images.

    Args:
        network: Fills holes.
        optimizer: From parameters to an optimizer.
        holes: What is drawn; None takes boxes, strokes and blotches alike.
        decay: Of the average of the network's weights.
        seed: Of holes and of all else that is drawn.
        explanandum: A classifier, whose probability of an image's labels is logged before and after its hole was
            filled; None leaves that out.
    """

    monitor, monitor_mode = "val/l1", "min"
    network: Inpainter

    def __init__(
        self,
        network: Inpainter,
        optimizer: OptimizerCallable,
        holes: Holes | None,
        decay: float,
        seed: int,
        explanandum: Explanandum | None,
    ) -> None:
        super().__init__(network, network, optimizer, decay, seed)
        self.holes, self.explanandum = holes or Holes(), explanandum
        if explanandum is not None:
            explanandum.freeze()

    def build(self, classes: tuple[str, ...], multilabel: bool) -> None:
        """The classifier must be of the data set."""
        super().build(classes, multilabel)
        if self.explanandum is not None:
            self.explanandum.describe_classes(classes, multilabel, new_head=False)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Images with their holes filled by the averaged network: (B, 3, H, W), (B, 1, H, W) → (B, 3, H, W)."""
        return self.average.network.complete(image, mask)

    def masks(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Random holes for a batch: (B, 1, H, W) of 0 and 1, 1 = keep."""
        return self.holes.draw(len(image), (image.shape[-2], image.shape[-1]), generator).to(image)

    def training_step(self, batch: Any, index: int) -> None:
        """One step on holes of this batch; nothing for a batch in which no image could be read."""
        if batch.id:
            draws = self.draws("train", index)
            terms = self.train_on(batch.image, self.masks(batch.image, draws), draws, index)
            self.note("train", terms, len(batch.id))

    @abstractmethod
    def train_on(self, image: Tensor, mask: Tensor, draws: torch.Generator, index: int) -> dict[str, Tensor]:
        """One step; the terms to be logged."""

    def judged(self, image: Tensor, made: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Further terms of validation."""
        return {}

    def validation_step(self, batch: Any, index: int, stage: str = "val") -> None:
        """The error in the hole, critic scores, and what the explanandum says before and after."""
        if not batch.id:
            return
        mask = self.masks(batch.image, self.draws(stage, index))
        made = self(batch.image, mask)
        terms = {"l1": hole_error(made, batch.image, mask).mean()} | self.judged(batch.image, made, mask)
        if self.explanandum is not None:
            before, after = (label_probability(self.explanandum, i, batch.labels) for i in (batch.image, made))
            terms |= {"probability_before": before, "probability_after": after}
        self.note(stage, terms, len(batch.id))

    def test_step(self, batch: Any, index: int) -> None:
        """The same on test images."""
        self.validation_step(batch, index, "test")


def label_probability(explanandum: Explanandum, image: Tensor, labels: Tensor) -> Tensor:
    """Mean probability of the labels that images have.

    Args:
        explanandum: The classifier.
        image: (B, 3, H, W) in [0, 1].
        labels: (B, K) multi-hot.

    Returns:
        A scalar in [0, 1]; 0 when no image has a label.
    """
    probabilities = explanandum.probabilities(explanandum(image).float())
    return (probabilities * labels).sum() / labels.sum().clamp_min(1)


def trainable(networks: Sequence[nn.Module]) -> list[nn.Parameter]:
    """Parameters with gradients.

    Example:
        >>> len(trainable([nn.Linear(1, 1), nn.Linear(1, 1).requires_grad_(False)]))
        2
    """
    return [p for network in networks for p in network.parameters() if p.requires_grad]
