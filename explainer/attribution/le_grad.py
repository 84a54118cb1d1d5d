"""LeGrad: how the class score of every layer of a Vision Transformer would rise with the layer's attention.

W. Bousselham, A. Boggust, S. Chaybouti, H. Strobelt, H. Kuehne: LeGrad: An Explainability Method for Vision
Transformers via Feature Formation Sensitivity, ICCV 2025 (section 3). The score of a layer is what the classifier's own
head makes of the layer's tokens. Departures: the later blocks are passed over to have it, which needs no knowledge of
the library; and maps are not scaled to [0, 1], so that they can be compared.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from explainer.attribution.base import Attribution, by_batches
from explainer.errors import InputError, check_range
from explainer.networks import Explanandum
from explainer.networks.attention import Attention, attention_of, blocks_of, to_places
from explainer.networks.spatial import replaced, tensor_of


class LeGrad(Attribution):
    r"""Mean over the layers of the positive gradients of each layer's score by its attention, over heads and queries.

    .. math:: E_l = \frac{1}{h N} \sum_h \sum_i \left(\frac{\partial s_l}{\partial A_{l, h, i, \cdot}}\right)^+

    Args:
        layers: Number of layers that are read, the last ones; None takes all.
        batch_size: Largest number of images that go through the classifier at once.
    """

    def __init__(self, layers: int | None = None, batch_size: int = 16) -> None:
        if layers is not None:
            check_range("LeGrad: layers", layers, 1)
        check_range("LeGrad: batch_size", batch_size, 1)
        self.layers = layers
        self.batch_size = batch_size

    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """Average the layers batch by batch: (B, 1, H, W), at least 0."""
        return by_batches(self.batch_size, partial(self._of_batch, explanandum), image, target)

    def _of_batch(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """Average the layers of at most `batch_size` images."""
        target = target.clone()
        with torch.inference_mode(False), torch.enable_grad():
            whole = attention_of(explanandum, image, "LeGrad")
            names = blocks_of(explanandum.network, len(whole.maps))
            if not names:
                raise InputError("LeGrad: cannot tell the blocks of this Transformer; choose AttentionRelevance")
            blocks = [explanandum.network.get_submodule(name) for name in names]
            sensitivity = [_sensitivity(whole, len(blocks) - 1, target)]
            first = 0 if self.layers is None else max(0, len(blocks) - self.layers)
            for number in range(first, len(blocks) - 1):
                with passed_over(blocks[number + 1 :]):
                    attention = attention_of(explanandum, image, "LeGrad")
                sensitivity.append(_sensitivity(attention, number, target))
        of_tokens = torch.stack(sensitivity).mean(0)
        return to_places(of_tokens, whole, (image.shape[-2], image.shape[-1]))


def _sensitivity(attention: Attention, number: int, target: Tensor) -> Tensor:
    """Return the mean positive gradient of the class score by a layer's attention, for each token looked at: (B, N)."""
    score = attention.logits.gather(1, target[:, None]).sum()
    (gradient,) = torch.autograd.grad(score, attention.maps[number])
    return gradient.float().relu().mean((1, 2))


@contextmanager
def passed_over(blocks: Sequence[nn.Module]) -> Iterator[None]:
    """Let blocks return what they are given while open.

    Args:
        blocks: Blocks whose first argument and first output are the tokens.
    """

    def give_back(block: nn.Module, inputs: tuple, output: Any) -> Any:
        tokens = tensor_of(inputs)
        if tokens is None:
            raise InputError("LeGrad: a block of this Transformer is given no tokens; choose AttentionRelevance")
        return replaced(output, tokens)

    with ExitStack() as stack:
        for block in blocks:
            stack.callback(block.register_forward_hook(give_back).remove)
        yield
