"""What a class's mask shows where the classifier is right, and where it is wrong.

S. Stalder, N. Perraudin, R. Achanta, F. Perez-Cruz, M. Volpi: What You See is What You Classify: Black Box
Attributions, NeurIPS 2022 (section 3 and supplement C: masks of false positives and of false negatives). An attribution
that is faithful to the classifier shows what misled it: seen through the mask, a wrongly predicted class stays
predicted, and of the complement it does not.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from explainer.attribution import Attribution, Reference
from explainer.data import Batch
from explainer.evaluation.batches import part
from explainer.evaluation.maps.class_masks import class_masks
from explainer.evaluation.maps.make import SCALED, MaskMaker
from explainer.evaluation.storage.rows import Decision
from explainer.functional.masking import composite
from explainer.networks import Explanandum

KINDS = ("true positive", "false positive", "false negative")
"""Kinds of decisions about a class of an image; the many classes that are rightly not predicted have no mask here."""


class ClassView(NamedTuple):
    """A class's mask over one image, and what the classifier says of the class with it.

    Attributes:
        mask: Mask (1, 1, H, W) in [0, 1].
        image: Probability of the class for the image.
        keeping: Probability of the class for what the mask keeps.
        removing: Probability of the class for what is left without it.
    """

    mask: Tensor
    image: float
    keeping: float
    removing: float


class Decisions:
    """Measure the masks of single classes, by what became of the classifier's decision.

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
            explanandum: Frozen classifier, on the batch's device.
            batch: Images.

        Returns:
            An entry an image: indices of the classes that are labelled or predicted, and which of `KINDS` each is.
        """
        with torch.no_grad():
            logits = explanandum(batch.image).float()
            decided = explanandum.decided(logits, self.threshold) > 0
        present = batch.labels > 0
        of_images = []
        for labelled, predicted in zip(present.tolist(), decided.tolist(), strict=True):
            kinds = map(kind_of, labelled, predicted)
            of_images.append([(index, kind) for index, kind in enumerate(kinds) if kind is not None])
        return of_images

    def __call__(
        self,
        explanandum: Explanandum,
        method: Attribution | None,
        batch: Batch,
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
        # one image at a time: images have different numbers of decided classes
        for place, classes in enumerate(self.kinds(explanandum, batch)):
            decisions: list[Decision] = []
            for index, kind in classes:
                view = self.view(explanandum, method, part(batch, [place]), index)
                decisions.append(
                    {
                        "class": explanandum.classes[index],
                        "kind": kind,
                        "area": round(float(view.mask.mean()), 5),
                        "image": round(view.image, 5),
                        "kept": round(view.keeping, 5),
                        "removed": round(view.removing, 5),
                    }
                )
            entries.append(decisions)
        return entries

    def view(self, explanandum: Explanandum, method: Attribution, single: Batch, index: int) -> ClassView:
        """Make the mask of a class over one image, and ask the classifier about the class with it.

        Args:
            explanandum: Frozen classifier.
            method: Method of the mask.
            single: Batch of one image.
            index: Index of the class.
        """
        mask = class_masks(explanandum, method, single.image, [index], self.maker)
        colour = explanandum.mean_colour
        shown = composite(single.image, mask, colour)
        complement = composite(single.image, 1 - mask, colour)
        with torch.no_grad():
            # one call for the three pictures: a network takes a batch in little more time than an image
            pictures = torch.cat([single.image, shown, complement])
            logits = explanandum(pictures).float()
        image, keeping, removing = explanandum.probabilities(logits)[:, index].tolist()
        return ClassView(mask, image, keeping, removing)


def kind_of(labelled: bool, predicted: bool) -> str | None:
    """Name a decision; None where a class is neither labelled nor predicted.

    Args:
        labelled: Whether the image has the class.
        predicted: Whether the classifier predicts the class.

    Example:
        >>> [kind_of(*pair) for pair in ((True, True), (False, True), (True, False), (False, False))]
        ['true positive', 'false positive', 'false negative', None]
    """
    if labelled and predicted:
        return "true positive"
    if predicted:
        return "false positive"
    if labelled:
        return "false negative"
    return None
