"""Plain networks: explanandum (a frozen classifier), masker (the Explainer's network), and the generative ones."""

from explainer.networks.dcgan import DCGAN
from explainer.networks.explanandum import Explanandum
from explainer.networks.masker import Masker

__all__ = ["DCGAN", "Explanandum", "Masker"]
