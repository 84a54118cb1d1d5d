"""Which classes of an image are explained: its labels, or what the classifier says of it.

S. Stalder, N. Perraudin, R. Achanta, F. Perez-Cruz, M. Volpi: What You See is What You Classify: Black Box
Attributions, NeurIPS 2022 (section 3 names both, and takes the labels).
"""

from typing import Literal, NamedTuple

import torch

from explainer.data import Batch
from explainer.networks import Explanandum

Kind = Literal["labels", "predicted"]


class Targets(NamedTuple):
    """The rule by which the classes of an image are chosen.

    Attributes:
        kind: "labels" of the data set, or "predicted" by the explanandum.
        threshold: Probability from which a class of a multi-label classifier counts as predicted.
    """

    kind: Kind = "labels"
    threshold: float = 0.5

    def of(self, explanandum: Explanandum, batch: Batch) -> Batch:
        """Return the batch with the classes to explain in the place of its labels.

        Args:
            explanandum: Frozen classifier, on the batch's device.
            batch: Images, with the labels of the data set.

        Returns:
            The same images; where no class is predicted, an image has none, and its mask is empty.
        """
        # a network need not take a batch without images
        if self.kind == "labels" or not batch.id:
            return batch
        with torch.no_grad():
            logits = explanandum(batch.image).float()
        decided = explanandum.decided(logits, self.threshold)
        return batch._replace(labels=decided.to(batch.labels))

    def words(self) -> str:
        """Say in a table's caption which classes are explained; nothing where it is the usual.

        Example:
            >>> Targets("predicted", 0.4).words()
            'explained: the classes predicted with at least 0.4'
        """
        if self.kind == "labels":
            return ""
        return f"explained: the classes predicted with at least {self.threshold:g}"


LABELS = Targets()
