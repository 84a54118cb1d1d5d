"""A frozen network with its BatchNorm layers folded into the convolutions before them: the same values, less work."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from explainer.networks.explanandum import Explanandum

_CLOSE = 1e-3
"""Relative difference of outputs up to which two networks are the same one."""


def folded(network: nn.Module, example: Tensor) -> nn.Module:
    """Return a copy in which every BatchNorm that only normalises a convolution's output is part of the convolution.

    What follows the normalisation inside its own module, as the activation of timm's BatchNorm layers does, stays.

    Args:
        network: Frozen network in evaluation mode; left as it is.
        example: Input of the network, on which the order of its layers is seen.

    Returns:
        The copy; the network itself where nothing can be folded, or where the copy would not compute the same.
    """
    # in train mode a BatchNorm takes the statistics of each batch, which no convolution can
    if any(module.training and isinstance(module, _BatchNorm) for module in network.modules()):
        return network
    pairs = _pairs(network, example)
    if not pairs:
        return network
    copied = copy.deepcopy(network)
    for convolution_name, norm_name in pairs:
        convolution: Any = copied.get_submodule(convolution_name)
        norm: Any = copied.get_submodule(norm_name)
        weight, bias = fuse_conv_bn_weights(
            convolution.weight,
            convolution.bias,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
        )
        layout = torch.contiguous_format
        if weight.ndim == 4:  # as the classifier's own weights lie, see layout.py
            layout = torch.channels_last
        convolution.weight = nn.Parameter(weight.detach().contiguous(memory_format=layout), requires_grad=False)
        convolution.bias = nn.Parameter(bias.detach(), requires_grad=False)
        parent, _, name = norm_name.rpartition(".")
        setattr(copied.get_submodule(parent), name, _rest(norm))
    # a network may do more with a layer than its modules tell: only the outputs decide
    if not _same(network, copied, example):
        return network
    return copied


def faster(explanandum: Explanandum, image: Tensor) -> Explanandum:
    """Return the same frozen classifier around a folded copy of its network.

    Args:
        explanandum: Classifier in evaluation mode; left as it is, and shared but for its network.
        image: Images (B, 3, H, W) in [0, 1], the first of which is tried.

    Returns:
        Another Explanandum, or the same one where nothing can be folded.
    """
    with torch.inference_mode(False), torch.no_grad():
        network = folded(explanandum.network, explanandum.normalised(image[:1].clone()))
    if network is explanandum.network:
        return explanandum
    other = copy.copy(explanandum)
    other._modules = {**explanandum._modules, "network": network}
    return other


def _rest(norm: Any) -> nn.Module:
    """Return what a normalisation's module does besides normalising."""
    parts = [getattr(norm, name, None) for name in ("drop", "act")]
    rest = [part for part in parts if isinstance(part, nn.Module) and not isinstance(part, nn.Identity)]
    if not rest:
        return nn.Identity()
    if len(rest) == 1:
        return rest[0]
    return nn.Sequential(*rest)


@torch.no_grad()
def _pairs(network: nn.Module, example: Tensor) -> list[tuple[str, str]]:
    """Return the names of each convolution and the normalisation behind it, where both run once."""
    outputs: dict[int, str] = {}
    alive: list[Tensor] = []  # as long as it lives, no other tensor has its id
    runs: dict[str, int] = {}
    pairs: list[tuple[str, str]] = []
    handles = []
    for name, module in network.named_modules():
        if not isinstance(module, nn.Conv2d | _BatchNorm):
            continue

        def note(layer: nn.Module, given: Any, output: Any, name: str = name) -> None:
            runs[name] = runs.get(name, 0) + 1
            if isinstance(layer, nn.Conv2d):
                outputs[id(output)] = name
                alive.append(output)
            elif id(given[0]) in outputs and getattr(layer, "running_mean", None) is not None:
                pairs.append((outputs.pop(id(given[0])), name))

        handles.append(module.register_forward_hook(note))
    try:
        network(example)
    finally:
        for handle in handles:
            handle.remove()
    # a layer that runs twice is shared, and its other run may have another normalisation behind it
    return [(a, b) for a, b in pairs if runs[a] == 1 and runs[b] == 1]


@torch.no_grad()
def _same(network: nn.Module, other: nn.Module, example: Tensor) -> bool:
    """Tell whether two networks give the same output but for rounding."""
    expected = network(example)
    actual = other(example)
    if not torch.is_tensor(expected) or not torch.is_tensor(actual):
        return False
    scale = expected.abs().amax().clamp_min(1e-6)
    difference = (expected - actual).abs().amax()
    return bool(difference <= _CLOSE * scale)
