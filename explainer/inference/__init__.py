"""A trained Explainer at work: photographs in, explanations out."""

from explainer.inference.explain import Explainer
from explainer.inference.explanation import Explanation
from explainer.inference.model_card import ModelCard, Score

__all__ = ["Explainer", "Explanation", "ModelCard", "Score"]
