"""The base of the modules with a generator: its average, draws that depend on the seed alone, and validation.

T. Karras et al.: Progressive Growing of GANs, ICLR 2018 (the average of the generator's weights is what is used).
"""

import itertools
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from pytorch_lightning.cli import OptimizerCallable
from pytorch_lightning.strategies import ParallelStrategy
from torch import Tensor, nn

from explainer.errors import InputError
from explainer.functional.gan_losses import hole_error
from explainer.functional.random_masks import Holes
from explainer.functional.seeds import derived_seed
from explainer.networks import DCGAN, Explanandum
from explainer.networks.description import GeneratorParts
from explainer.networks.ema import Average
from explainer.networks.generative.inpainter import Inpainter
from explainer.training.modules.base import SaliencyModule, require_finite
from explainer.training.processes import average_gradients, rank_and_world, share_of


class GenerativeModule(SaliencyModule):
    """Base of the modules with a generator, which is optimized by hand.

    Args:
        network: Network that holds the generator; its `spec` goes into the checkpoint.
        generator: Part of the network of which an average is kept.
        optimizer: Function from the generator's parameters to an optimizer.
        decay: Decay of the average, in [0, 1).
        seed: Seed of all that is drawn in training and validation.
    """

    def __init__(
        self,
        network: DCGAN | Inpainter,
        generator: nn.Module,
        optimizer: OptimizerCallable,
        decay: float,
        seed: int,
    ) -> None:
        super().__init__(optimizer, None, "epoch")
        if not 0 <= decay < 1:
            raise InputError(f"{type(self).__name__}: decay must lie in [0, 1), got {decay}")
        self.automatic_optimization = False  # Lightning's own takes one step a batch, with one optimizer
        self.network = network
        self.average = Average(generator, decay)
        self._generator = [generator]  # in a list: it is a part of the network already
        self.seed = seed
        self.classes: tuple[str, ...] = ()
        self.multilabel = True

    def build(self, classes: tuple[str, ...], multilabel: bool) -> None:
        """Take the data set's classes, by which an in-fill is later recognised."""
        self.classes = classes
        self.multilabel = multilabel

    def description(self) -> GeneratorParts:
        """Return the data set's classes, and the network's hyperparameters."""
        return {"classes": list(self.classes), "multilabel": self.multilabel, "network": dict(self.network.spec)}

    @property
    def watched(self) -> None:
        """None: activation statistics are of classifiers and of what looks at the same images."""

    def watched_input(self, image: Tensor) -> Tensor:
        """Return the images; nobody asks for them, since nothing is watched."""
        return image

    def draws(self, stage: str, index: int) -> torch.Generator:
        """Return the generator of one batch: the same after a resume, for every validation, and in all processes."""
        epoch = 0  # other holes in each validation would make its curve jump
        if stage == "train":
            epoch = self.current_epoch
        part = ("train", "val", "test").index(stage)
        # the last number was that of the process, when each drew for itself
        seed = derived_seed(self.seed, part, epoch, index, 0)
        return torch.Generator().manual_seed(seed)

    def drawn(self, count: int, draw: Callable[[int], Tensor]) -> Tensor:
        """Draw for the images of all processes, and return what belongs to those of this one.

        So two processes draw for a step's images what one process draws for them.

        Args:
            count: Number of images of this process, B.
            draw: Function from a number N to N draws, (N, …).

        Returns:
            (B, …).
        """
        return share_of(draw(count * rank_and_world()[1]))

    def own(self, draws: torch.Generator) -> torch.Generator:
        """Return a generator for what one process draws for itself: in the first process the same one.

        Args:
            draws: Generator of the batch, as `draws` gives it.
        """
        rank, _ = rank_and_world()
        if rank == 0:
            return draws
        return torch.Generator().manual_seed(derived_seed(draws.initial_seed(), rank))

    def turns(self, index: int) -> tuple[int, ...]:
        """Return the numbers of the optimizers that take a step on a batch, in their order.

        Args:
            index: Number of the batch in the epoch.
        """
        return (0,)

    def keep_up(self, index: int) -> None:
        """Take the steps of the other processes on a batch of which this one has no images; alone, take none.

        Args:
            index: Number of the batch in the epoch.
        """
        if rank_and_world()[1] == 1:
            return
        for number in self.turns(index):
            self.descend(number, None, 0)

    def descend(self, number: int, loss: Tensor | None, images: int) -> None:
        """Take a step of one optimizer; only steps of the first, the generator's, count as steps of the training.

        Gradients are averaged here, over the images of all processes. Lightning's strategies would average those of all
        networks at the backward pass of any of them.

        Args:
            number: Number of the optimizer: 0 for the generator's, 1 for the critic's.
            loss: Loss, a scalar, the mean over images; None where there are none.
            images: Number of these images.

        Raises:
            NonFiniteLossError: The loss is NaN or infinite; no weight is changed.
        """
        optimizer: Any = self.optimizers()
        if isinstance(optimizer, list):  # one alone comes without a list
            optimizer = optimizer[number]
        optimizer.zero_grad()
        if loss is not None:
            require_finite({"critic" if number else "generator": loss}, self.global_step)
            with alone_backward(self.trainer.strategy):
                self.manual_backward(loss)
        parameters = itertools.chain.from_iterable(group["params"] for group in optimizer.param_groups)
        if not average_gradients(parameters, images):
            return
        if number:  # past Lightning's wrapper, which counts every step that it takes
            self.trainer.strategy.optimizer_step(optimizer.optimizer, lambda: None, self)
        else:
            optimizer.step()
            self.average.update_parameters(self._generator[0])

    def note(self, stage: str, terms: dict[str, Tensor], batch_size: int) -> None:
        """Log terms under `stage/`: in training at each step, else as the mean over the images of all processes.

        Args:
            stage: Stage "train", "val" or "test".
            terms: Terms of a batch, name → scalar.
            batch_size: Number of images of the batch.
        """
        values = {f"{stage}/{name}": term.detach() for name, term in terms.items()}
        if stage != "train":
            self._means.add(values, batch_size)
            return
        self.log_dict(values, batch_size=batch_size, on_step=True, on_epoch=False)
        self._show_loss(values)


class FillingModule(GenerativeModule):
    """Base of the modules that fill holes; best by the error in the holes of validation images.

    Args:
        network: Network that fills holes.
        optimizer: Function from parameters to an optimizer.
        holes: Holes that are drawn; None takes boxes, strokes and blotches alike.
        decay: Decay of the average of the network's weights, in [0, 1).
        seed: Seed of holes and of all else that is drawn.
        explanandum: Classifier whose probability of an image's labels is logged before and after its hole was filled;
            None leaves that out.
    """

    monitor = "val/l1"
    monitor_mode = "min"
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
        self.holes = holes or Holes()
        self.explanandum = explanandum
        if explanandum is not None:
            explanandum.freeze()

    def build(self, classes: tuple[str, ...], multilabel: bool) -> None:
        """Take the data set's classes, which must be the classifier's too."""
        super().build(classes, multilabel)
        if self.explanandum is not None:
            self.explanandum.describe_classes(classes, multilabel, new_head=False)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Fill the holes of images by the averaged network: (B, 3, H, W), (B, 1, H, W) → (B, 3, H, W)."""
        return self.average.module.complete(image, mask)

    def masks(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Draw random holes for a batch: (B, 1, H, W) of 0 and 1, 1 = keep."""
        size = (image.shape[-2], image.shape[-1])
        return self.holes.draw(len(image), size, generator).to(image)

    def training_step(self, batch: Any, index: int) -> None:
        """Take one step on holes of this batch, if any of its images could be read."""
        if not batch.id:
            self.keep_up(index)
            return
        draws = self.draws("train", index)
        terms = self.train_on(batch.image, self._holes_of(batch.image, draws), draws, index)
        self.note("train", terms, len(batch.id))

    def _holes_of(self, image: Tensor, draws: torch.Generator) -> Tensor:
        """Draw the holes of this process's images, as `masks` does for one process."""
        size = (image.shape[-2], image.shape[-1])
        return self.drawn(len(image), lambda count: self.holes.draw(count, size, draws)).to(image)

    @abstractmethod
    def train_on(self, image: Tensor, mask: Tensor, draws: torch.Generator, index: int) -> dict[str, Tensor]:
        """Take one step, and return the terms to be logged."""

    def judged(self, image: Tensor, generated: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Return further terms of validation."""
        return {}

    def validation_step(self, batch: Any, index: int, stage: str = "val") -> None:
        """Log the error in the hole, critic scores, and what the explanandum says before and after."""
        if not batch.id:
            return
        mask = self._holes_of(batch.image, self.draws(stage, index))
        filled = self(batch.image, mask)
        error = hole_error(filled, batch.image, mask).mean()
        terms = {"l1": error} | self.judged(batch.image, filled, mask)
        # the same classifier before and after: how much of the class the network has put back
        if self.explanandum is not None:
            terms["probability_before"] = label_probability(self.explanandum, batch.image, batch.labels)
            terms["probability_after"] = label_probability(self.explanandum, filled, batch.labels)
        self.note(stage, terms, len(batch.id))

    def test_step(self, batch: Any, index: int) -> None:
        """Log the same on test images."""
        self.validation_step(batch, index, "test")


def alone_backward(strategy: Any) -> AbstractContextManager[None]:
    """Keep a strategy of Lightning from averaging gradients in the block; one process has nothing to average.

    Args:
        strategy: Strategy of the Trainer.
    """
    if isinstance(strategy, ParallelStrategy):
        return strategy.block_backward_sync()
    return nullcontext()


def label_probability(explanandum: Explanandum, image: Tensor, labels: Tensor) -> Tensor:
    """Average the probability of the labels that images have.

    Args:
        explanandum: Classifier that is asked.
        image: Images (B, 3, H, W) in [0, 1].
        labels: Labels (B, K), multi-hot.

    Returns:
        A scalar in [0, 1]; 0 when no image has a label.
    """
    logits = explanandum(image).float()
    probabilities = explanandum.probabilities(logits)
    of_labels = probabilities * labels
    return of_labels.sum() / labels.sum().clamp_min(1)


def trainable(networks: Sequence[nn.Module]) -> list[nn.Parameter]:
    """List the parameters with gradients.

    Example:
        >>> len(trainable([nn.Linear(1, 1), nn.Linear(1, 1).requires_grad_(False)]))
        2
    """
    parameters = itertools.chain.from_iterable(network.parameters() for network in networks)
    return [parameter for parameter in parameters if parameter.requires_grad]
