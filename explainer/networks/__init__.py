"""Plain networks: the explanandum (a frozen classifier) and the masker (the Explainer's network)."""

from explainer.networks.explanandum import Explanandum
from explainer.networks.masker import Masker

__all__ = ["Explanandum", "Masker"]
