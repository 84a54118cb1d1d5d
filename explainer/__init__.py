"""Saliency for image classifiers: the amortized Explainer, the methods it is compared with, and what judges them."""

from explainer.version import __version__

__all__ = ["__version__"]
