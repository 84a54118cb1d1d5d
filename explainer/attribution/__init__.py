"""(explanandum, image, target) → (B, 1, H, W), a method a file. The imports here are the registry."""

from explainer.attribution.base import Attribution, Reference
from explainer.attribution.centred import CentredBox
from explainer.attribution.constant import Constant
from explainer.attribution.fast_cam import FastCAM
from explainer.attribution.grad_cam import GradCAM
from explainer.attribution.gradient import Gradient, GuidedBackprop, IntegratedGradients
from explainer.attribution.learned import Explainer
from explainer.attribution.random import Random
from explainer.attribution.smoe import SMOE
from explainer.attribution.smooth_grad import SmoothGrad

__all__ = [
    "SMOE", "Attribution", "CentredBox", "Constant", "Explainer", "FastCAM", "GradCAM", "Gradient", "GuidedBackprop",
    "IntegratedGradients", "Random", "Reference", "SmoothGrad",
]  # fmt: skip
