"""What is kept and shown during training. The imports here are the registry."""

from explainer.tracking import Tracker
from explainer.training.callbacks.mask_gallery import Gallery
from explainer.training.callbacks.mask_scores import Scores
from explainer.training.callbacks.resume import Resume
from explainer.training.callbacks.samples import Pictures
from explainer.training.callbacks.smoe_saliency import SMOESaliency

__all__ = ["Gallery", "Pictures", "Resume", "SMOESaliency", "Scores", "Tracker"]
