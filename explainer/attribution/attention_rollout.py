"""Attention rollout: how much of each place reaches what the head reads, if attention were all that mixes tokens.

S. Abnar, W. Zuidema: Quantifying Attention Flow in Transformers, ACL 2020 (section 3).
"""

from functools import partial
from typing import Literal

import torch
from torch import Tensor

from explainer.attribution.base import Attribution, by_batches
from explainer.errors import check_range
from explainer.networks import Explanandum
from explainer.networks.attention import attention_of, readers, to_places

Fusion = Literal["mean", "max", "min"]


class AttentionRollout(Attribution):
    r"""Product over the layers of attention and the way past it; no class is asked for.

    .. math:: \tilde A_l = \tfrac12 A_l + \tfrac12 I, \qquad R = \tilde A_L \cdots \tilde A_1

    Args:
        heads: Way in which the heads of a layer become one: their "mean", as in the paper, "max" or "min".
        batch_size: Largest number of images that go through the classifier at once.
    """

    needs_target = False

    def __init__(self, heads: Fusion = "mean", batch_size: int = 16) -> None:
        check_range("AttentionRollout: batch_size", batch_size, 1)
        self.heads = heads
        self.batch_size = batch_size

    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """Roll the attention out batch by batch: (B, 1, H, W), at least 0."""
        return by_batches(self.batch_size, partial(self._of_batch, explanandum), image)

    def _of_batch(self, explanandum: Explanandum, image: Tensor) -> Tensor:
        """Roll out the attention of at most `batch_size` images."""
        with torch.inference_mode(False), torch.enable_grad():
            attention = attention_of(explanandum, image, "attention rollout")
            weights = readers(attention)
        rolled = rollout([fused(maps.detach().float(), self.heads) for maps in attention.maps])
        relevance = torch.einsum("bi,bij->bj", weights, rolled)
        return to_places(relevance, attention, (image.shape[-2], image.shape[-1]))


def fused(maps: Tensor, heads: Fusion) -> Tensor:
    """Make one attention of those of the heads: (B, heads, N, N) → (B, N, N)."""
    if heads == "mean":
        return maps.mean(1)
    return maps.amax(1) if heads == "max" else maps.amin(1)


def rollout(maps: list[Tensor]) -> Tensor:
    """Multiply the layers' attention, each with the residual connection beside it and its rows scaled to 1.

    Args:
        maps: Attention (B, N, N) of each layer, the first one first.

    Returns:
        (B, N, N): how much of each token of the input (last axis) is in each token of the output.

    Example:
        >>> rollout([torch.eye(3)[None], torch.ones(1, 3, 3) / 3])[0, 0].tolist()
        [0.6666666865348816, 0.1666666716337204, 0.1666666716337204]
    """
    identity = torch.eye(maps[0].shape[-1], device=maps[0].device)
    product = identity.expand_as(maps[0])
    for attention in maps:
        mixed = attention / 2 + identity / 2
        mixed = mixed / mixed.sum(-1, keepdim=True)
        product = mixed @ product
    return product
