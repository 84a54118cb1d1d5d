"""A trained Explainer as an attribution method like any other.

S. Stalder, N. Perraudin, R. Achanta, F. Perez-Cruz, M. Volpi: What You See is What You Classify: Black Box
Attributions, NeurIPS 2022.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from explainer.attribution.base import Attribution, CheckedMask, broken_maps
from explainer.attribution.targets import check_targets
from explainer.errors import InputError
from explainer.functional.masking import target_mask
from explainer.networks import Explanandum
from explainer.networks.restore import load_explainer
from explainer.networks.scored import Scored


class Explainer(Attribution):
    """Class masks of an Explainer's checkpoint, one forward pass for all classes.

    Args:
        checkpoint: Checkpoint of an Explainer, checkpoints/<config>.ckpt.
        batch_size: Largest number of images that go through the network at once.
        allow: Dotted names of builders, modules or packages that the checkpoint may name.
    """

    is_mask = True

    def __init__(self, checkpoint: str, batch_size: int = 16, allow: Sequence[str] = ()) -> None:
        self.checkpoint = checkpoint
        self.batch_size = batch_size
        _, self.masker, spec = load_explainer(checkpoint, allow=allow)
        self.classes = tuple(spec["classes"])

    def masks(self, image: Tensor) -> Tensor:
        """Return the masks of all classes: (B, K, H, W) in [0, 1]."""
        return self._masks(image)

    @torch.no_grad()
    def _masks(self, image: Tensor, only: Tensor | None = None) -> Tensor:
        """Return the masks of all classes, or of `only` one class an image, (B,) long: (B, K or 1, H, W)."""
        self.masker.to(image.device)
        parts = image.split(self.batch_size)
        classes = [None] * len(parts) if only is None else only.split(self.batch_size)
        masks = []
        for part, its_classes in zip(parts, classes, strict=True):
            logits = self.masker(part, its_classes)
            masks.append(logits.float().sigmoid())
        return torch.cat(masks)

    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """Return the target's mask: (B, 1, H, W) in [0, 1]."""
        if isinstance(explanandum, Scored):
            raise InputError("an Explainer has a mask for each class and none for a function: choose another method")
        check_targets(target, len(self.classes))
        return self._masks(image, target)

    def checked_target_mask(
        self, explanandum: Explanandum, image: Tensor, labels: Tensor, scaled: bool = True
    ) -> CheckedMask:
        """Take the maximum over the masks of the classes present, as trained: never scaled."""
        if explanandum.classes and tuple(explanandum.classes) != self.classes:
            raise InputError(
                f"{self.checkpoint} explains other classes than the classifier has: evaluate it with its own"
            )
        # the usual case, one label an image: only its mask is computed, not those of all classes
        if bool((labels.sum(1) == 1).all()):
            mask = self._masks(image, labels.argmax(1))
        else:
            mask = target_mask(self.masks(image), labels)
        return CheckedMask(mask, broken_maps(mask))
