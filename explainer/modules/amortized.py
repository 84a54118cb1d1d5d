"""Train the Explainer: a network that outputs one mask a class, taught by a frozen classifier alone.

S. Stalder, N. Perraudin, R. Achanta, F. Perez-Cruz, M. Volpi: What You See is What You Classify: Black Box
Attributions, NeurIPS 2022. The published code left the classifier in train mode: `explanandum_mode: train`.
"""

from typing import Any, Literal

import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from explainer.errors import check_range
from explainer.infill import Infill
from explainer.masking import composite, non_target_mask, target_mask
from explainer.modules.base import SaliencyModule, require_finite
from explainer.networks import Explanandum, Masker
from explainer.objectives import Objective, View


class AmortizedExplainer(SaliencyModule):
    """An Explainer of a frozen explanandum; best by validation loss.

    Args:
        explanandum: The classifier to explain; usually a checkpoint of this project.
        masker: The network that outputs the class masks.
        objective: The loss: `ExplainerObjective` or `RTISObjective`.
        optimizer: From parameters to an optimizer.
        scheduler: From an optimizer to a learning-rate scheduler, or None.
        scheduler_interval: Whether the scheduler steps each "epoch" or each "step".
        infill: What stands where the mask is 0; None is the explanandum's mean colour, a zero at its input.
        explanandum_mode: "eval", or "train" as in the published code (dropout active, BatchNorm statistics drifting).
        targets: Which classes the target mask is of: the "labels", as in the paper, or those "predicted" by the
            explanandum, which the paper names for classifiers that are often wrong on their training images.
        target_threshold: Probability from which a class of a multi-label explanandum counts as predicted.

    Raises:
        InputError: The threshold is not in [0, 1].
    """

    kind, monitor, monitor_mode = "explainer", "val/loss", "min"

    def __init__(
        self, explanandum: Explanandum, masker: Masker, objective: Objective,
        optimizer: OptimizerCallable = torch.optim.Adam, scheduler: LRSchedulerCallable | None = None,
        scheduler_interval: Literal["epoch", "step"] = "epoch", infill: Infill | None = None,
        explanandum_mode: Literal["eval", "train"] = "eval", targets: Literal["labels", "predicted"] = "labels",
        target_threshold: float = 0.5,
    ) -> None:  # fmt: skip
        super().__init__(optimizer, scheduler, scheduler_interval)
        check_range("AmortizedExplainer: target_threshold", target_threshold, 0, 1)
        self.targets, self.target_threshold = targets, target_threshold
        self.explanandum, self.masker = explanandum, masker
        self.objective, self.infill = objective, infill
        explanandum.freeze(explanandum_mode)

    def build(self, classes: tuple[str, ...], multilabel: bool) -> None:
        """One mask a class of the classifier, which must be the data set's."""
        self.explanandum.describe_classes(classes, multilabel, new_head=False)
        self.masker.build(len(classes))
        if self.infill is not None:
            self.infill.check_classes(classes)

    @property
    def watched(self) -> nn.Module:
        """The masker's encoder."""
        return self.masker.encoder_network

    def watched_input(self, image: Tensor) -> Tensor:
        """Normalised images, of a size that the masker takes."""
        return self.masker.normalised(image)

    def description(self) -> dict[str, Any]:
        """Classes and both networks."""
        network = self.explanandum
        return {
            "classes": list(network.classes), "multilabel": network.multilabel, "explanandum": network.spec,
            "masker": self.masker.spec,
        }  # fmt: skip

    def forward(self, image: Tensor) -> Tensor:
        """Class masks: (B, 3, H, W) in [0, 1] → (B, K, H, W) in [0, 1]."""
        return self.masker(image).float().sigmoid()

    def chosen(self, image: Tensor, labels: Tensor) -> Tensor:
        """The classes that the target mask is of: the labels, or what the explanandum says of the image; (B, K)."""
        if self.targets == "labels":
            return labels
        with torch.no_grad():
            return self.explanandum.decided(self.explanandum(image).float(), self.target_threshold).to(labels)

    def view(self, image: Tensor, labels: Tensor) -> View:
        """Masks of a batch, and what the explanandum says of the two masked images, in one pass."""
        labels = self.chosen(image, labels)
        single = self.objective.target_only and bool((labels.sum(1) == 1).all())
        logits = self.masker(image, only=labels.argmax(1) if single else None).float()
        target = (logits if single else target_mask(logits, labels, absent=-torch.inf)).sigmoid()
        non_target = None
        if not self.objective.target_only:
            non_target = non_target_mask(logits, labels, absent=-torch.inf).sigmoid()
        infill = self.explanandum.mean_colour if self.infill is None else self.infill(image, target.detach())
        both = torch.cat([composite(image, target, infill), composite(image, 1 - target, infill)])
        kept, removed = self.explanandum(both).float().chunk(2)
        return View(logits, target, non_target, kept, removed, labels, bool(self.explanandum.multilabel))

    def shared_step(self, batch: Any, stage: str) -> Tensor | None:
        """The loss of a batch, every term logged; None for a batch in which no image could be read."""
        if not batch.id:
            return None
        terms = self.objective.terms(self.view(batch.image, batch.labels))
        loss = self.objective.total(terms)
        require_finite(terms | {"loss": loss}, self.global_step)
        self.record(stage, {"loss": loss} | terms, len(batch.id))
        return loss

    def training_step(self, batch: Any, index: int) -> Tensor | None:
        """One step."""
        return self.shared_step(batch, "train")

    def validation_step(self, batch: Any, index: int) -> Tensor | None:
        """The same terms on validation images."""
        return self.shared_step(batch, "val")

    def test_step(self, batch: Any, index: int) -> Tensor | None:
        """The same terms on test images."""
        return self.shared_step(batch, "test")
