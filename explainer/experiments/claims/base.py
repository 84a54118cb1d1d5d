"""What a claim is: a sentence of a paper, results that can tell whether it holds, and a number with its interval."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from explainer.errors import InputError

Verdict = Literal["holds", "does not hold", "not told"]
"""Whether the effect's interval lies above 0, below it, or on both sides."""


@dataclass(frozen=True)
class Effect:
    """How far, and how surely, results speak for a claim.

    Attributes:
        value: Effect, turned so that above 0 speaks for the claim.
        low: Lower end of its 95 % interval.
        high: Upper end.
        n: Number of what was drawn: images, or seeds of a training.
        unit: Name of what was drawn, such as "images".
        measure: What the number is, in some words.
        reason: Why there is no number; "" where there is one.
    """

    value: float
    low: float
    high: float
    n: int
    unit: str
    measure: str
    reason: str = ""

    @property
    def verdict(self) -> Verdict:
        """What the interval says; one that touches 0, or is of a single draw, tells nothing."""
        # the interval of a single draw has no width, and would always tell something
        if self.n < 2:
            return "not told"
        if self.low > 0:
            return "holds"
        return "does not hold" if self.high < 0 else "not told"


class Claim(ABC):
    """A sentence that results can speak for or against.

    Args:
        claim: The sentence.
        paper: Authors, venue and year of where it stands.
        data: Name of the data and of the classifier, for the table.
        results: Folder of finished results, below the folder that the experiment names.

    Raises:
        InputError: The sentence is empty, or the folder lies elsewhere.
    """

    def __init__(self, claim: str, paper: str, data: str, results: str) -> None:
        if not claim.strip():
            raise InputError("a claim needs its sentence: claim")
        if Path(results).is_absolute() or ".." in Path(results).parts:
            raise InputError(f"claim '{claim}': results must lie below the folder of the claims, got {results}")
        self.claim = claim
        self.paper = paper
        self.data = data
        self.results = results

    @abstractmethod
    def effect(self, root: Path) -> Effect:
        """Measure the effect.

        Args:
            root: Folder below which the results lie.

        Raises:
            InputError: The results lack what the claim is about; names the folder and what is missing.
        """


def no_effect(reason: str, unit: str = "images") -> Effect:
    """Return an effect without a number.

    Args:
        reason: Why there is none.
        unit: Name of what would have been drawn.
    """
    return Effect(math.nan, math.nan, math.nan, 0, unit, "", reason)
