"""What the classifier says of many images, as columns."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from explainer.evaluation.storage.columnar import Rows
from explainer.evaluation.storage.rows import PlainRow, Prediction


class Answers(NamedTuple):
    """Predictions of one classifier.

    Attributes:
        labels: Indices of the classes that each image has.
        predicted: Most probable class of each image; nothing of a multi-label classifier.
        probability: Probability of each image's label, None without one; nothing of a multi-label classifier.
        probabilities: Probabilities (n, K) float64 of all classes, of a multi-label classifier.
    """

    labels: list[list[int]]
    predicted: list[int] = []
    probability: list[float | None] = []
    probabilities: Tensor | None = None

    @staticmethod
    def over(predictions: "Sequence[Prediction] | Answers") -> "Answers":
        """Hold predictions as columns, where they are not held so already.

        Example:
            >>> Answers.over([{"labels": [1], "predicted": 0, "probability": 0.25}]).probability
            [0.25]
        """
        if isinstance(predictions, Answers):
            return predictions
        return answers_of([{"kept": prediction} for prediction in predictions], "kept")

    @property
    def any_label(self) -> bool:
        """Say whether an image has a label."""
        return any(self.labels)

    def multi_hot(self, classes: int) -> Tensor:
        """Return the labels (n, K) as truth values."""
        lengths = [len(labels) for labels in self.labels]
        owners = np.repeat(np.arange(len(lengths)), lengths)
        indices = np.array([label for labels in self.labels for label in labels], dtype=np.int64)
        hot = torch.zeros(len(lengths), classes, dtype=torch.bool)
        hot[torch.from_numpy(owners), torch.from_numpy(indices)] = True
        return hot


def answers_of(rows: Sequence[PlainRow], part: str) -> Answers:
    """Collect what the classifier says of the images of some rows; rows without an answer are left out.

    Args:
        rows: Rows of a `Store`.
        part: Key of the answers, "kept" or "removed".

    Example:
        >>> answers_of([{"kept": {"labels": [0], "probabilities": [0.5, 0.25]}}], "kept").multi_hot(2)
        tensor([[ True, False]])
    """
    held = Rows.over(rows)
    held = held.take(np.flatnonzero(held.has(part, "labels")))
    labels = held.values(part, "labels")
    if held.has(part, "probabilities").any():
        return Answers(labels, probabilities=torch.from_numpy(held.table(part, "probabilities")))
    return Answers(labels, held.values(part, "predicted"), held.values(part, "probability"))
