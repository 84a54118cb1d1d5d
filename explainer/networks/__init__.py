"""Plain networks: explanandum (a frozen classifier), masker (the Explainer's network), and the generative ones."""

from explainer.networks.contextual_attention import ContextualAttention
from explainer.networks.dcgan import DCGAN
from explainer.networks.explanandum import Explanandum
from explainer.networks.feature_masker import FeatureMasker
from explainer.networks.masker import Masker
from explainer.networks.vae import CompletionVAE

__all__ = ["DCGAN", "CompletionVAE", "ContextualAttention", "Explanandum", "FeatureMasker", "Masker"]
