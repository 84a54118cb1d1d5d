"""What is kept and shown during training. The imports here are the registry."""

from explainer.callbacks.gallery import Gallery
from explainer.callbacks.pictures import Pictures
from explainer.callbacks.resume import Resume
from explainer.callbacks.scores import Scores
from explainer.callbacks.smoe import SMOESaliency
from explainer.callbacks.tracking import Tracker

__all__ = ["Gallery", "Pictures", "Resume", "SMOESaliency", "Scores", "Tracker"]
