"""Pictures that a generative network makes so far: the same holes in the same images, or the same codes, every time."""

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
    """Logs in-filled images, or made ones, to wandb and as PNG in the run's folder; of generative modules only.

    Of a network that fills holes, an image is shown with its hole and filled, the explanandum's probability of its
    labels under it if the module has one. Of a generator, images of fixed codes; of a conditional one, a row a class.

    Args:
        images: How many; 0 turns the pictures off.
        every_n_steps: Also within an epoch, every so many training batches; None only at the end of validation.
        seed: Of holes and codes.

    Raises:
        InputError: A number that cannot be; names the key.
    """

    def __init__(self, images: int = 12, every_n_steps: int | None = None, seed: int = 0) -> None:
        check_images("pictures.images", images)
        check_cadence("pictures.every_n_steps", every_n_steps)
        check_seed("pictures.seed", seed)
        self.images, self.every_n_steps, self.seed = images, every_n_steps, seed
        self._fixed: tuple[Tensor, Tensor] | None = None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """At the end of each validation."""
        self._show(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """At the cadence."""
        if self.every_n_steps and trainer.fit_loop.total_batch_idx % self.every_n_steps == 0:
            self._show(trainer, pl_module)

    def _show(self, trainer: pl.Trainer, module: Any) -> None:
        if not self.images or not trainer.is_global_zero or trainer.sanity_checking:
            return
        generator = torch.Generator().manual_seed(self.seed)
        with forgiving(trainer, "pictures"), torch.no_grad(), evaluation_mode(module):
            if module.kind == "generator":
                show(trainer, "pictures", draw_made(module, self.images, generator))
            elif module.kind in ("inpainter", "vae"):
                if self._fixed is None:
                    data: Any = trainer.datamodule  # type: ignore[attr-defined]
                    self._fixed = validation_images(data.split("val"), self.images)
                images, labels = (t.to(module.device) for t in self._fixed)
                show(trainer, "pictures", draw_filled(module, images, labels, module.masks(images, generator)))


def draw_filled(module: Any, images: Tensor, labels: Tensor, masks: Tensor) -> Image.Image:
    """Images, with their holes, and filled; two of them a row.

    Args:
        module: Fills holes: `module(images, masks)`.
        images: (N, 3, H, W) in [0, 1].
        labels: (N, K) multi-hot.
        masks: (N, 1, H, W), 1 = keep.

    Returns:
        The picture.
    """
    filled = module(images, masks)
    shown = [images, composite(images, masks, torch.full_like(images, GREY)), filled]
    captions = [["" for _ in images] for _ in shown]
    error = ((filled - images).abs().sum((1, 2, 3)) / (3 * (1 - masks).sum((1, 2, 3))).clamp_min(1)).tolist()
    captions[1] = [f"hole {1 - float(mask.mean()):.2f}" for mask in masks]
    captions[2] = [f"L1 {e:.3f}" for e in error]
    if module.explanandum is not None:
        for stage in (0, 2):
            found = module.explanandum.probabilities(module.explanandum(shown[stage]).float())
            captions[stage] = [
                f"{captions[stage][n]} {_said(module.explanandum.classes, found[n], labels[n])}".strip()
                for n in range(len(images))
            ]
    rows = [[Tile(to_pil(part[n]), words[n]) for part, words in zip(shown, captions)] for n in range(len(images))]
    paired = [[tile for row in rows[n : n + 2] for tile in row] for n in range(0, len(rows), 2)]
    return gallery(paired, header=HEADER * min(2, len(rows)))


def _said(classes: tuple[str, ...], probabilities: Tensor, labels: Tensor) -> str:
    present = labels.nonzero().flatten().tolist()[:2]
    return ", ".join(f"{classes[c]} {probabilities[c]:.2f}" for c in present)


def draw_made(module: Any, count: int, generator: torch.Generator) -> Image.Image:
    """Images of fixed codes.

    Args:
        module: A `Generation`.
        count: How many; of a conditional network, of each of its first eight classes.
        generator: Of the codes.

    Returns:
        The picture: eight a row, or a row a class, all of whose rows have the same codes.
    """
    network = module.network
    codes = network.codes(count, generator)
    if not network.num_classes:
        return strip(module(codes))
    rows = []
    for label, name in enumerate(network.classes[:8]):
        made = module(codes, torch.full((count,), label, device=codes.device))
        rows.append([Tile(to_pil(image), name if n == 0 else "") for n, image in enumerate(made)])
    return gallery(rows, tile_size=128)
