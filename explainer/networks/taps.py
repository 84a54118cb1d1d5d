"""Where a classifier's spatial scales end: the layers that activation statistics and Grad-CAM read.

T. N. Mundhenk, B. Y. Chen, G. Friedland: Efficient Saliency Maps for Explainable AI, 2020 (section 2.3).
"""

from collections import Counter

import torch
from torch import Tensor, nn

from explainer.errors import InputError

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


def _run(network: nn.Module, size: int) -> list[tuple[str, nn.Module, Tensor]]:
    """Name, module and output of every unit, in the order of one forward pass on a grey image."""
    seen: list[tuple[str, nn.Module, Tensor]] = []
    handles = [
        module.register_forward_hook(
            lambda m, _, out, n=name: seen.append((n, m, out)) if torch.is_tensor(out) else None
        )
        for name, module in _units(network, "")
    ]
    training = network.training
    parameter = next(network.parameters())
    try:
        network.eval()
        with torch.no_grad():
            network(torch.zeros(1, 3, size, size, device=parameter.device, dtype=parameter.dtype))
    finally:
        network.train(training)
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
