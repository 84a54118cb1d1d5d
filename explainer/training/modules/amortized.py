"""Train the Explainer: a network that outputs one mask a class, taught by a frozen classifier alone.

S. Stalder, N. Perraudin, R. Achanta, F. Perez-Cruz, M. Volpi: What You See is What You Classify: Black Box
Attributions, NeurIPS 2022. The published code left the classifier in train mode: `explanandum_mode: train`.
"""

import math
from typing import Any, Literal, cast

import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from pytorch_lightning.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn

from explainer.errors import InputError, check_range
from explainer.functional.masking import composite, enlarged, mask_of, non_target_mask, target_mask
from explainer.functional.ranking import spread_shares, top_share
from explainer.infill import Infill
from explainer.networks import Explanandum, Masker, MaskNetwork
from explainer.networks.checkpoint import part, read_checkpoint
from explainer.networks.description import Explained, ExplainerParts
from explainer.networks.folding import faster
from explainer.networks.loading import load_state
from explainer.training.modules.base import SaliencyModule, require_finite
from explainer.training.objectives import Objective, View
from explainer.training.processes import rank_and_world, share_of
from explainer.training.separation import fault, separation

_NEVER = -1e4
"""A mask logit whose sigmoid is 0; unlike -inf, it can be interpolated."""
_GOLDEN = (math.sqrt(5) - 1) / 2


class AmortizedExplainer(SaliencyModule):
    """An Explainer of a frozen explanandum; best by validation loss.

    Args:
        explanandum: Classifier to explain; usually a checkpoint of this project.
        masker: Network that outputs the class masks.
        objective: Loss: `ExplainerObjective` or `RTISObjective`.
        optimizer: Function from parameters to an optimizer.
        scheduler: Function from an optimizer to a learning-rate scheduler, or None.
        scheduler_interval: Whether the scheduler steps each "epoch" or each "step".
        infill: Infill where the mask is 0; None is the explanandum's mean colour, a zero at its input.
        share_infill: Infill beside the share that the target mask ranks first, where the objective has the term
            `insertion`; None is the explanandum's mean colour. The metric inserts into a blur.
        explanandum_mode: Mode "eval", or "train" as in the published code (dropout active, BatchNorm statistics
            drifting).
        targets: Classes of the target mask: the "labels", as in the paper, or those "predicted" by the explanandum,
            which the paper names for classifiers that are often wrong on their training images.
        target_threshold: Probability from which a class of a multi-label explanandum counts as predicted.
        best_by: Measure of the best checkpoint: the lowest validation "loss", as in the paper, or one that can be
            compared between weights of the loss. The highest "score": the probability of a class through its own mask,
            less that through the other classes' masks, less the area of its own mask. The highest "essence": the
            probability of a class through its own mask, times that of no class without it, times the share of the image
            that the mask hides.
        check_after: Number of training steps after which a validation says so when the masks explain nothing.
        masker_weights: Checkpoint of an Explainer of the same classes and masker, with whose masker the training
            begins; None begins anew.

    Raises:
        InputError: The threshold is not in [0, 1], or the checkpoint is of another Explainer.
    """

    kind = "explainer"
    monitor = "val/loss"
    monitor_mode: Literal["min", "max"] = "min"

    def __init__(
        self,
        explanandum: Explanandum,
        masker: Masker | MaskNetwork,
        objective: Objective,
        optimizer: OptimizerCallable = torch.optim.Adam,
        scheduler: LRSchedulerCallable | None = None,
        scheduler_interval: Literal["epoch", "step"] = "epoch",
        infill: Infill | None = None,
        explanandum_mode: Literal["eval", "train"] = "eval",
        targets: Literal["labels", "predicted"] = "labels",
        target_threshold: float = 0.5,
        best_by: Literal["loss", "score", "essence"] = "loss",
        check_after: int = 300,
        share_infill: Infill | None = None,
        masker_weights: str | None = None,
    ) -> None:
        super().__init__(optimizer, scheduler, scheduler_interval)
        check_range("AmortizedExplainer: target_threshold", target_threshold, 0, 1)
        check_range("AmortizedExplainer: check_after", check_after, 0)
        if best_by != "loss":
            self.monitor = f"val/{best_by}"
            self.monitor_mode = "max"
        self.check_after = check_after
        self.targets = targets
        self.target_threshold = target_threshold
        self.explanandum = explanandum
        self.masker = masker
        self.objective = objective
        self.infill = infill
        self.share_infill = share_infill
        self.masker_weights = masker_weights
        explanandum.freeze(explanandum_mode)
        masker.attach(explanandum)
        self._folded: list[Explanandum] = []  # in a list: it is no part of the module

    def build(self, classes: tuple[str, ...], multilabel: bool) -> None:
        """Build one mask for each class of the classifier; its classes must be the data set's."""
        self.explanandum.describe_classes(classes, multilabel, new_head=False)
        self.masker.build(len(classes))
        for infill in (self.infill, self.share_infill):
            if infill is not None:
                infill.check_classes(classes)
        if self.masker_weights is not None:
            self._begin_with(self.masker_weights)
            self.masker_weights = None  # a second call changes nothing

    def _begin_with(self, checkpoint: str) -> None:
        """Give the masker the weights of an Explainer's checkpoint."""
        spec, state = read_checkpoint(checkpoint, "explainer")
        classes = list(self.explanandum.classes)
        if list(cast(Explained, spec)["classes"]) != classes:
            raise InputError(f"masker_weights: {checkpoint} has masks of other classes than {', '.join(classes)}")
        load_state(self.masker, part(state, "masker"), checkpoint)

    @property
    def watched(self) -> nn.Module | None:
        """The masker's encoder, where it has one of its own."""
        return self.masker.encoder_network

    def watched_input(self, image: Tensor) -> Tensor:
        """Return normalised images, of a size that the masker takes."""
        return self.masker.normalised(image)

    def description(self) -> ExplainerParts:
        """Return the classes, and the specs of both networks."""
        network = self.explanandum
        return {
            "classes": list(network.classes),
            "multilabel": network.multilabel,
            "explanandum": network.spec,
            "masker": self.masker.spec,
        }

    def forward(self, image: Tensor) -> Tensor:
        """Return the class masks: (B, 3, H, W) in [0, 1] → (B, K, H, W) in [0, 1]."""
        return mask_of(self.masker(image).float())

    def chosen(self, image: Tensor, labels: Tensor) -> Tensor:
        """Return the classes (B, K) of the target mask: the labels, or what the explanandum says of the image."""
        if self.targets == "labels":
            return labels
        with torch.no_grad():
            logits = self.explanandum(image).float()
            return self.explanandum.decided(logits, self.target_threshold).to(labels)

    def view(self, image: Tensor, labels: Tensor) -> View:
        """Return the masks of a batch, and what the explanandum says of the two masked images, in one pass.

        In training, a masker that can leaves its K masks small: only their maxima are enlarged to the image.
        """
        labels = self.chosen(image, labels)
        # one label an image, and an objective of it alone: the other masks need not be enlarged
        single = self.objective.target_only and bool((labels.sum(1) == 1).all())
        only = labels.argmax(1) if single else None
        masker = self.masker.coarse if self.training else self.masker
        logits = masker(image, only=only).float()
        size = image.shape[-2:]
        highest = logits
        if not single:
            # maxima of logits, not of masks: the sigmoid is computed for one map in place of K
            highest = target_mask(logits, labels, absent=_NEVER)
        target_logits = enlarged(highest, size)
        target = target_logits.sigmoid()
        non_target = None
        if not self.objective.target_only:
            non_target = enlarged(non_target_mask(logits, labels, absent=_NEVER), size).sigmoid()
        infill = self.explanandum.mean_colour
        if self.infill is not None:
            # detached: the masks should not learn to steer what a learned in-fill puts in place of the evidence
            infill = self.infill(image, target.detach())
        pictures = [composite(image, target, infill), composite(image, 1 - target, infill)]
        if self.objective.ranks:
            pictures += self._shared_out(image, target_logits)
        # one pass of twice the size in place of two, or of four times the size
        together = torch.cat(pictures)
        answers = self._explanandum_for(together)(together).float().chunk(len(pictures))
        through_mask, through_complement, *through_shares = answers
        multilabel = bool(self.explanandum.multilabel)
        return View(logits, target, non_target, through_mask, through_complement, labels, multilabel, *through_shares)

    def _shared_out(self, image: Tensor, target_logits: Tensor) -> list[Tensor]:
        """Return the images with only the share that the target mask ranks first, and those without it.

        Each image of a batch has another share, and each step moves all of them: so a step costs two composites an
        image, and a training sees every share.
        """
        # multiples of the golden ratio fill [0, 1] evenly, without a random state that a resumed run would have to know
        offset = torch.tensor((0.5 + self.global_step * _GOLDEN) % 1, device=image.device)
        # among several processes, each takes its part of the shares of the whole step
        count = len(image) * rank_and_world()[1]
        shares = share_of(spread_shares(count, offset))[:, None]
        first = top_share(target_logits, shares, self.objective.temperature)
        beside = self.explanandum.mean_colour
        if self.share_infill is not None:
            beside = self.share_infill(image, first.detach())
        instead = self.explanandum.mean_colour
        if self.infill is not None:
            instead = self.infill(image, 1 - first.detach())
        return [composite(image, first, beside), composite(image, 1 - first, instead)]

    def on_fit_start(self) -> None:
        """Fold the explanandum anew: since the last training it may have been changed, or moved."""
        self._folded = []

    def _explanandum_for(self, image: Tensor) -> Explanandum:
        """Return the explanandum; in training a copy, the same but for rounding, whose gradients cost less."""
        if not self.training or self.explanandum.mode == "train":
            return self.explanandum
        if not self._folded:
            self._folded = [faster(self.explanandum, image)]
        return self._folded[0]

    def shared_step(self, batch: Any, stage: str) -> Tensor | None:
        """Return the loss of a batch, and log every term; for one without images see `without_images`."""
        if not batch.id:
            return self.without_images() if stage == "train" else None
        view = self.view(batch.image, batch.labels)
        terms = self.objective.terms(view)
        loss = self.objective.total(terms)
        require_finite(terms | {"loss": loss}, self.global_step)
        self.record(stage, {"loss": loss} | terms, len(batch.id))
        if stage != "train":
            self._record_separation(stage, batch.image, view)
        return loss

    def _record_separation(self, stage: str, image: Tensor, view: View) -> None:
        """Log whether the masks tell the classes apart."""
        mask_logits = view.mask_logits
        if mask_logits.shape[1] != view.labels.shape[1]:  # the view has the mask of one label alone
            mask_logits = self.masker(image).float()
        pairs = separation(self.explanandum, image, mask_logits.sigmoid(), view.labels, self.explanandum.mean_colour)
        if not len(pairs.area):
            return
        through_mask = pairs.through_mask.mean()
        through_others = pairs.through_others.mean()
        area = pairs.area.mean()
        values = {
            "own": through_mask,
            "others": through_others,
            "removed": pairs.through_rest.mean(),
            "separation": through_mask - through_others,
            # less the area: without it, masks that keep the whole image would be the best
            "score": through_mask - through_others - area,
            # of each pair: its mask keeps the class, leaves nothing of it, and is small
            "essence": (pairs.through_mask * (1 - pairs.through_rest) * (1 - pairs.area)).mean(),
            "area": area,
        }
        # pairs, not images: a mean over batches must weigh each by what it averages
        self._means.add({f"{stage}/{name}": value for name, value in values.items()}, len(pairs.area))

    def on_validation_end(self) -> None:
        """Warn in one line when masks explain nothing after a good number of steps."""
        metrics = self.trainer.callback_metrics
        if self.trainer.sanity_checking or self.global_step < self.check_after or "val/own" not in metrics:
            return
        through_mask = float(metrics["val/own"])
        through_others = float(metrics["val/others"])
        area = float(metrics["val/area"])
        wrong = fault(through_mask, through_others, area)
        # a warning, not an error: the masks may still part, as they do late when trained from scratch
        if wrong:
            rank_zero_warn(f"after {self.global_step} steps {wrong}")

    def training_step(self, batch: Any, index: int) -> Tensor | None:
        """Return the loss of a training batch."""
        return self.shared_step(batch, "train")

    def validation_step(self, batch: Any, index: int) -> Tensor | None:
        """Return the same loss on validation images."""
        return self.shared_step(batch, "val")

    def test_step(self, batch: Any, index: int) -> Tensor | None:
        """Return the same loss on test images."""
        return self.shared_step(batch, "test")
