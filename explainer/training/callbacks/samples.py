"""Show what a generative network makes so far: the same holes in the same images, or the same codes, every time."""

from typing import Any

import pytorch_lightning as pl
import torch
from PIL import Image
from torch import Tensor

from explainer.errors import check_seed
from explainer.functional.masking import composite
from explainer.networks.modes import evaluation_mode
from explainer.rendering import Tile, gallery, strip, to_pil
from explainer.training.callbacks.logging import check_cadence, check_images, forgiving, show
from explainer.training.callbacks.mask_gallery import validation_images

HEADER = ["image", "with a hole", "filled"]
GREY = 0.5


class Pictures(pl.Callback):
    """Log in-filled images, or made ones, to wandb and as PNG in the run's folder; for generative modules only.

    A network that fills holes is shown by images, with their hole and filled; under them stands the explanandum's
    probability of their labels, if the module has one. A generator is shown by images of fixed codes, a conditional one
    with a row for each class.

    Args:
        images: Number of images; 0 turns the pictures off.
        every_n_steps: Number of training batches between pictures within an epoch; None leaves it at the end of each
            validation.
        seed: Seed of holes and codes.

    Raises:
        InputError: A number is out of range; names the key.
    """

    def __init__(self, images: int = 12, every_n_steps: int | None = None, seed: int = 0) -> None:
        check_images("pictures.images", images)
        check_cadence("pictures.every_n_steps", every_n_steps)
        check_seed("pictures.seed", seed)
        self.images = images
        self.every_n_steps = every_n_steps
        self.seed = seed
        self._fixed: tuple[Tensor, Tensor] | None = None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the pictures at the end of each validation."""
        self._show(trainer, pl_module)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Show the pictures at the cadence."""
        if self.every_n_steps and trainer.fit_loop.total_batch_idx % self.every_n_steps == 0:
            self._show(trainer, pl_module)

    def _show(self, trainer: pl.Trainer, module: Any) -> None:
        if not self.images or not trainer.is_global_zero or trainer.sanity_checking:
            return
        # anew each time: the same codes and holes in every picture, so that only the network changes
        generator = torch.Generator().manual_seed(self.seed)
        with forgiving(trainer, "pictures"), torch.no_grad(), evaluation_mode(module):
            if module.kind == "generator":
                show(trainer, "pictures", draw_made(module, self.images, generator))
            elif module.kind in ("inpainter", "vae"):
                if self._fixed is None:
                    data: Any = trainer.datamodule  # type: ignore[attr-defined]
                    self._fixed = validation_images(data.split("val"), self.images)
                images, labels = (fixed.to(module.device) for fixed in self._fixed)
                masks = module.masks(images, generator)
                picture = draw_filled(module, images, labels, masks)
                show(trainer, "pictures", picture)


def draw_filled(module: Any, images: Tensor, labels: Tensor, masks: Tensor) -> Image.Image:
    """Draw images, whole, with their holes, and filled; two of them a row.

    Args:
        module: Module that fills holes: `module(images, masks)`.
        images: Images (N, 3, H, W) in [0, 1].
        labels: Labels (N, K), multi-hot.
        masks: Masks (N, 1, H, W), 1 = keep.

    Returns:
        A picture with two images a row.
    """
    filled = module(images, masks)
    grey = torch.full_like(images, GREY)
    with_hole = composite(images, masks, grey)
    shown = [images, with_hole, filled]
    values_in_holes = 3 * (1 - masks).sum((1, 2, 3))  # known pixels are unchanged: their error is 0
    total_error = (filled - images).abs().sum((1, 2, 3))
    errors = total_error / values_in_holes.clamp_min(1)
    captions = [
        ["" for _ in images],
        [f"hole {1 - float(mask.mean()):.2f}" for mask in masks],
        [f"L1 {error:.3f}" for error in errors.tolist()],
    ]
    if module.explanandum is not None:
        # whole and filled: what a classifier says of grey holes tells nothing about the network
        for stage in (0, 2):
            logits = module.explanandum(shown[stage]).float()
            probabilities = module.explanandum.probabilities(logits)
            for n in range(len(images)):
                words = _label_words(module.explanandum.classes, probabilities[n], labels[n])
                captions[stage][n] = f"{captions[stage][n]} {words}".strip()
    rows: list[list[Tile]] = []
    for n in range(len(images)):
        if n % 2 == 0:  # every second image begins a row
            rows.append([])
        for part, texts in zip(shown, captions, strict=True):
            rows[-1].append(Tile(to_pil(part[n]), texts[n]))
    return gallery(rows, header=HEADER * min(2, len(images)))


def _label_words(classes: tuple[str, ...], probabilities: Tensor, labels: Tensor) -> str:
    present = labels.nonzero().flatten().tolist()[:2]
    return ", ".join(f"{classes[c]} {probabilities[c]:.2f}" for c in present)


def draw_made(module: Any, count: int, generator: torch.Generator) -> Image.Image:
    """Draw images of fixed codes.

    Args:
        module: Module in training, a `Generation`.
        count: Number of images; for a conditional network, of each of its first eight classes.
        generator: Generator of the codes.

    Returns:
        A picture with eight images a row, or with a row for each class; all rows then have the same codes.
    """
    network = module.network
    codes = network.codes(count, generator)
    if not network.num_classes:
        return strip(module(codes))
    rows = []
    # eight rows: of a thousand classes nobody would look at all
    for label, name in enumerate(network.classes[:8]):
        labels = torch.full((count,), label, device=codes.device)
        images = module(codes, labels)
        captions = [name] + [""] * (count - 1)
        row = []
        for image, caption in zip(images, captions, strict=True):
            row.append(Tile(to_pil(image), caption))
        rows.append(row)
    return gallery(rows, tile_size=128)
