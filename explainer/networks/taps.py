"""Where a classifier's spatial scales end: the layers that activation statistics and Grad-CAM read.

T. N. Mundhenk, B. Y. Chen, G. Friedland: Efficient Saliency Maps for Explainable AI, 2020 (section 2.3).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from explainer.errors import InputError
from explainer.networks.modes import evaluation_mode

_PASSIVE = (nn.modules.pooling._AdaptiveAvgPoolNd, nn.modules.pooling._AvgPoolNd, nn.modules.pooling._MaxPoolNd,
            nn.modules.pooling._AdaptiveMaxPoolNd, nn.Dropout, nn.Dropout2d, nn.Identity, nn.Flatten)  # fmt: skip
_LINEAR = (nn.Conv2d, nn.modules.batchnorm._BatchNorm, nn.LayerNorm)


def find_taps(network: nn.Module, size: int = 224) -> tuple[str, ...]:
    """The last activation, or the last block, of each spatial scale, from fine to coarse.

    Layers inside plain containers are looked at in the order in which they run. Of those with one output size the last
    one is taken that is neither pooling nor a bare convolution or normalisation, if there is such a one. A module that
    runs several times (a shared ReLU) is passed over: its hook could not tell the scales apart.

    Args:
        network: A convolutional classifier; left as it was found.
        size: Side of the image that is tried.

    Returns:
        Dotted names of modules.

    Raises:
        InputError: The network has fewer than two spatial scales: name the layers in `taps`.

    Example:
        >>> from torchvision.models import resnet18
        >>> find_taps(resnet18(), 64)
        ('relu', 'layer1.1', 'layer2.1', 'layer3.1', 'layer4.1')
    """
    scales: dict[int, list[tuple[str, nn.Module]]] = {}
    passes = _run(network, size)
    times = Counter(name for name, _, _ in passes)
    for name, module, output in passes:
        spatial = output.ndim == 4 and output.shape[1] > 3 and output.shape[-1] > 1
        if spatial and times[name] == 1 and not isinstance(module, _PASSIVE):
            scales.setdefault(output.shape[-1], []).append((name, module))
    taps = []
    for side in sorted(scales, reverse=True):
        active = [n for n, m in scales[side] if not isinstance(m, _LINEAR)]
        taps.append(active[-1] if active else scales[side][-1][0])
    if len(taps) < 2:
        raise InputError(f"{type(network).__name__} has no spatial scales that can be found: name its layers in `taps`")
    return tuple(taps)


@contextmanager
def read_taps(network: nn.Module, taps: Sequence[str], before_relu: bool = False) -> Iterator[dict[str, Tensor]]:
    """While open, keeps what the layers give in a forward pass; the last one where there are several.

    Args:
        network: Its hooks are removed at the end.
        taps: Dotted names of layers.
        before_relu: Keep what goes into the last ReLU of a tap instead (of a tap without one, what it gives).

    Yields:
        Tap → activation (B, C, h, w), detached, filled by the forward pass.

    Example:
        >>> from torchvision.models import alexnet
        >>> network = alexnet().eval()
        >>> with read_taps(network, ["features.1"]) as seen: _ = network(torch.zeros(1, 3, 64, 64))
        >>> seen["features.1"].shape
        torch.Size([1, 64, 15, 15])
    """
    seen: dict[str, Tensor] = {}

    def after(name: str, module: nn.Module, inputs: tuple, output: Tensor) -> None:
        seen[name] = output.detach()

    def before(name: str, module: nn.Module, inputs: tuple) -> None:
        seen[name] = inputs[0].detach().clone()  # the ReLU may work in place

    handles = []
    for name in taps:
        layer = network.get_submodule(name)
        rectifiers = [m for m in layer.modules() if isinstance(m, nn.ReLU | nn.ReLU6)] if before_relu else []
        if rectifiers:
            handles += [r.register_forward_pre_hook(partial(before, name)) for r in rectifiers]
        else:
            handles.append(layer.register_forward_hook(partial(after, name)))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _run(network: nn.Module, size: int) -> list[tuple[str, nn.Module, Tensor]]:
    """Name, module and output of every unit, in the order of one forward pass on a grey image."""
    seen: list[tuple[str, nn.Module, Tensor]] = []
    handles = [
        module.register_forward_hook(
            lambda m, _, out, n=name: seen.append((n, m, out)) if torch.is_tensor(out) else None
        )
        for name, module in _units(network, "")
    ]
    parameter = next(network.parameters())
    try:
        with torch.no_grad(), evaluation_mode(network):
            network(torch.zeros(1, 3, size, size, device=parameter.device, dtype=parameter.dtype))
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _units(module: nn.Module, prefix: str) -> list[tuple[str, nn.Module]]:
    """Modules below plain containers: what a network's author would call its layers."""
    units = []
    for name, child in module.named_children():
        full = f"{prefix}{name}"
        if type(child) in (nn.Sequential, nn.ModuleList) or _is_chain(child):
            units += _units(child, f"{full}.")
        else:
            units.append((full, child))
    return units


def _is_chain(module: nn.Module) -> bool:
    """A subclass of Sequential, such as DenseNet's transitions, but not a convolution with its norm."""
    children = list(module.children())
    chain = isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward
    return chain and not any(isinstance(c, nn.Conv2d) for c in children[:1])
