"""LightningModules: what is trained. The imports here are the registry."""

from explainer.modules.amortized import AmortizedExplainer
from explainer.modules.base import NonFiniteLossError, SaliencyModule
from explainer.modules.classifier import Classifier
from explainer.modules.completion import Completion
from explainer.modules.generation import Generation
from explainer.modules.inpainting import Inpainting
from explainer.modules.layer_masked import LayerMasked
from explainer.objectives import ExplainerObjective, RTISObjective

__all__ = [
    "AmortizedExplainer", "Classifier", "Completion", "ExplainerObjective", "Generation", "Inpainting", "LayerMasked",
    "NonFiniteLossError", "RTISObjective", "SaliencyModule",
]  # fmt: skip
