"""(explanandum, image, target) → (B, 1, H, W), a method a file. The imports here are the registry."""

from explainer.attribution.ablation_cam import AblationCAM
from explainer.attribution.amortized import Explainer
from explainer.attribution.attention_relevance import AttentionRelevance
from explainer.attribution.attention_rollout import AttentionRollout
from explainer.attribution.base import Attribution, Reference
from explainer.attribution.baselines import CentredBox, CentredGaussian, Constant, Random
from explainer.attribution.bbmp import BBMP
from explainer.attribution.empirical import EmpiricalMask
from explainer.attribution.extremal import ExtremalPerturbation
from explainer.attribution.fast_cam import FastCAM
from explainer.attribution.fido import FIDO
from explainer.attribution.grad_cam import GradCAM
from explainer.attribution.grad_cam_plus_plus import GradCAMPlusPlus
from explainer.attribution.gradient import Deconvnet, Gradient, GuidedBackprop, InputXGradient, IntegratedGradients
from explainer.attribution.igos import IGOS
from explainer.attribution.interop import Captum, explain_func
from explainer.attribution.le_grad import LeGrad
from explainer.attribution.lime import LIME
from explainer.attribution.masked_score import Explained
from explainer.attribution.occlusion import Occlusion
from explainer.attribution.rise import RISE
from explainer.attribution.score_cam import ScoreCAM
from explainer.attribution.smoe import SMOE
from explainer.attribution.smooth_grad import SmoothGrad

__all__ = [
    "BBMP",
    "FIDO",
    "IGOS",
    "LIME",
    "RISE",
    "SMOE",
    "AblationCAM",
    "AttentionRelevance",
    "AttentionRollout",
    "Attribution",
    "Captum",
    "CentredBox",
    "CentredGaussian",
    "Constant",
    "Deconvnet",
    "EmpiricalMask",
    "Explained",
    "Explainer",
    "ExtremalPerturbation",
    "FastCAM",
    "GradCAM",
    "GradCAMPlusPlus",
    "Gradient",
    "GuidedBackprop",
    "InputXGradient",
    "IntegratedGradients",
    "LeGrad",
    "Occlusion",
    "Random",
    "Reference",
    "ScoreCAM",
    "SmoothGrad",
    "explain_func",
]
