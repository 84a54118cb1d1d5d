"""Which layers of a classifier give its class scores.

The layer that is registered last need not be the one: networks have projectors, auxiliary heads and several heads whose
mean they return. timm says which layers they are; of any other network one forward pass tells, by the operations that
the logits came from. A network that returns features has none: headless.py gives it one.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from explainer.errors import InputError
from explainer.networks.modes import evaluation_mode
from explainer.networks.outputs import logits_of
from explainer.networks.spatial import input_channels, sides

Layer = nn.Linear | nn.Conv2d

_SIZES = (64, 224, 32, 96, 128, 256, 299, 384, 28, 48, 160, 192, 320, 512)
"""Sides of the images that are tried first, a cheap one before all: a network may take only one."""
_AUXILIARY = ("AuxLogits.fc", "aux1.fc2", "aux2.fc2")
"""Heads of Inception and GoogLeNet that help their training. Nothing here uses what they say, so they stay as they are;
only where a file has other ones are they made to fit it."""
_RESHAPES = {"ViewBackward0", "UnsafeViewBackward0", "ReshapeAliasBackward0", "AliasBackward0", "SqueezeBackward1"}
"""Graph nodes that change no value."""
_traced: "WeakKeyDictionary[nn.Module, tuple[str, ...]]" = WeakKeyDictionary()


class Trace(NamedTuple):
    """A forward pass with its graph.

    Attributes:
        logits: Logits (1, K), with the graph of the operations that they came from.
        nodes: Graph node of a layer's output → the layer's name.
        identity: Name of the `nn.Identity` whose output is what the network returned; None where none is.
    """

    logits: Tensor
    nodes: dict[Any, str]
    identity: str | None


class Returned(NamedTuple):
    """What a network returned for a black image.

    Attributes:
        output: Value that it returned.
        nodes: Graph node of a layer's output → the layer's name.
        identity: Name of the `nn.Identity` whose output is that value; None where none is.
    """

    output: Any
    nodes: dict[Any, str]
    identity: str | None


def heads(network: nn.Module, size: int | None = None) -> list[tuple[str, Layer]]:
    """Return the layers that give the class scores: one, or several whose scores are combined.

    Args:
        network: Classifier of any kind; left as it was.
        size: Side in pixels of the images that it takes; None where that is not known.

    Returns:
        Dotted names and layers.

    Raises:
        InputError: The layers cannot be told: they must be named in `head`.

    Example:
        >>> from torchvision.models import resnet18
        >>> [name for name, _ in heads(resnet18())]
        ['fc']
    """
    names = _declared(network)
    if names is None:
        if network not in _traced:
            _traced[network] = _trace_heads(network, size)
        names = _traced[network]
    return named(network, names)


def named(network: nn.Module, names: Sequence[str]) -> list[tuple[str, Layer]]:
    """Return the layers that have certain names.

    Args:
        network: Network of any kind.
        names: Dotted names of linear layers or convolutions.

    Returns:
        Names and layers.

    Raises:
        InputError: There is no such layer, or it is neither linear nor a convolution; lists the linear ones.
    """
    modules = dict(network.named_modules())
    for name in names:
        if not _is_layer(modules.get(name)):
            linear = [other for other, module in modules.items() if isinstance(module, nn.Linear)]
            known = ", ".join(linear[-12:]) or "none"
            raise InputError(f"head: {type(network).__name__} has no linear layer {name!r}; it has {known}")
    if not names:
        raise InputError("head: name at least one layer")
    return [(name, modules[name]) for name in names]  # type: ignore[misc]


def width(layer: Layer) -> int:
    """Count the classes that a layer scores."""
    if isinstance(layer, nn.Linear):
        return layer.out_features
    return layer.out_channels


def replace_head(
    network: nn.Module,
    num_classes: int,
    names: Sequence[str] | None = None,
    size: int | None = None,
) -> None:
    """Give the network fresh heads; a head that already has `num_classes` outputs stays.

    Args:
        network: Changed in place.
        num_classes: Number K of classes, at least 1.
        names: Dotted names of the heads; None finds them.
        size: Side in pixels of the images that the network takes; None where that is not known.

    Raises:
        InputError: K is not positive, the heads cannot be told, or the network does not run with other ones.

    Example:
        >>> from torchvision.models import resnet18
        >>> network = resnet18(); replace_head(network, 20); network.fc.out_features
        20
    """
    if num_classes < 1:
        raise InputError(f"num_classes must be at least 1, got {num_classes}")
    before = heads(network, size) if names is None else named(network, names)
    changed = [(name, layer) for name, layer in before if width(layer) != num_classes]
    for name, layer in changed:
        _put(network, name, _fresh(layer, num_classes))
    # heads that were found by a trace, and not named, are tried: a wrong guess would fail only in training
    if changed and network in _traced and names is None:
        trace = _trace(network, size)
        if trace is None or trace.logits.shape[1] != num_classes:
            for name, layer in changed:
                _put(network, name, layer)
            raise InputError(_unclear(network, f"it does not run with {num_classes} classes"))


def fit_heads(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Give the network heads, auxiliary ones too, with as many outputs as a state dict has for them.

    Args:
        network: Changed in place.
        state: State dict, name → tensor; heads that it lacks stay.
    """
    layers: list[tuple[str, Layer]] = []
    with suppress(InputError):  # a network without a head takes a file without one
        layers = heads(network)
    modules = dict(network.named_modules())
    for name in _AUXILIARY:
        auxiliary = modules.get(name)
        if isinstance(auxiliary, nn.Linear):
            layers.append((name, auxiliary))
    for name, layer in layers:
        weight = state.get(f"{name}.weight")
        if weight is not None and weight.ndim and len(weight) not in (0, width(layer)):
            _put(network, name, _fresh(layer, len(weight)))


def _put(network: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, layer)


def _fresh(layer: Layer, num_classes: int) -> Layer:
    bias = layer.bias is not None
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features, num_classes, bias).to(layer.weight)
    shape: dict[str, Any] = {
        "kernel_size": layer.kernel_size,
        "stride": layer.stride,
        "padding": layer.padding,
        "dilation": layer.dilation,
    }
    return nn.Conv2d(layer.in_channels, num_classes, bias=bias, **shape).to(layer.weight)


def _is_layer(module: nn.Module | None) -> bool:
    if isinstance(module, nn.Conv2d):
        return module.groups == 1
    return isinstance(module, nn.Linear)


def _declared(network: nn.Module) -> tuple[str, ...] | None:
    """Return the head that timm or torchvision gives its networks; None for a network of anybody else."""
    # the class's own module tells the library: a network around one of timm's may have a head of its own
    module_name = type(network).__module__
    modules = dict(network.named_modules())
    names: Any = ()
    if module_name.partition(".")[0] == "timm":
        names = (getattr(network, "default_cfg", None) or {}).get("classifier") or ()
    elif module_name.startswith("torchvision.models."):
        main = {name: module for name, module in modules.items() if name not in _AUXILIARY}
        linear = [name for name, module in main.items() if isinstance(module, nn.Linear)]
        convolutions = [name for name, module in main.items() if isinstance(module, nn.Conv2d)]
        names = linear[-1:] or convolutions[-1:]
        # in place of the head may stand an Identity, so that the network returns features
        if any(type(module) is nn.Identity for module in modules.values()):
            names = ()
    if isinstance(names, str):
        names = (names,)
    # a declared layer may be absent, as LeViT's second head is when it is left out
    present = tuple(name for name in names if _is_layer(modules.get(name)))
    return present or None


def _trace_heads(network: nn.Module, size: int | None) -> tuple[str, ...]:
    """Return the names of the layers that a pass's logits came from, with nothing learned in between."""
    candidates = [name for name, module in network.named_modules() if _is_layer(module)]
    linear = [name for name in candidates if isinstance(network.get_submodule(name), nn.Linear)]
    if not candidates:
        raise InputError(f"{type(network).__name__} has no linear layer: cannot tell its class count")
    trace = _trace(network, size)
    if trace is not None and lacks_head(network, trace):
        raise InputError(f"{type(network).__name__} returns features, not class scores: give num_classes, and train it")
    if trace is None:  # the network takes images of a size that is not known here
        if len(linear) == 1:
            return (linear[0],)
        raise InputError(_unclear(network, "it runs with none of the image sizes that are tried"))
    names = _nearest(trace.logits.grad_fn, trace.nodes)
    modules = dict(network.named_modules())
    count = trace.logits.shape[1]
    fitting = [name for name in names if width(modules[name]) == count]  # type: ignore[arg-type]
    fitting_nodes = [node for node, name in trace.nodes.items() if name in fitting]
    chained = any(_beyond(node, trace.nodes, fitting) for node in fitting_nodes)
    if not fitting or chained:
        raise InputError(_unclear(network, "no layer gives its output alone"))
    return tuple(name for name in candidates if name in fitting)


def _unclear(network: nn.Module, why: str) -> str:
    return f"cannot tell which layer of {type(network).__name__} gives the class scores ({why}): name it in `head`"


def lacks_head(network: nn.Module, trace: Trace) -> bool:
    """Tell whether a network returns features: its last layer is an `nn.Identity` with no linear layer right before.

    Args:
        network: Network of any kind.
        trace: Forward pass of the network.
    """
    if trace.identity is None:
        return False
    node = trace.logits.grad_fn
    while node is not None and node not in trace.nodes and node.name() in _RESHAPES:
        node = node.next_functions[0][0]
    name = trace.nodes.get(node)
    return name is None or not _is_layer(network.get_submodule(name))


def count_logits(network: nn.Module, size: int | None = None) -> int | None:
    """Count the logits that a network gives for a black image; None where it runs with no size that is tried.

    Args:
        network: Network of any kind; left as it was.
        size: Side in pixels of the images that it takes; None where that is not known.

    Raises:
        InputError: The network returns no logits.

    Example:
        >>> count_logits(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
        3
    """
    trace = _trace(network, size)
    if trace is None:
        return None
    return trace.logits.shape[1]


def _trace(network: nn.Module, size: int | None) -> Trace | None:
    """Trace a black image of the first size that the network takes; return None where it takes none."""
    for side in dict.fromkeys((size, *_SIZES, *sides(network))):
        if side is None:
            continue
        try:
            returned = run_traced(network, side)
            logits = logits_of(returned.output, type(network).__name__)
            return Trace(logits, returned.nodes, returned.identity)
        except InputError:
            raise
        except Exception:  # what a network says of a size it does not take may be anything
            continue
    return None


def run_traced(network: nn.Module, side: int) -> Returned:
    """Send a black image through a network, and note which layers gave what.

    Args:
        network: Network of any kind; left as it was.
        side: Side of the image in pixels.
    """
    nodes: dict[Any, str] = {}
    identities: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if type(module) is nn.Identity:
            identities[name] = output
        elif torch.is_tensor(output) and output.grad_fn is not None:
            nodes[output.grad_fn] = name

    handles = []
    for name, module in network.named_modules():
        if _is_layer(module) or type(module) is nn.Identity:
            handles.append(module.register_forward_hook(partial(keep, name)))
    shape = (1, input_channels(network), side, side)
    weights = [weight for weight in network.parameters() if weight.is_floating_point()]
    # a network without weights computes in float32
    like = weights[0] if weights else torch.zeros(())
    image = torch.zeros(shape, device=like.device, dtype=like.dtype, requires_grad=True)
    # with a gradient for the image, so that frozen layers stand in the graph too
    try:
        with torch.enable_grad(), evaluation_mode(network), torch.random.fork_rng(devices=[]):
            output = network(image)
    finally:
        for handle in handles:
            handle.remove()
    last = next((name for name, tensor in identities.items() if tensor is output), None)
    return Returned(output, nodes, last)


def _nearest(start: Any, nodes: dict[Any, str]) -> list[str]:
    """Return the layers that are met first on every way back from a node."""
    names: list[str] = []
    seen: set[Any] = set()
    todo = [start]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node in nodes:
            names.append(nodes[node])
        else:
            todo += [before for before, _ in node.next_functions]
    return names


def _beyond(node: Any, nodes: dict[Any, str], names: Sequence[str]) -> bool:
    """Tell whether one of the layers lies before a node: then giving both as many outputs would tear the network."""
    seen: set[Any] = set()
    todo = [before for before, _ in node.next_functions]
    while todo:
        current = todo.pop()
        if current is None or current in seen:
            continue
        seen.add(current)
        if nodes.get(current) in names:
            return True
        todo += [before for before, _ in current.next_functions]
    return False
