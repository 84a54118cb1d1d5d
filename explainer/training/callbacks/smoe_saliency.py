"""Show saliency while a network trains, read from the forward pass that happens anyway.

T. N. Mundhenk, B. Y. Chen, G. Friedland: Efficient Saliency Maps for Explainable AI, 2020.
"""

import math
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn

from explainer.attribution.smoe import Statistic, Weights, measure, scale_weights
from explainer.errors import InputError, check_range
from explainer.functional import activation_statistics as statistics
from explainer.networks.modes import evaluation_mode
from explainer.networks.taps import find_taps, read_taps
from explainer.rendering import beside_grey, heat_map, save_picture, to_pil
from explainer.training.callbacks.logging import check_images, forgiving, log, show
from explainer.training.callbacks.smoe_pictures import Answer, Maps, draw, strip_over_time


class SMOESaliency(pl.Callback):
    """Show which parts of its input a network in training finds informative; observe, and change nothing.

    At a cadence the callback keeps the activations of the training step's own forward pass. For a few of the batch's
    images it logs the combined map over the image in grey, the map of each scale, LOVI, and true and predicted labels;
    and, as a curve, how spread out saliency is. An Explainer's training step shows the explanandum masked images alone:
    then the explanandum is asked for the images themselves too, in evaluation mode, and its answer to the masked ones
    stands in a column of its own. At the end of each validation one fixed image is looked at in evaluation mode: a
    strip shows how its map developed. No hook can look into a compiled network: it is run once more instead, in
    evaluation mode and without gradient.

    Args:
        every_n_steps: Cadence in training steps, beside the first step of every epoch; 0 turns the callback off.
        every_n_minutes: Minutes after which there is another picture in any case; None leaves it at the steps.
        images: Number of images of the batch.
        statistic: Name of a function of `explainer.functional.activation_statistics`.
        weights: Weights of the scales, described at `explainer.attribution.SMOE`.
        epsilon: Number that is added to activations before a logarithm.

    Raises:
        InputError: A number is out of range; names the key.
    """

    def __init__(
        self,
        every_n_steps: int = 500,
        images: int = 4,
        statistic: Statistic = "smoe_scale",
        weights: Weights | None = None,
        epsilon: float = statistics.EPSILON,
        every_n_minutes: float | None = None,
    ) -> None:
        check_range("saliency.every_n_steps", every_n_steps, 0)
        check_range("saliency.epsilon", epsilon, statistics.SMALLEST_EPSILON, 1)
        if every_n_minutes is not None:
            check_range("saliency.every_n_minutes", every_n_minutes, 0, above=True)
        check_images("saliency.images", images)
        if isinstance(weights, list):
            for weight in weights:
                check_range("saliency.weights", weight, 0)
        self.every_n_steps = every_n_steps
        self.images = images
        self.statistic = statistic
        self.weights = weights
        self.epsilon = epsilon
        self.every_n_minutes = every_n_minutes
        self._last_shown = time.monotonic()
        self._taps: tuple[str, ...] = ()
        self._open: ExitStack | None = None
        self._seen: dict[str, Tensor] = {}
        self._answers: list[Answer] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse weights for another number of scales than the network has, before the training."""
        self.check(pl_module, trainer.datamodule.image_size)  # type: ignore[attr-defined]

    def check(self, module: Any, size: int) -> None:
        """Refuse weights for another number of scales than the network has.

        Args:
            module: Module that is trained, after it was built.
            size: Side of its images in pixels.

        Raises:
            InputError: The numbers differ; says how many scales there are.
        """
        if not self.every_n_steps or self.weights is None or module.watched is None:
            return
        try:
            taps = find_taps(plain(module.watched), size)
        except InputError:  # a network without scales is trained without being watched
            return
        try:
            scale_weights(self.weights, len(taps))
        except InputError as error:
            raise InputError(f"saliency.weights: {error}") from error

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Start listening, when it is time."""
        module: Any = pl_module
        if not self._due(trainer) or not batch.id or module.watched is None:
            return
        network = plain(module.watched)
        if not self._has_scales(network, batch.image.shape[-1]):
            return
        self._open = ExitStack()
        if not is_compiled(pl_module):
            self._seen = self._open.enter_context(read_taps(network, self._taps, self._before_relu))
            answers = self._answers

            def keep(layer: nn.Module, inputs: tuple, output: Tensor) -> None:
                answers.append(Answer(inputs[0].detach(), output.detach()))

            self._open.callback(module.explanandum.register_forward_hook(keep).remove)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop listening, and show the maps."""
        if self._open is None:
            return
        self._open.close()
        self._open = None
        module: Any = pl_module
        image = batch.image[: self.images].detach().float()
        seen = self._seen
        # a network that did not run on the batch as a whole, such as a compiled one, is run again
        if not all(tap in seen and len(seen[tap]) == len(batch.image) for tap in self._taps):
            seen = self._look(module, image)
        scales = self._maps(seen, image)
        combined = self._combined(scales, image)
        maps = Maps(image, batch.labels, scales, combined)
        photograph, masked = self._heard(module.explanandum, image)
        show(trainer, "saliency", draw(module.explanandum, maps, photograph, masked))
        log(trainer, lambda: {"saliency/entropy": float(spread(combined).mean())})
        self._seen = {}
        self._answers = []
        self._last_shown = time.monotonic()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the fixed image's map to the strip."""
        module: Any = pl_module
        if not self.every_n_steps or not trainer.is_global_zero or trainer.sanity_checking or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        if module.watched is None:
            return
        dataset = trainer.datamodule.split("val")  # type: ignore[attr-defined]
        # lazily, and not beyond twenty: a folder of damaged files must not be read through after each validation
        first = map(dataset.__getitem__, range(min(20, len(dataset))))
        sample = next((sample for sample in first if sample is not None), None)
        if sample is None:
            return
        image = sample.image[None].to(module.device)
        if not self._has_scales(plain(module.watched), image.shape[-1]):
            return
        scales = self._maps(self._look(module, image), image)
        combined = self._combined(scales, image)
        folder = Path(trainer.default_root_dir) / "saliency_of_one_image"
        with forgiving(trainer, "saliency_over_time"):
            picture = beside_grey(image[0], heat_map(combined[0]))
            save_picture(picture, folder / f"step_{trainer.global_step:07d}.png")
            show(trainer, "saliency_over_time", strip_over_time(folder, to_pil(image[0])))

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leave no hook behind."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _has_scales(self, network: nn.Module, size: int) -> bool:
        """Find the scales to look at; a network without any is trained without being watched."""
        if not self._taps:
            try:
                self._taps = find_taps(network, size)
                scale_weights(self.weights, len(self._taps))
                if self._before_relu:
                    self._try(network, size)
            except InputError as error:
                rank_zero_warn(f"saliency is not shown: {error}")
                self.every_n_steps = 0
        return self.every_n_steps > 0

    @torch.no_grad()
    def _try(self, network: nn.Module, size: int) -> None:
        """Raise for a network before whose ReLUs nothing can be read, here and not in the training step."""
        parameter = next(network.parameters())
        image = torch.zeros(1, 3, size, size, device=parameter.device, dtype=parameter.dtype)
        with evaluation_mode(network), read_taps(network, self._taps, before_relu=True):
            torch.compiler.disable(network.forward)(image)

    @property
    def _before_relu(self) -> bool:
        return self.statistic.startswith("truncated")

    def _due(self, trainer: pl.Trainer) -> bool:
        """Tell whether it is time: every so many optimizer steps, at the start of each epoch, and by the clock."""
        if not self.every_n_steps or not self.images or not trainer.is_global_zero:
            return False
        # of the batches that one optimizer step accumulates, the first
        if trainer.fit_loop.total_batch_idx % (self.every_n_steps * trainer.accumulate_grad_batches) == 0:
            return True
        if trainer.fit_loop.epoch_loop.batch_idx == 0:
            return True
        waited = (time.monotonic() - self._last_shown) / 60
        return self.every_n_minutes is not None and waited >= self.every_n_minutes

    @torch.no_grad()
    def _heard(self, explanandum: Any, image: Tensor) -> tuple[Answer | None, Answer | None]:
        """Return the explanandum's answer to the images, and to masked images where training showed it those."""
        if not self._answers:
            return None, None
        first = Answer(*(part[: len(image)] for part in self._answers[0]))
        if torch.equal(first.image.float(), image):
            return first, None
        with evaluation_mode(explanandum):
            return Answer(image, explanandum(image)), first

    @torch.no_grad()
    def _look(self, module: Any, image: Tensor) -> dict[str, Tensor]:
        """Return the activations of an extra pass, in evaluation mode."""
        network = plain(module.watched)
        with evaluation_mode(network), read_taps(network, self._taps, self._before_relu) as seen:
            torch.compiler.disable(network.forward)(module.watched_input(image))
        return seen

    def _maps(self, seen: dict[str, Tensor], image: Tensor) -> list[Tensor]:
        return [measure(seen[tap][: len(image)], self.statistic, tap, epsilon=self.epsilon) for tap in self._taps]

    def _combined(self, scales: list[Tensor], image: Tensor) -> Tensor:
        size = (image.shape[-2], image.shape[-1])
        return statistics.combine(scales, scale_weights(self.weights, len(scales)), size)


def plain(network: nn.Module) -> nn.Module:
    """Return the network inside what `torch.compile` returns."""
    return getattr(network, "_orig_mod", network)


def is_compiled(module: nn.Module) -> bool:
    """Tell whether any part of a module is compiled: hooks would not be called, or would stay in the compiled code."""
    return getattr(module, "_compiler_ctx", None) is not None or any(
        hasattr(part, "_orig_mod") or part._compiled_call_impl is not None for part in module.modules()
    )


def spread(combined: Tensor) -> Tensor:
    r"""Compute the entropy of the normalised map, :math:`-\sum p \ln p / \ln(HW)`.

    Args:
        combined: Combined map (B, 1, H, W), at least 0.

    Returns:
        (B,) in [0, 1]: 0 when all saliency is in one pixel, 1 when it is the same everywhere.

    Example:
        >>> round(spread(torch.ones(1, 1, 4, 4)).item(), 4)
        1.0
    """
    flat = combined.flatten(1)
    share = flat / flat.sum(1, keepdim=True).clamp_min(1e-12)
    # 0 · log 0 counts as 0; and ln 1, of a single pixel, cannot be divided by
    return -(share * share.clamp_min(1e-30).log()).sum(1) / math.log(max(2, flat.shape[1]))
