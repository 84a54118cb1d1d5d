"""A trained Explainer at work: photographs in, explanations out."""

from explainer.inference.explain import Explainer
from explainer.inference.explanation import Explanation

__all__ = ["Explainer", "Explanation"]
