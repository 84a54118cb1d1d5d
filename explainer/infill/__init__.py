"""(image, mask) → image: what stands where the mask is 0. The imports here are the registry."""

from explainer.infill.base import Infill
from explainer.infill.blur import Blur, gaussian_blur
from explainer.infill.constant import Constant
from explainer.infill.noise import BlurOrColour

__all__ = ["Blur", "BlurOrColour", "Constant", "Infill", "gaussian_blur"]
