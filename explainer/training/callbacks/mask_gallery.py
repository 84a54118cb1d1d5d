"""Show what the Explainer has learned so far, on the same validation images again and again."""

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from PIL import Image
from torch import Tensor

from explainer.errors import InputError, check_range
from explainer.files import printable
from explainer.functional.masking import composite, non_target_mask, target_mask
from explainer.networks.modes import evaluation_mode
from explainer.rendering import Tile, gallery, heat_map, overlay, to_pil
from explainer.training.callbacks.logging import check_cadence, check_images, forgiving, log_to_wandb, show
from explainer.training.separation import separation

if TYPE_CHECKING:
    import wandb

HEADER = ["image", "target mask", "non-target mask", "image × mask", "image × complement"]
LAST_LABEL = 255
"""Greatest label that wandb takes in a mask."""
THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Values above which a soft mask is shown in wandb, a layer each."""


class Gallery(pl.Callback):
    """Log a gallery of an Explainer's masks, to wandb and as PNG in the run's folder.

    Each image has a row: the image, the target mask, the non-target mask, the image through the mask and through its
    complement with the explanandum's probabilities under them, one mask for each class present, and the largest mask of
    a class that is absent. wandb also gets a table with the probability of each class present: for the whole image,
    through its own mask, and through the masks of the other classes.

    Args:
        images: Number of validation images, evenly spread over the split; 0 turns the gallery off.
        every_n_steps: Number of training steps between pictures within an epoch; None leaves it at the start of the
            training and the end of each validation.
        classes: Greatest number of class masks a row.
        every_n_minutes: Minutes after which there is another picture in any case; None leaves it at the steps.

    Raises:
        InputError: A number is out of range; names the key.
    """

    def __init__(
        self,
        images: int = 6,
        every_n_steps: int | None = None,
        classes: int = 3,
        every_n_minutes: float | None = None,
    ) -> None:
        check_images("gallery.images", images)
        check_cadence("gallery.every_n_steps", every_n_steps)
        check_range("gallery.classes", classes, 0)
        if every_n_minutes is not None:
            check_range("gallery.every_n_minutes", every_n_minutes, 0, above=True)
        self.images = images
        self.every_n_steps = every_n_steps
        self.classes = classes
        self.every_n_minutes = every_n_minutes
        self._last_shown = time.monotonic()
        self._fixed: tuple[Tensor, Tensor] | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show what the masks begin from, so that there is a picture within the first minute."""
        if trainer.global_step == 0:
            self._show(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the gallery at the end of each validation."""
        self._show(trainer, pl_module)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Show the gallery at the cadence, in steps or in time."""
        waited = (time.monotonic() - self._last_shown) / 60
        in_time = self.every_n_minutes is not None and waited >= self.every_n_minutes
        if in_time or (self.every_n_steps and trainer.global_step % self.every_n_steps == 0):
            self._show(trainer, pl_module)

    def _show(self, trainer: pl.Trainer, module: Any) -> None:
        if not self.images or module.kind != "explainer" or not trainer.is_global_zero or trainer.sanity_checking:
            return
        self._last_shown = time.monotonic()
        # the images are read once: the same ones in every picture, and no time lost for reading
        with forgiving(trainer, "gallery"):
            if self._fixed is None:
                self._fixed = validation_images(trainer.datamodule.split("val"), self.images)  # type: ignore[attr-defined]
            images, labels = (fixed.to(module.device) for fixed in self._fixed)
            # in evaluation mode: otherwise a picture would move the running statistics of the training
            with torch.no_grad(), evaluation_mode(module):
                masks = module(images)
                picture = draw(module, images, labels, masks, self.classes)
            show(trainer, "gallery", picture)
            explanandum = module.explanandum
            log_to_wandb(trainer, lambda: {"class masks": wandb_masks(images, masks, explanandum.classes)})
            make = partial(probability_table, explanandum, images, labels, masks)
            log_to_wandb(trainer, lambda: {"class probabilities": make()})


def validation_images(dataset: Any, count: int) -> tuple[Tensor, Tensor]:
    """Choose images and labels, evenly spread over a data set; unreadable ones are passed over.

    Args:
        dataset: Data set, an `ImageDataset`.
        count: Greatest number of images.

    Returns:
        Images (N, 3, H, W) in [0, 1] and labels (N, K).

    Raises:
        InputError: None of the images can be read.
    """
    # spread: many data sets are sorted by class, and their first images would all be of one
    step = max(1, len(dataset) // count)
    candidates = [dataset[index] for index in range(0, len(dataset), step)]
    samples = [sample for sample in candidates if sample is not None][:count]
    if not samples:
        raise InputError(f"none of {count} validation images can be read: {', '.join(dataset.unreadable[:3])}")
    images = torch.stack([sample.image for sample in samples])
    labels = torch.stack([sample.labels for sample in samples])
    return images, labels


def draw(module: Any, images: Tensor, labels: Tensor, masks: Tensor, most: int) -> Image.Image:
    """Draw the gallery's picture.

    Args:
        module: Module in training, an `AmortizedExplainer`.
        images: Images (N, 3, H, W) in [0, 1].
        labels: Labels (N, K), multi-hot.
        masks: Class masks (N, K, H, W) in [0, 1].
        most: Greatest number of class masks a row.

    Returns:
        A picture with one row for each image.
    """
    explanandum = module.explanandum
    target = target_mask(masks, labels)
    non_target = non_target_mask(masks, labels)
    infill = explanandum.mean_colour
    through_mask = composite(images, target, infill)
    through_complement = composite(images, 1 - target, infill)
    scores = []
    for shown in (images, through_mask, through_complement):
        logits = explanandum(shown).float()
        scores.append(explanandum.probabilities(logits))
    rows = []
    classes = explanandum.classes
    for n, image in enumerate(images):
        captions = [_caption(classes, probabilities[n], labels[n]) for probabilities in scores]
        row = [
            Tile(to_pil(image), captions[0]),
            Tile(overlay(image, target[n]), f"area {target[n].mean():.2f}"),
            Tile(heat_map(non_target[n]), f"area {non_target[n].mean():.2f}"),
            Tile(to_pil(through_mask[n]), captions[1]),
            Tile(to_pil(through_complement[n]), captions[2]),
        ]
        row += _class_tiles(classes, image, labels[n], masks[n], most)
        rows.append(row)
    longest = max(len(row) for row in rows)
    further = longest - len(HEADER)
    return gallery(rows, header=HEADER + ["class mask"] * further)


def _caption(classes: tuple[str, ...], probabilities: Tensor, labels: Tensor) -> str:
    """Return the names and probabilities of an image's first three labels; without labels, of the likeliest class."""
    present = labels.nonzero().flatten().tolist()
    if not present:
        present = [int(probabilities.argmax())]
    # more than three do not fit under a picture
    words = [f"{classes[c]} {probabilities[c]:.2f}" for c in present[:3]]
    return ", ".join(words)


def _class_tiles(classes: tuple[str, ...], image: Tensor, labels: Tensor, masks: Tensor, most: int) -> list[Tile]:
    """Draw an image's masks (K, H, W): those of the first classes present, and the largest of a class that is absent.

    That last one shows what the masks of the other classes should not do: cover anything.
    """
    tiles = []
    present = labels.nonzero().flatten().tolist()
    for c in present[:most]:
        picture = overlay(image, masks[c : c + 1])
        tiles.append(Tile(picture, f"mask of {classes[c]}"))
    if most and not bool(labels.all()):
        # below every area, so that no present class is taken
        areas = masks.mean((1, 2)).masked_fill(labels > 0, -1)
        c = int(areas.argmax())
        picture = overlay(image, masks[c : c + 1])
        area = float(areas[c])
        tiles.append(Tile(picture, f"absent: {classes[c]} {area:.2f}"))
    return tiles


def probability_table(explanandum: Any, images: Tensor, labels: Tensor, masks: Tensor) -> "wandb.Table":
    """Make a table that can be read, sorted and copied: a row for each image and class that it has.

    Args:
        explanandum: Classifier that is asked.
        images: Images (N, 3, H, W) in [0, 1].
        labels: Labels (N, K), multi-hot.
        masks: Class masks (N, K, H, W) in [0, 1].

    Returns:
        A wandb table.
    """
    import wandb  # late: it takes a second, for which those who do not use it do not wait

    table = wandb.Table(
        columns=["image", "class", "probability", "through its own mask", "through the others'", "area"]
    )
    with torch.no_grad():
        whole = explanandum.probabilities(explanandum(images).float())
        pairs = separation(explanandum, images, masks, labels, explanandum.mean_colour, classes=labels.shape[1])
    for place, (n, c) in enumerate(labels.nonzero().tolist()):
        of_pair = (pairs.through_mask[place], pairs.through_others[place], pairs.area[place])
        rounded = [round(float(number), 4) for number in (whole[n, c], *of_pair)]
        picture = wandb.Image(to_pil(images[n]))
        name = printable(explanandum.classes[c])
        table.add_data(picture, name, *rounded)
    return table


def wandb_masks(images: Tensor, masks: Tensor, classes: tuple[str, ...]) -> "list[wandb.Image]":
    """Give images the strongest class's mask, at several thresholds, as overlays that wandb can switch on and off.

    Masks are soft, and wandb shows labels: a layer for each of `THRESHOLDS` shows how steep a mask's edge is, and what
    of it is faint.

    Args:
        images: Images (N, 3, H, W) in [0, 1].
        masks: Class masks (N, K, H, W) in [0, 1].
        classes: Names of the K classes.

    Returns:
        N pictures; label 0 is where every mask is at most the layer's threshold. wandb knows 256 labels: where there
        are more classes, an image's labels number those that cover most of it, and the last label stands for all
        others.
    """
    import wandb  # late: it takes a second, for which those who do not use it do not wait

    classes = tuple(printable(name) for name in classes)
    strength, strongest = (part.cpu() for part in masks.max(1))
    all_names = {0: "none"} | dict(enumerate(classes, 1))
    pictures = []
    for image, strengths, indices in zip(images, strength, strongest, strict=True):
        # numbered once, where the mask reaches furthest: a class has the same number and colour in all layers
        label = torch.where(strengths > THRESHOLDS[0], indices + 1, 0)
        names = all_names
        if len(classes) > LAST_LABEL:
            label, names = _renumbered(label, classes)
        layers = {}
        for threshold in THRESHOLDS:
            shown = torch.where(strengths > threshold, label, 0).to(torch.uint8)
            layers[f"mask above {threshold}"] = {"mask_data": shown.numpy(), "class_labels": names}
        pictures.append(wandb.Image(to_pil(image), masks=layers))
    return pictures


def _renumbered(label: Tensor, classes: tuple[str, ...]) -> tuple[Tensor, dict[int, str]]:
    """Return the labels of one image from 0 to 255, and their names."""
    areas = label.flatten().bincount(minlength=len(classes) + 1)
    # label 0 is where no mask is high: it covers most of an image, and is no class
    areas[0] = 0
    # stable: of equal areas the first class always goes first, so that labels do not flicker between pictures
    order = areas.argsort(descending=True, stable=True).tolist()
    covering = [c for c in order if areas[c]]
    largest = covering[: LAST_LABEL - 1]
    numbers = torch.full((len(classes) + 1,), LAST_LABEL)
    numbers[[0, *largest]] = torch.arange(len(largest) + 1)
    named = {number: classes[c - 1] for number, c in enumerate(largest, 1)}
    return numbers[label], {0: "none", **named, LAST_LABEL: "another class"}
