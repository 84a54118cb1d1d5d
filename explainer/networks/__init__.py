"""Plain networks: explanandum (a frozen classifier), masker (the Explainer's network), and the generative ones."""

from explainer.networks.explanandum import Explanandum
from explainer.networks.feature_masker import FeatureMasker
from explainer.networks.generative.contextual_attention import ContextualAttention
from explainer.networks.generative.dcgan import DCGAN
from explainer.networks.generative.vae import CompletionVAE
from explainer.networks.mask_network import MaskNetwork
from explainer.networks.masker import Masker

__all__ = ["DCGAN", "CompletionVAE", "ContextualAttention", "Explanandum", "FeatureMasker", "MaskNetwork", "Masker"]
