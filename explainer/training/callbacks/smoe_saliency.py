"""Show saliency while a network trains, read from the forward pass that happens anyway.

T. N. Mundhenk, B. Y. Chen, G. Friedland: Efficient Saliency Maps for Explainable AI, 2020.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
from pytorch_lightning.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn

from explainer.attribution.smoe import Statistic, Weights, measure, scale_weights
from explainer.errors import InputError, check_range
from explainer.functional import activation_statistics as statistics
from explainer.networks.spatial import known_layouts
from explainer.networks.taps import find_taps
from explainer.rendering import beside_grey, heat_map, save_picture, to_pil
from explainer.training.callbacks.base import AnyCallback
from explainer.training.callbacks.loggers import is_a
from explainer.training.callbacks.logging import check_images, forgiving, log_numbers, show
from explainer.training.callbacks.looking import Grids, Listener, is_compiled, look, untouched
from explainer.training.callbacks.smoe_pictures import Step, draw, strip_over_time
from explainer.training.callbacks.subject import Normalisation, Subject, Wanted, part_of, subject_of

SHARDED = ("FSDPStrategy", "ModelParallelStrategy", "DeepSpeedStrategy")
"""Strategies of Lightning in which no process has the whole network."""


class Watch(NamedTuple):
    """A training step that is watched.

    Attributes:
        images: Images of the whole batch, (B, C, H, W).
        listener: What hears the step's own forward pass; None for a compiled network.
        stack: What must be closed at the end of the step.
    """

    images: Tensor
    listener: Listener | None
    stack: ExitStack


class SMOESaliency(AnyCallback):
    """Show which parts of its input a network in training finds informative; observe, and change nothing.

    At a cadence the callback keeps the activations of the training step's own forward pass. For a few of the batch's
    images it shows the combined map over the image in grey, the map of each scale, and LOVI; and, as a curve, how
    spread out saliency is. At the end of each validation one fixed image is looked at in evaluation mode: a strip shows
    how its map developed. No hook can look into a compiled network: it is run once more instead, in evaluation mode and
    without gradient. So is one that gives other places in training, such as a transformer that drops patches; a warning
    says so. Pictures are files in the run's folder, and go to wandb, TensorBoard and MLflow.

    It serves the modules of this project, and anybody's LightningModule of `pytorch_lightning` or `lightning.pytorch`.
    Of this project's modules it also shows true and predicted labels, of others the numbers of the labels where the
    second part of a batch is a tensor of them. An Explainer's training step shows the explanandum masked images alone:
    then the explanandum is asked for the images themselves too, in evaluation mode, and its answer to the masked ones
    stands in a column of its own.

    Args:
        every_n_steps: Cadence in training steps, beside the first step of every epoch; 0 turns the callback off.
        images: Function that takes a batch and returns its images (B, C, H, W), as the network is fed them; None takes
            the first tensor of four dimensions. A number is taken for `count`.
        statistic: Name of a function of `explainer.functional.activation_statistics`.
        weights: Weights of the scales, described at `explainer.attribution.SMOE`.
        epsilon: Number that is added to activations before a logarithm.
        every_n_minutes: Minutes after which there is another picture in any case; None leaves it at the steps.
        network: Dotted name of the part of the module to watch; None watches what a module of this project names, and
            of any other the module itself.
        taps: Dotted names, below the network, of the layers at the end of each scale; None takes those that the
            explanandum was given, or finds them. Negative activations count as 0.
        count: Number of images of the batch in a picture.
        mean: Mean that was subtracted from the images, a number for each channel, to show them as they were; None shows
            an image with values outside [0, 1] scaled to that range.
        std: Standard deviation by which the images were divided, a number for each channel.

    Raises:
        InputError: A number is out of range; names the key.

    Example:
        >>> callback = SMOESaliency(network="backbone", images=lambda batch: batch[0])
    """

    def __init__(
        self,
        every_n_steps: int = 500,
        images: int | Callable[[Any], Tensor] | None = None,
        statistic: Statistic = "smoe_scale",
        weights: Weights | None = None,
        epsilon: float = statistics.EPSILON,
        every_n_minutes: float | None = None,
        network: str | None = None,
        taps: list[str] | None = None,
        count: int = 4,
        mean: list[float] | None = None,
        std: list[float] | None = None,
    ) -> None:
        check_range("saliency.every_n_steps", every_n_steps, 0)
        check_range("saliency.epsilon", epsilon, statistics.SMALLEST_EPSILON, 1)
        if every_n_minutes is not None:
            check_range("saliency.every_n_minutes", every_n_minutes, 0, above=True)
        if isinstance(weights, list):
            for weight in weights:
                check_range("saliency.weights", weight, 0)
        check_images("saliency.count", count)
        if isinstance(images, int):
            # configs of before `count` give the number so
            check_images("saliency.images", images)
            count = images
            images = None
        if images is not None and not callable(images):
            raise InputError(f"saliency.images must be a function that takes a batch, got {str(images)[:100]!r}")
        self.every_n_steps = every_n_steps
        self.statistic = statistic
        self.weights = weights
        self.epsilon = epsilon
        self.every_n_minutes = every_n_minutes
        self.count = count
        self.taps = taps
        self._wanted = Wanted(network, images, _normalisation(mean, std))
        self._forget()

    def _forget(self) -> None:
        """Begin without anything of an earlier training."""
        self._subject: Subject | None = None
        self._layers: tuple[str, ...] = ()
        self._usual: Grids | None = None
        self._told = False
        self._watch: Watch | None = None
        self._validating = ExitStack()
        self._checked = False
        self._earlier: frozenset[Path] = frozenset()
        self._last_shown = time.monotonic()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse unknown names, and weights for another number of scales than the network has, before the training."""
        self._forget()
        if not self.every_n_steps:
            return
        if any(is_a(trainer.strategy, name) for name in SHARDED):
            rank_zero_warn("saliency is not shown: no process has the whole network; it can be shown under DDP")
            return
        size = getattr(trainer.datamodule, "image_size", None)  # type: ignore[attr-defined]
        self.check(pl_module, size if isinstance(size, int) else None)
        self._subject = subject_of(pl_module, self._wanted)
        if self._subject.network is None:
            self._subject = None

    def check(self, module: Any, size: int | None) -> None:
        """Refuse unknown names, and weights for another number of scales than the network has.

        Args:
            module: Module that is trained, after it was built.
            size: Side of its images in pixels; None where it is not known yet.

        Raises:
            InputError: A name is unknown, or the numbers differ; says how many scales there are.
        """
        if not self.every_n_steps:
            return
        subject = subject_of(module, self._wanted)
        network = subject.network
        if network is None:
            return
        for tap in self.taps or ():
            part_of(network, tap, "saliency.taps")
        if self.weights is None:
            return
        try:
            layers = self._find(subject, network, size)
        except InputError:  # a network without scales is trained without being watched
            return
        try:
            scale_weights(self.weights, len(layers))
        except InputError as error:
            raise InputError(f"saliency.weights: {error}") from error

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note what pictures of an earlier training lie in the folder, unless this one goes on with it."""
        if self._subject is not None and trainer.is_global_zero and trainer.global_step == 0:
            self._earlier = frozenset(_steps(self._strip_folder(trainer, self._subject)))

    def on_train_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Start listening, when it is time."""
        self._close()
        subject = self._subject
        if subject is None:
            return
        if not self._checked:
            # in every process: where the first alone stopped for a wrong function, the others would wait for it
            subject.images(batch)
            self._checked = True
        if not self._due(trainer):
            return
        with forgiving(trainer, "saliency"):
            images = subject.images(batch)
            if images is None:
                return
            if self._ready(subject, subject.fed(images[:1].detach().float()), images.shape[-1]):
                self._watch = self._listen(subject, images, is_compiled(pl_module))

    def _listen(self, subject: Subject, images: Tensor, compiled: bool) -> Watch:
        """Listen to a training step."""
        stack = ExitStack()
        network = subject.network
        if compiled or network is None:
            return Watch(images, None, stack)
        listener = Listener(network, self._layers, images, self._before_relu, self._usual)
        stack.callback(listener.close)
        stack.enter_context(subject.listening())
        return Watch(images, listener, stack)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Stop listening, and show the maps."""
        watch = self._watch
        subject = self._subject
        self._close()
        if watch is None or subject is None:
            return
        self._last_shown = time.monotonic()
        with forgiving(trainer, "saliency"):
            step = self._step(subject, watch, batch)
            show(trainer, "saliency", draw(step), subject.folder(trainer))
            log_numbers(trainer, {"saliency/entropy": float(spread(step.combined).mean())})

    def _step(self, subject: Subject, watch: Watch, batch: Any) -> Step:
        """Collect what the picture of a step shows."""
        images = watch.images[: self.count].detach()
        seen = {} if watch.listener is None else watch.listener.close()
        if watch.listener is not None and watch.listener.refusal:
            self._tell(watch.listener.refusal)
        count = len(watch.images)
        whole = [layer for layer in self._layers if layer in seen and len(seen[layer]) == count]
        # a network that did not run on the batch as a whole, such as a compiled one, is run again
        if len(whole) < len(self._layers):
            seen = self._look(subject, subject.fed(images.float()))
        scales = self._maps(seen, len(images))
        answers = subject.answers(images.float())
        shown = subject.shown(images)
        combined = self._combined(scales, shown)
        return Step(shown, subject.labels(batch, len(images)), scales, combined, answers.words, answers.masked)

    def _tell(self, refusal: str) -> None:
        """Say once that the training step's own pass cannot be shown."""
        if not self._told:
            self._told = True
            words = "saliency is that of an extra pass in evaluation mode, since the training step's cannot be read"
            rank_zero_warn(f"{words}: {refusal}")

    def on_validation_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Choose the fixed image, when the first validation batch comes."""
        self._validating.close()
        if self._subject is not None and not self._silent(trainer) and batch_idx == 0 and dataloader_idx == 0:
            with forgiving(trainer, "saliency_over_time"):
                self._validating.enter_context(self._subject.validating(batch))

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Let the first validation batch go."""
        self._validating.close()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the fixed image's map to the strip."""
        subject = self._subject
        if subject is None or self._silent(trainer):
            return
        with forgiving(trainer, "saliency_over_time"):
            fixed = subject.fixed(trainer)
            if fixed is None or not self._ready(subject, fixed.fed, fixed.image.shape[-1]):
                return
            scales = self._maps(self._look(subject, fixed.fed), 1)
            combined = self._combined(scales, fixed.image)
            folder = self._strip_folder(trainer, subject)
            picture = beside_grey(fixed.image[0], heat_map(combined[0]))
            path = folder / f"step_{trainer.global_step:07d}.png"
            save_picture(picture, path)
            self._earlier -= {path}
            files = [file for file in _steps(folder) if file not in self._earlier]
            strip = strip_over_time(files, to_pil(fixed.image[0]))
            show(trainer, "saliency_over_time", strip, subject.folder(trainer))

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let module and images go."""
        self._close()
        self._forget()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leave no hook behind."""
        self._close()
        self._forget()

    def _close(self) -> None:
        """Stop listening to a training step; another callback may have skipped its end."""
        self._validating.close()
        if self._watch is not None:
            self._watch.stack.close()
        self._watch = None

    def _silent(self, trainer: Any) -> bool:
        """Tell whether this validation shows no strip."""
        return not trainer.is_global_zero or trainer.sanity_checking or trainer.fast_dev_run

    @staticmethod
    def _strip_folder(trainer: pl.Trainer, subject: Subject) -> Path:
        return subject.folder(trainer) / "saliency_of_one_image"

    def _ready(self, subject: Subject, fed: Tensor, size: int) -> bool:
        """Find the scales to look at; a network without any is trained without being watched.

        Args:
            subject: Module in training.
            fed: What the network is fed for an image, (1, C, H, W).
            size: Width of the image in pixels.
        """
        network = subject.network
        if self._layers or network is None:
            return bool(self._layers)
        try:
            layers = self._find(subject, network, size)
            scale_weights(self.weights, len(layers))
            # what a hook would refuse is refused here, and not in the training step
            seen = look(network, layers, fed, self._before_relu)
        except InputError as error:
            rank_zero_warn(f"saliency is not shown: {error}")
            self._subject = None
            return False
        self._layers = layers
        sides = {layer: tuple(activation.shape[-2:]) for layer, activation in seen.items()}
        self._usual = Grids(tuple(fed.shape[-2:]), sides)
        return True

    def _find(self, subject: Subject, network: nn.Module, size: int | None) -> tuple[str, ...]:
        """Return the layers that were named, here or for the explanandum, or find them."""
        named: Sequence[str] | None = self.taps or subject.taps
        if next(network.parameters(), None) is None:
            raise InputError(f"{type(network).__name__} has no weights")
        with untouched(network):
            if not named:
                return find_taps(network, size)
            # asked with the size of the images, and remembered: a layer that stays unclear is refused by its first look
            known_layouts(network, named, size)
            return tuple(named)

    @property
    def _before_relu(self) -> bool:
        return self.statistic.startswith("truncated")

    def _due(self, trainer: pl.Trainer) -> bool:
        """Tell whether it is time: every so many optimizer steps, at the start of each epoch, and by the clock."""
        if not self.count or not trainer.is_global_zero:
            return False
        # of the batches that one optimizer step accumulates, the first
        if trainer.fit_loop.total_batch_idx % (self.every_n_steps * trainer.accumulate_grad_batches) == 0:
            return True
        if trainer.fit_loop.epoch_loop.batch_idx == 0:
            return True
        waited = (time.monotonic() - self._last_shown) / 60
        return self.every_n_minutes is not None and waited >= self.every_n_minutes

    def _look(self, subject: Subject, fed: Tensor) -> dict[str, Tensor]:
        """Return the activations of an extra pass, in evaluation mode."""
        assert subject.network is not None  # `_ready` was asked
        return look(subject.network, self._layers, fed, self._before_relu)

    def _maps(self, seen: dict[str, Tensor], count: int) -> list[Tensor]:
        """Measure the statistic at the end of each scale: (N, 1, h, w) each."""
        return [measure(seen[layer][:count], self.statistic, layer, epsilon=self.epsilon) for layer in self._layers]

    def _combined(self, scales: list[Tensor], image: Tensor) -> Tensor:
        size = (image.shape[-2], image.shape[-1])
        return statistics.combine(scales, scale_weights(self.weights, len(scales)), size)


def _normalisation(mean: list[float] | None, std: list[float] | None) -> Normalisation | None:
    """Return what the user says of the normalisation of the images, checked; None where that is nothing."""
    if mean is None and std is None:
        return None
    if mean is None or std is None or not mean or len(mean) != len(std):
        raise InputError("saliency.mean and saliency.std must be given together, a number for each channel")
    for number in mean:
        check_range("saliency.mean", number)
    for number in std:
        check_range("saliency.std", number, 0, above=True)
    return Normalisation(tuple(mean), tuple(std))


def _steps(folder: Path) -> list[Path]:
    """List the pictures of steps in a folder."""
    return list(folder.glob("step_[0-9]*.png"))


def spread(combined: Tensor) -> Tensor:
    r"""Compute the entropy of the normalised map, :math:`-\sum p \ln p / \ln(HW)`.

    Args:
        combined: Combined map (B, 1, H, W), at least 0.

    Returns:
        (B,) in [0, 1]: 0 when all saliency is in one pixel, 1 when it is the same everywhere.

    Example:
        >>> import torch
        >>> round(spread(torch.ones(1, 1, 4, 4)).item(), 4)
        1.0
    """
    flat = combined.flatten(1)
    share = flat / flat.sum(1, keepdim=True).clamp_min(1e-12)
    # 0 · log 0 counts as 0
    logarithm = share.clamp_min(1e-30).log()
    entropy = -(share * logarithm).sum(1)
    # ln 1, of a single pixel, cannot be divided by
    return entropy / math.log(max(2, flat.shape[1]))
