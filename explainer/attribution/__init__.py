"""(explanandum, image, target) → (B, 1, H, W), a method a file. The imports here are the registry."""

from explainer.attribution.base import Attribution, Reference
from explainer.attribution.centred import CentredBox
from explainer.attribution.constant import Constant
from explainer.attribution.fast_cam import FastCAM
from explainer.attribution.grad_cam import GradCAM
from explainer.attribution.learned import Explainer
from explainer.attribution.smoe import SMOE

__all__ = ["SMOE", "Attribution", "CentredBox", "Constant", "Explainer", "FastCAM", "GradCAM", "Reference"]
