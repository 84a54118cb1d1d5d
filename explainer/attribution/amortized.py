"""A trained Explainer as an attribution method like any other.

S. Stalder, N. Perraudin, R. Achanta, F. Perez-Cruz, M. Volpi: What You See is What You Classify: Black Box
Attributions, NeurIPS 2022.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from explainer.attribution.base import Attribution, CheckedMask, broken_maps
from explainer.attribution.refinement import Refinement, refined
from explainer.attribution.targets import check_targets
from explainer.errors import InputError, check_range
from explainer.functional.masking import mask_of, target_mask
from explainer.networks import Explanandum
from explainer.networks.restore import load_explainer
from explainer.networks.scored import Scored


class Explainer(Attribution):
    """Class masks of an Explainer's checkpoint, one forward pass for all classes.

    With `refine_steps`, a class's mask is the start of a short search, which changes the order of its pixels and leaves
    their values. Each step takes two passes through the classifier for each share that it looks at.

    Args:
        checkpoint: Checkpoint of an Explainer, checkpoints/<config>.ckpt.
        batch_size: Largest number of images that go through the network at once.
        allow: Dotted names of builders, modules or packages that the checkpoint may name.
        refine_steps: Number of gradient steps on each image and class from its mask; 0 takes the mask as it is.
        refinement: Settings of these steps; None takes the defaults.

    Raises:
        InputError: The file is no Explainer's checkpoint, or `refine_steps` is negative.
    """

    is_mask = True

    def __init__(
        self,
        checkpoint: str,
        batch_size: int = 16,
        allow: Sequence[str] = (),
        refine_steps: int = 0,
        refinement: Refinement | None = None,
    ) -> None:
        check_range("attribution Explainer: refine_steps", refine_steps, 0)
        self.checkpoint = checkpoint
        self.batch_size = batch_size
        self.refine_steps = refine_steps
        # without steps nothing of it matters, and results of then stay those of the same method
        self.refinement = (refinement or Refinement()) if refine_steps else None
        _, self.masker, spec = load_explainer(checkpoint, allow=allow)
        self.classes = tuple(spec["classes"])

    def masks(self, image: Tensor) -> Tensor:
        """Return the masks of all classes, never refined: (B, K, H, W) in [0, 1]."""
        return mask_of(self._logits(image))

    @torch.no_grad()
    def _logits(self, image: Tensor, only: Tensor | None = None) -> Tensor:
        """Return the mask logits of all classes, or of `only` one class an image, (B,) long: (B, K or 1, H, W)."""
        self.masker.to(image.device)
        parts = image.split(self.batch_size)
        classes = [None] * len(parts) if only is None else only.split(self.batch_size)
        logits = []
        for part, its_classes in zip(parts, classes, strict=True):
            logits.append(self.masker(part, its_classes).float())
        return torch.cat(logits)

    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """Return the target's mask: (B, 1, H, W) in [0, 1]."""
        if isinstance(explanandum, Scored):
            raise InputError("an Explainer has a mask for each class and none for a function: choose another method")
        check_targets(target, len(self.classes))
        logits = self._logits(image, target)
        if self.refinement is not None:
            logits = refined(explanandum, image, target, logits, self.refine_steps, self.refinement, self.batch_size)
        return mask_of(logits)

    def checked_target_mask(
        self,
        explanandum: Explanandum,
        image: Tensor,
        labels: Tensor,
        scaled: bool = True,
    ) -> CheckedMask:
        """Take the maximum over the masks of the classes present, as trained: never scaled."""
        if explanandum.classes and tuple(explanandum.classes) != self.classes:
            raise InputError(
                f"{self.checkpoint} explains other classes than the classifier has: evaluate it with its own"
            )
        if self.refine_steps:
            # one class at a time, each with a search of its own
            return super().checked_target_mask(explanandum, image, labels, scaled=False)
        # the usual case, one label an image: only its mask is computed, not those of all classes
        if bool((labels.sum(1) == 1).all()):
            mask = mask_of(self._logits(image, labels.argmax(1)))
        else:
            mask = target_mask(self.masks(image), labels)
        return CheckedMask(mask, broken_maps(mask))
