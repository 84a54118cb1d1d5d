"""LightningModules: what is trained. The imports here are the registry."""

from explainer.training.modules.amortized import AmortizedExplainer
from explainer.training.modules.base import NonFiniteLossError, SaliencyModule
from explainer.training.modules.classifier import Classifier
from explainer.training.modules.completion_vae import Completion
from explainer.training.modules.gan import Generation
from explainer.training.modules.inpainting import Inpainting
from explainer.training.objectives import ExplainerObjective, RTISObjective

__all__ = [
    "AmortizedExplainer",
    "Classifier",
    "Completion",
    "ExplainerObjective",
    "Generation",
    "Inpainting",
    "NonFiniteLossError",
    "RTISObjective",
    "SaliencyModule",
]
