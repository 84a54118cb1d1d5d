"""Alternate explanations: other pixels in the salient box for which the class stays. The imports are the registry."""

from explainer.experiments.variations.base import Patches, Variation
from explainer.experiments.variations.box import outside, saliency_boxes, shrink
from explainer.experiments.variations.completed import CompletedVariations
from explainer.experiments.variations.latent_search import LatentSearch
from explainer.experiments.variations.oracle import MirroredContent, Oracle, TrueContent

__all__ = [
    "CompletedVariations",
    "LatentSearch",
    "MirroredContent",
    "Oracle",
    "Patches",
    "TrueContent",
    "Variation",
    "outside",
    "saliency_boxes",
    "shrink",
]
