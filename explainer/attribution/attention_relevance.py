"""Attention weighted by the gradient of the class, layer after layer: the relevance of H. Chefer and colleagues.

H. Chefer, S. Gur, L. Wolf: Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder
Transformers, ICCV 2021 (section 3, equations 5 and 6, self-attention). Its predecessor (Transformer Interpretability
Beyond Attention Visualization, CVPR 2021) has a layer-wise relevance in the place of the attention, which needs rules
for every layer of a network; this one needs none, and the later paper prefers it.
"""

from functools import partial

import torch
from torch import Tensor

from explainer.attribution.base import Attribution, by_batches
from explainer.errors import check_range
from explainer.networks import Explanandum
from explainer.networks.attention import attention_of, readers, to_places


class AttentionRelevance(Attribution):
    r"""Relevance of each place for a class.

    .. math:: \bar A_l = \mathbb{E}_h \left[(\nabla A_l \odot A_l)^+\right], \qquad R \leftarrow R + \bar A_l R

    Args:
        batch_size: Largest number of images that go through the classifier at once.
    """

    def __init__(self, batch_size: int = 16) -> None:
        check_range("AttentionRelevance: batch_size", batch_size, 1)
        self.batch_size = batch_size

    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """Gather the relevance batch by batch: (B, 1, H, W), at least 0."""
        return by_batches(self.batch_size, partial(self._of_batch, explanandum), image, target)

    def _of_batch(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """Gather the relevance of at most `batch_size` images."""
        with torch.inference_mode(False), torch.enable_grad():
            attention = attention_of(explanandum, image, "attention relevance")
            weights = readers(attention)
            score = attention.logits.gather(1, target.clone()[:, None]).sum()
            gradients = torch.autograd.grad(score, attention.maps)
        maps = [weights_of_layer.detach().float() for weights_of_layer in attention.maps]
        relevance = gathered(maps, [gradient.float() for gradient in gradients])
        # a token's relevance for itself is where the sum begins, and no evidence
        relevance = relevance - torch.eye(relevance.shape[-1], device=relevance.device)
        of_tokens = torch.einsum("bi,bij->bj", weights, relevance)
        return to_places(of_tokens, attention, (image.shape[-2], image.shape[-1]))


def gathered(maps: list[Tensor], gradients: list[Tensor]) -> Tensor:
    """Add up the layers' relevance.

    Args:
        maps: Attention (B, heads, N, N) of each layer, the first one first.
        gradients: Gradients of the score by them.

    Returns:
        (B, N, N): relevance of each token of the input (last axis) for each token of the output; at least 0.

    Example:
        >>> one = torch.ones(1, 1, 2, 2) / 2
        >>> gathered([one], [one])[0].tolist()
        [[1.25, 0.25], [0.25, 1.25]]
    """
    batch, _, tokens, _ = maps[0].shape
    relevance = torch.eye(tokens, device=maps[0].device).expand(batch, -1, -1)
    for attention, gradient in zip(maps, gradients, strict=True):
        weighted = (gradient * attention).relu().mean(1)
        relevance = relevance + weighted @ relevance
    return relevance
