"""Read the attention of a Transformer in a forward pass, whatever its library computes it with.

Libraries compute attention by one fused function, by PyTorch's own module, or by a softmax of a product. While
`attention_of` runs a network, the first two are replaced by their definition, so that there is a matrix to read, with
the graph behind it; of the third the softmax is the matrix.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from explainer.errors import InputError
from explainer.networks.explanandum import Explanandum
from explainer.networks.spatial import Layout, known_layouts, side_of

_SOFTMAX = (F.softmax, torch.softmax, Tensor.softmax, torch._C._nn.__dict__.get("softmax"))


class Attention(NamedTuple):
    """What a Transformer attended to.

    Attributes:
        maps: Attention of each layer in the order in which they run, (B, heads, N, N): how much of each token (last
            axis) goes into each token (the axis before); rows sum to 1.
        logits: Logits (B, K), with the graph behind them.
        layout: Layout of the N tokens.
        grid: Rows and columns of the places.
    """

    maps: list[Tensor]
    logits: Tensor
    layout: Layout
    grid: tuple[int, int]


def attention_of(explanandum: Explanandum, image: Tensor, method: str) -> Attention:
    """Run a classifier, and return what it attended to.

    Args:
        explanandum: Frozen classifier whose tokens are places of the image.
        image: Images (B, 3, H, W) in [0, 1]; gradients of the logits by the maps can be asked for.
        method: Name of the method, for errors.

    Raises:
        InputError: The classifier has no tokens, or its attention is not among all of them in every layer.
    """
    recorder = _Recorder(len(image))
    # frozen weights: the input must ask for a gradient
    inputs = image.detach().clone().requires_grad_()
    with recorder:
        logits = explanandum(inputs)
    lengths = {weights.shape[-1] for weights in recorder.maps}
    if len(lengths) != 1:
        raise InputError(
            f"{method} reads attention among the tokens of a Transformer, the same in every layer; this classifier "
            "has no such attention: choose another method"
        )
    layout = _layout(explanandum, len(recorder.maps), method)
    height, width = image.shape[-2:]
    grid = side_of(lengths.pop(), layout, height / width)
    if grid is None:
        raise InputError(f"{method}: the attention of this classifier is not among places; choose another method")
    return Attention(recorder.maps, logits, layout, grid)


def _layout(explanandum: Explanandum, count: int, method: str) -> Layout:
    """Return the layout of a Transformer's tokens."""
    names = blocks_of(explanandum.network, count)[:1] or list(explanandum.taps[-1:])
    layout = known_layouts(explanandum.network, names).get(names[0])
    if layout is None or layout.kind != "tokens":
        raise InputError(f"{method}: this classifier has no tokens whose places can be told; choose another method")
    return layout


def blocks_of(network: nn.Module, count: int) -> list[str]:
    """Find the blocks of a Transformer: a list of as many modules of one kind as there are layers of attention.

    Args:
        network: Transformer.
        count: Number of its layers of attention.

    Returns:
        Dotted names of the blocks in the order in which they run; none where there is no such list.
    """
    for name, module in network.named_modules():
        if not isinstance(module, nn.ModuleList | nn.Sequential) or len(module) != count:
            continue
        kinds = {type(block) for block in module}
        if len(kinds) == 1 and next(module[0].children(), None) is not None:
            return [f"{name}.{child}".removeprefix(".") for child, _ in module.named_children()]
    return []


class _Recorder(TorchFunctionMode):
    """Keeps the attention of the layers that run while it is open.

    Args:
        batch: Number of images.
    """

    def __init__(self, batch: int) -> None:
        super().__init__()
        self.batch = batch
        self.maps: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of PyTorch, or what stands in for it."""
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return self.attend(*args, **kwargs)
        if func is F.multi_head_attention_forward:
            # called from here, it is not watched: what it calls by name is exchanged for as long
            with (
                _exchanged("scaled_dot_product_attention", self.attend),
                _exchanged("softmax", self.watched(F.softmax)),
            ):
                return func(*args, **kwargs)
        output = func(*args, **kwargs)
        if func in _SOFTMAX:
            self.keep(output)
        return output

    def watched(self, softmax: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Return a softmax whose output is kept."""

        def keeping(*args: Any, **kwargs: Any) -> Tensor:
            output = softmax(*args, **kwargs)
            self.keep(output)
            return output

        return keeping

    def keep(self, weights: Any) -> None:
        """Keep what is a square matrix of each head."""
        if not torch.is_tensor(weights) or weights.ndim != 4:
            return
        of_this_batch = len(weights) == self.batch
        square = weights.shape[-1] == weights.shape[-2]
        if of_this_batch and square:
            self.maps.append(weights)

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """Compute scaled dot-product attention by its definition, and keep the matrix."""
        if is_causal or enable_gqa or dropout_p:
            return F.scaled_dot_product_attention(
                query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
            )
        scale = scale or 1 / math.sqrt(query.shape[-1])
        scores = query @ key.transpose(-2, -1) * scale
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -math.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        weights = scores.softmax(-1)
        self.keep(weights)
        return weights @ value


@contextmanager
def _exchanged(name: str, function: Callable[..., Tensor]) -> Iterator[None]:
    """Exchange a function of `torch.nn.functional` while open."""
    before = getattr(F, name)
    setattr(F, name, function)
    try:
        yield
    finally:
        setattr(F, name, before)


def readers(attention: Attention) -> Tensor:
    """Tell which tokens of the last layer the logits are read from.

    A class token, all places, or several tokens: the head decides. In the last layer a token's own row of the attention
    is all that it has of the others, so that the logits have a gradient in the rows of the tokens that are read alone.

    Args:
        attention: What a Transformer attended to.

    Returns:
        Weights (B, N) that sum to 1: equal for the tokens that are read, 0 for the others.
    """
    strength = attention.logits.square().sum()
    (gradient,) = torch.autograd.grad(strength, attention.maps[-1], retain_graph=True)
    of_rows = gradient.abs().sum((1, 3))
    read = (of_rows > 0).float()
    # where the logits do not depend on the last attention at all, every token counts alike
    some_are_read = read.sum(1, keepdim=True) > 0
    read = torch.where(some_are_read, read, torch.ones_like(read))
    return read / read.sum(1, keepdim=True)


def to_places(relevance: Tensor, attention: Attention, size: tuple[int, int]) -> Tensor:
    """Turn a relevance of each token into a map of the image.

    Args:
        relevance: Relevance of each token, (B, N).
        attention: What a Transformer attended to.
        size: Height and width of the images.

    Returns:
        Map (B, 1, H, W), enlarged bilinearly; tokens that are no places are left out.
    """
    places = relevance[:, attention.layout.prefix :]
    if attention.layout.order is not None:
        index = torch.tensor(attention.layout.order, device=places.device)
        places = torch.empty_like(places).index_copy(1, index, places)
    coarse = places.reshape(len(places), 1, *attention.grid)
    return F.interpolate(coarse.float(), size, mode="bilinear", align_corners=False)
