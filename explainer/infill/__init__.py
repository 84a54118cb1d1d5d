"""(image, mask) → image: what stands where the mask is 0. The imports here are the registry."""

from explainer.infill.base import ForeignInfill, Infill
from explainer.infill.blur import Blur, gaussian_blur
from explainer.infill.constant import Constant
from explainer.infill.diffusion import DiffusionInfill
from explainer.infill.learned import CAInfill, LearnedInfill, VAEInfill
from explainer.infill.linear import NoisyLinear, linear_imputation
from explainer.infill.local import Local
from explainer.infill.noise import BlurOrColour, Noise, RandomColour
from explainer.infill.script import ScriptInfill

__all__ = [
    "Blur",
    "BlurOrColour",
    "CAInfill",
    "Constant",
    "DiffusionInfill",
    "ForeignInfill",
    "Infill",
    "LearnedInfill",
    "Local",
    "Noise",
    "NoisyLinear",
    "RandomColour",
    "ScriptInfill",
    "VAEInfill",
    "gaussian_blur",
    "linear_imputation",
]
