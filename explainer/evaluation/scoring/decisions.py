"""What a class's mask shows where the classifier is right, and where it is wrong.

S. Stalder, N. Perraudin, R. Achanta, F. Perez-Cruz, M. Volpi: What You See is What You Classify: Black Box
Attributions, NeurIPS 2022 (section 3 and supplement C: masks of false positives and of false negatives). An attribution
that is faithful to the classifier shows what misled it: seen through the mask, a wrongly predicted class stays
predicted, and of the complement it does not.
"""

import torch
from torch import Tensor

from explainer.attribution import Attribution, Reference
from explainer.data import Batch
from explainer.evaluation.batches import part
from explainer.evaluation.maps.make import SCALED, MaskMaker
from explainer.evaluation.scoring.class_matrix import class_masks
from explainer.evaluation.storage.rows import Decision
from explainer.functional.masking import composite
from explainer.networks import Explanandum

KINDS = ("true positive", "false positive", "false negative")
"""Of an image and a class; the many classes that are rightly not predicted have no mask here."""


class Decisions:
    """Masks of single classes, by what became of the classifier's decision.

    Args:
        threshold: Probability from which a class of a multi-label classifier counts as predicted.
        maker: Maker of the masks.
    """

    def __init__(self, threshold: float = 0.5, maker: MaskMaker = SCALED) -> None:
        self.threshold = threshold
        self.maker = maker

    def kinds(self, explanandum: Explanandum, batch: Batch) -> list[list[tuple[int, str]]]:
        """Sort the classes of each image by what became of them.

        Args:
            explanandum: The frozen classifier, on the batch's device.
            batch: The images.

        Returns:
            An entry an image: classes that are labelled or predicted, and which of `KINDS` each is.
        """
        with torch.no_grad():
            decided = explanandum.decided(explanandum(batch.image).float(), self.threshold) > 0
        present = batch.labels > 0
        of_images = []
        for labelled, predicted in zip(present.tolist(), decided.tolist(), strict=True):
            kinds = [kind_of(*pair) for pair in zip(labelled, predicted, strict=True)]
            of_images.append([(index, kind) for index, kind in enumerate(kinds) if kind is not None])
        return of_images

    def __call__(
        self, explanandum: Explanandum, method: Attribution | None, batch: Batch
    ) -> list[list[Decision]] | None:
        """Measure what the masks of decided classes show.

        Args:
            explanandum: Frozen classifier.
            method: Method that makes a mask of a class.
            batch: Images, on the explanandum's device.

        Returns:
            An entry an image: its classes, each with its kind, the area of its mask, and the classifier's probability
            of it for the image, for what the mask keeps, and for the complement. None for references, which look at no
            class.
        """
        if method is None or isinstance(method, Reference):
            return None
        entries = []
        for place, classes in enumerate(self.kinds(explanandum, batch)):
            decisions: list[Decision] = []
            for index, kind in classes:
                seen = self.seen(explanandum, method, part(batch, [place]), index)
                decisions.append(
                    {
                        "class": explanandum.classes[index],
                        "kind": kind,
                        "area": round(float(seen["area"]), 5),
                        "image": round(float(seen["image"]), 5),
                        "kept": round(float(seen["kept"]), 5),
                        "removed": round(float(seen["removed"]), 5),
                    }
                )
            entries.append(decisions)
        return entries

    def seen(self, explanandum: Explanandum, method: Attribution, one: Batch, index: int) -> dict[str, Tensor]:
        """Make the mask of a class over one image, and ask the classifier about the class with it.

        Args:
            explanandum: Frozen classifier.
            method: Method of the mask.
            one: Batch of one image.
            index: Index of the class.

        Returns:
            "mask" (1, 1, H, W) in [0, 1]; its "area"; probabilities for the "image", and of what it "kept" and what
            without it is left ("removed").
        """
        mask = class_masks(explanandum, method, one.image, [index], self.maker)
        colour = explanandum.mean_colour
        pictures = [one.image, composite(one.image, mask, colour), composite(one.image, 1 - mask, colour)]
        with torch.no_grad():
            logits = explanandum(torch.cat(pictures)).float()
            image, kept, removed = explanandum.probabilities(logits)[:, index]
        return {"mask": mask, "area": mask.mean(), "image": image, "kept": kept, "removed": removed}


def kind_of(labelled: bool, predicted: bool) -> str | None:
    """Name a decision; None where nothing is labelled and nothing predicted.

    Example:
        >>> [kind_of(*pair) for pair in ((True, True), (False, True), (True, False), (False, False))]
        ['true positive', 'false positive', 'false negative', None]
    """
    if labelled:
        return "true positive" if predicted else "false negative"
    return "false positive" if predicted else None
