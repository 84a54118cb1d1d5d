"""A classifier whose classes are texts: the image half of a network of images and texts, and embeddings of the texts.

A. Radford et al.: Learning Transferable Visual Models From Natural Language Supervision, ICML 2021 (CLIP). X. Zhai et
al.: Sigmoid Loss for Language Image Pre-Training, ICCV 2023 (SigLIP).
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explainer.errors import InputError
from explainer.networks.outputs import features_of


class ImageTextClassifier(nn.Module):
    r"""Logits of images over texts.

    .. math:: z_k = e^s \, \frac{v^\top t_k}{\lVert v \rVert} + b

    with the image's embedding v, the texts' normalised embeddings t, the network's scale s, and its bias b, which CLIP
    does not have.

    Args:
        model: Network of transformers with `get_image_features` and `logit_scale`. Its image half is taken, around the
            same weights.
        texts: Embeddings of the texts, (K, D), of length 1.
    """

    def __init__(self, model: Any, texts: Tensor) -> None:
        super().__init__()
        self.config = model.config
        self.model: Any = image_half(model)
        # a linear layer, so that it is found where a head is looked for
        self.texts = nn.Linear(texts.shape[1], len(texts), bias=False)
        self.texts.weight = nn.Parameter(texts.detach().clone(), requires_grad=False)

    def forward(self, image: Tensor) -> Tensor:
        """Turn normalised images (B, 3, H, W) into logits (B, K)."""
        embedding = unit_length(self.model.get_image_features(pixel_values=image))
        logits = self.texts(embedding) * self.model.logit_scale.exp()
        bias = getattr(self.model, "logit_bias", None)
        if bias is None:
            return logits
        return logits + bias


def image_half(model: nn.Module) -> nn.Module:
    """Return a network of images and texts without its layers for texts; the network itself stays whole.

    Args:
        model: Network of transformers, such as a CLIPModel.
    """
    half = copy.copy(model)
    half._parameters = dict(model._parameters)
    half._buffers = dict(model._buffers)
    half._modules = {name: module for name, module in model._modules.items() if not name.startswith("text")}
    return half


def unit_length(output: Any) -> Tensor:
    """Return embeddings (B, D) of length 1.

    Args:
        output: Value that `get_image_features` or `get_text_features` returned.

    Raises:
        InputError: It holds no embeddings.

    Example:
        >>> unit_length(torch.tensor([[3.0, 4.0]])).tolist()
        [[0.6000000238418579, 0.800000011920929]]
    """
    embedding = features_of(output)
    if embedding is None:
        raise InputError(f"a {type(output).__name__} holds no embeddings (B, D)")
    return F.normalize(embedding, dim=1)


def has_texts(model: nn.Module) -> bool:
    """Tell whether a network embeds images and texts, so that texts can be its classes.

    Example:
        >>> has_texts(nn.Linear(1, 1))
        False
    """
    return all(hasattr(model, name) for name in ("get_image_features", "get_text_features", "logit_scale"))


def untrained(model: nn.Module, size: list[int]) -> ImageTextClassifier:
    """Build the classifier of a checkpoint, which has the embeddings of its texts among its weights.

    Args:
        model: Network of transformers, with fresh weights.
        size: Number K of texts, and length D of their embeddings.

    Raises:
        InputError: The network embeds no images and texts.
    """
    if not has_texts(model):
        raise InputError(f"{type(model).__name__} embeds no images and texts")
    return ImageTextClassifier(model, torch.zeros(size))
