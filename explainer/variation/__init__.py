"""Alternate explanations: other pixels in the salient box for which the class stays. The imports are the registry."""

from explainer.variation.base import Patches, Variation
from explainer.variation.box import outside, saliency_boxes, shrink
from explainer.variation.completed import CompletedVariations
from explainer.variation.oracle import MirroredContent, Oracle, TrueContent
from explainer.variation.semantic import LatentSearch

__all__ = [
    "CompletedVariations", "LatentSearch", "MirroredContent", "Oracle", "Patches", "TrueContent", "Variation",
    "outside", "saliency_boxes", "shrink",
]  # fmt: skip
