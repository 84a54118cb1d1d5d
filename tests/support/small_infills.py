"""Checkpoints of in-painting networks as train.py writes them, without training."""

import torch

from explainer.data.shapes import CLASSES
from explainer.networks.generative.contextual_attention import ContextualAttention
from explainer.networks.generative.vae import CompletionVAE


def save_inpainter(path, kind="inpainter", image_size=32, classes=CLASSES):
    path.parent.mkdir(parents=True, exist_ok=True)
    network = CompletionVAE(width=4, latent=4) if kind == "vae" else ContextualAttention(width=4)
    spec = {"version": "0", "kind": kind, "image_size": image_size, "classes": list(classes), "multilabel": True,
            "network": network.spec}  # fmt: skip
    torch.save({"explainer": spec, "state_dict": {f"network.{k}": v for k, v in network.state_dict().items()}}, path)
    return str(path)
