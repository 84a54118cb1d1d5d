"""Train or fine-tune an explanandum.

Settings of the Explainer paper's classifiers (S. Stalder et al., NeurIPS 2022): ImageNet weights, a new head, binary
cross-entropy, Adam at 1e-5 for VGG-16 and 1e-4 for ResNet-50.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from explainer.errors import InputError, check_range
from explainer.functional.losses import multilabel_cross_entropy, single_label_cross_entropy
from explainer.functional.masking import composite, target_mask
from explainer.infill import Infill
from explainer.metrics import MeanAveragePrecision, MeanF1
from explainer.networks import Explanandum, MaskNetwork
from explainer.networks.description import ClassifierParts
from explainer.networks.restore import load_explainer
from explainer.training.modules.base import SaliencyModule, require_finite


def check_learnable(classes: Sequence[str], multilabel: bool) -> None:
    """Refuse a data set from which no classifier can learn, before it trains without a word.

    Args:
        classes: Names of the K classes.
        multilabel: Whether an image may have another number of labels than one.

    Raises:
        InputError: There is no class, or there is one and every image has it.

    Example:
        >>> check_learnable(["cat"], True)
    """
    if not classes:
        raise InputError("no image of the data set has a label: there is nothing to learn")
    if len(classes) == 1 and not multilabel:
        raise InputError(
            f"every image of the data set has the same class, {classes[0]!r}: there is nothing to learn; add images of "
            "another class, or, in a CSV, images without a label"
        )


class Classifier(SaliencyModule):
    """An image classifier; best by val/score: validation mAP, or accuracy for one label an image.

    Args:
        explanandum: Network to train; its head is made to fit the data set's classes.
        optimizer: Function from parameters to an optimizer.
        scheduler: Function from an optimizer to a learning-rate scheduler, or None.
        scheduler_interval: Whether the scheduler steps each "epoch" or each "step".
        head_only: Whether only the last layer is trained, on the features of frozen weights in evaluation mode.
        trained: Dotted names, below the network, of the only layers to train, in train mode; None trains all.
        fresh: Dotted names of layers that begin with random weights, whatever the network was loaded with.
        best_by: Measure of the best checkpoint: the highest validation "score" or the lowest "loss".
        explained_by: Checkpoint of an Explainer of the same classes, through whose target masks a share of each
            training batch is seen; None shows whole images.
        explained_share: Share of a batch that is seen through masks, in [0, 1].
        explained_infill: Infill where these masks are 0; None is the classifier's mean colour.

    Raises:
        InputError: Both `head_only` and `trained` are given, the share is out of its range, or the checkpoint is of
            other classes.
    """

    kind = "classifier"
    monitor = "val/score"
    monitor_mode: Literal["min", "max"] = "max"

    def __init__(
        self,
        explanandum: Explanandum,
        optimizer: OptimizerCallable = torch.optim.Adam,
        scheduler: LRSchedulerCallable | None = None,
        scheduler_interval: Literal["epoch", "step"] = "epoch",
        head_only: bool = False,
        trained: list[str] | None = None,
        fresh: list[str] | None = None,
        best_by: Literal["score", "loss"] = "score",
        explained_by: str | None = None,
        explained_share: float = 0.5,
        explained_infill: Infill | None = None,
    ) -> None:
        super().__init__(optimizer, scheduler, scheduler_interval)
        if head_only and trained:
            raise InputError("Classifier: give head_only or the names of the layers to train, not both")
        self.explanandum = explanandum
        self.head_only = head_only
        self.trained = trained or []
        self._fresh = fresh or []
        check_range("Classifier: explained_share", explained_share, 0, 1)
        self.explained_by = explained_by
        self.explained_share = explained_share
        self.explained_infill = explained_infill
        self._masker: list[MaskNetwork] = []  # in a list: it is no part of what is trained and saved
        if best_by == "loss":
            self.monitor = "val/loss"
            self.monitor_mode = "min"

    def build(self, classes: tuple[str, ...], multilabel: bool) -> None:
        """Fit the head, unfreeze, and make the metrics of validation and test.

        Raises:
            InputError: No classifier can learn from the data set.
        """
        check_learnable(classes, multilabel)
        self.explanandum.describe_classes(classes, multilabel, new_head=True)
        # after the head was made: with head_only it is the new one that trains
        self.explanandum.unfreeze(head_only=self.head_only, parts=self.trained)
        self.explanandum.start_afresh(self._fresh)
        self._fresh = []  # once: a second call must not throw away what was learned
        if self.explained_by is not None and not self._masker:
            _, masker, spec = load_explainer(self.explained_by)
            if tuple(spec["classes"]) != tuple(classes):
                raise InputError(f"explained_by: {self.explained_by} has masks of other classes than the data set")
            self._masker = [masker]
        count = len(classes)
        measure: Callable[[], Metric]
        f1: Metric
        if self.explanandum.multilabel:
            name = "mAP"
            measure = partial(MeanAveragePrecision, count)
            f1 = MeanF1(count)
        else:
            name = "accuracy"
            measure = partial(MulticlassAccuracy, count, average="micro")
            f1 = MulticlassF1Score(count)
        # under two names: the best checkpoint is chosen by "score", whatever the classifier's measure is
        self.val_scores = MetricCollection({"score": measure(), name: measure(), "f1": f1}, prefix="val/")
        self.test_scores = self.val_scores.clone(prefix="test/")

    @property
    def watched(self) -> nn.Module:
        """Network of the classifier itself."""
        return self.explanandum.network

    def watched_input(self, image: Tensor) -> Tensor:
        """Return normalised images."""
        return self.explanandum.normalised(image)

    def description(self) -> ClassifierParts:
        """Return the classes, and the network's spec."""
        network = self.explanandum
        return {"classes": list(network.classes), "multilabel": network.multilabel, "explanandum": network.spec}

    def forward(self, image: Tensor) -> Tensor:
        """Turn images (B, 3, H, W) in [0, 1] into logits (B, K)."""
        return self.explanandum(image)

    @torch.no_grad()
    def explained(self, image: Tensor, labels: Tensor) -> Tensor:
        """Show the first images of a batch, whose order is by chance, through the Explainer's target masks."""
        count = round(self.explained_share * len(image))
        if not self._masker or not count:
            return image
        masker = self._masker[0].to(image.device)
        seen = image[:count]
        mask = target_mask(masker(seen).float().sigmoid(), labels[:count])
        infill = self.explanandum.mean_colour
        if self.explained_infill is not None:
            # seeded by the step: a resumed run sees what it would have seen
            generator = torch.Generator(image.device).manual_seed(self.global_step)
            infill = self.explained_infill(seen, mask.round(), generator)
        return torch.cat([composite(seen, mask, infill), image[count:]])

    def shared_step(self, batch: Any, stage: str) -> tuple[Tensor, Tensor]:
        """Return loss and logits of a batch."""
        image = batch.image
        if stage == "train":
            image = self.explained(image, batch.labels)
        logits = self(image).float()
        cross_entropy = multilabel_cross_entropy if self.explanandum.multilabel else single_label_cross_entropy
        terms = {"loss": cross_entropy(logits, batch.labels).mean()}
        require_finite(terms, self.global_step)
        self.record(stage, terms, len(batch.id))
        return terms["loss"], logits

    def training_step(self, batch: Any, index: int) -> Tensor | None:
        """Return the loss of a batch; for one without images see `without_images`."""
        if not batch.id:
            return self.without_images()
        return self.shared_step(batch, "train")[0]

    def validation_step(self, batch: Any, index: int) -> None:
        """Log loss and scores."""
        self._score(batch, "val", self.val_scores)

    def test_step(self, batch: Any, index: int) -> None:
        """Log loss and scores."""
        self._score(batch, "test", self.test_scores)

    def _score(self, batch: Any, stage: str, scores: MetricCollection) -> None:
        if not batch.id:
            return
        _, logits = self.shared_step(batch, stage)
        truth = batch.labels.argmax(1)
        if self.explanandum.multilabel:
            truth = batch.labels.long()
        probabilities = self.explanandum.probabilities(logits)
        scores.update(probabilities, truth)

    def on_validation_epoch_start(self) -> None:
        """Begin without values of a validation that was broken off."""
        super().on_validation_epoch_start()
        self.val_scores.reset()

    def on_test_epoch_start(self) -> None:
        """Begin without values of another test."""
        super().on_test_epoch_start()
        self.test_scores.reset()

    def on_validation_epoch_end(self) -> None:
        """Log loss and scores of the whole split."""
        self._log_scores(self.val_scores)

    def on_test_epoch_end(self) -> None:
        """Log loss and scores of the whole split."""
        self._log_scores(self.test_scores)

    def _log_scores(self, scores: MetricCollection) -> None:
        """Log the means over the images, and mAP and F1, which are of the whole split and no means over batches."""
        # in all processes alike: they agree on whether any of them had an image
        if not self.log_means():
            return
        self.log_dict(scores.compute(), prog_bar=True)
        scores.reset()
