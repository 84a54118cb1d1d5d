"""Where a classifier's spatial scales end: the layers that activation statistics and Grad-CAM read.

T. N. Mundhenk, B. Y. Chen, G. Friedland: Efficient Saliency Maps for Explainable AI, 2020 (section 2.3).
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from enum import IntEnum
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from explainer.errors import InputError
from explainer.networks.modes import evaluation_mode
from explainer.networks.spatial import (
    Layout,
    grid_of,
    input_channels,
    known_layouts,
    layout_at_sight,
    layouts_of_shapes,
    sides,
    tensor_of,
    to_maps,
)

_PASSIVE = (
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.Dropout,
    nn.Dropout2d,
    nn.Identity,
    nn.Flatten,
)
_LINEAR = (nn.Conv2d, nn.Linear, nn.modules.batchnorm._BatchNorm, nn.LayerNorm)
_INACTIVE = (nn.Identity, nn.Dropout, nn.Dropout2d)
_RECTIFIERS = (F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)
_JOINS = (torch.cat, torch.concat, torch.concatenate)


def find_taps(network: nn.Module, size: int | None = None) -> tuple[str, ...]:
    """Find the last activation, or the last block, of each spatial scale, from fine to coarse.

    Layers inside plain containers are looked at in the order in which they run. Among those with one output size, the
    last one is taken that is neither pooling nor a bare convolution or normalisation, if there is any. A convolution or
    a normalisation is not bare if it rectifies by itself, as timm's does, or if the network hands its output straight
    to a ReLU, as torchvision's DenseNet does behind its last layer. But a convolution with its normalisation behind a
    scale's blocks is the head of a classifier, as in EfficientNet; there the blocks end the scale. A module that runs
    several times (a shared ReLU) is passed over: its hook could not tell the scales apart.

    A network of one scale only, such as a Vision Transformer, is cut into four parts of equal depth, and the last block
    of each is taken. Where a class token stands before the places, the last block of all is left out: what it says of
    the places is not read by the head. If one block is left, the layer that embeds the places stands beside it.

    Args:
        network: Classifier with feature maps, or with tokens in the order of the image; left as it was.
        size: Side in pixels of the image that is sent through it; None tries what the network says, and usual sides.

    Returns:
        Dotted names of modules.

    Raises:
        InputError: The network has no layers whose places can be told: name the layers in `taps`.

    Example:
        >>> from torchvision.models import resnet18
        >>> find_taps(resnet18(), 64)
        ('relu', 'layer1.1', 'layer2.1', 'layer3.1', 'layer4.1')
    """
    # networks of libraries that wrap everything, such as Hugging Face's, show their blocks at a later look only;
    # what embeds the places is taken only where no look shows enough blocks
    for embedding, depth in product((False, True), Depth):
        taps = _scale_ends(network, size, depth, embedding)
        if len(taps) >= 2:
            # a layer whose places cannot be told is passed over: its map would be no map
            certain = known_layouts(network, taps, size)
            taps = [tap for tap in taps if tap in certain]
        if len(taps) >= 2:
            return tuple(taps)
    raise InputError(f"{type(network).__name__} has no spatial scales that can be found: name its layers in `taps`")


class Depth(IntEnum):
    """How far a look for layers goes into modules that are no plain containers."""

    OUTERMOST = 0
    """Not at all."""
    BLOCKS = 1
    """Into modules with a list of blocks, which have parts that have parts: a residual block stays whole."""
    LAYERS = 2
    """Into modules with a list of anything of one kind."""


class _Layer(NamedTuple):
    """A layer that ran once and gave something with places.

    Attributes:
        name: Dotted name.
        number: Number of layers that ran before.
        active: Whether it is more than a convolution or a normalisation.
        prefix: Number of tokens that are no places.
    """

    name: str
    number: int
    active: bool
    prefix: int


def _scale_ends(network: nn.Module, size: int | None, depth: Depth, embedding: bool) -> list[str]:
    """Return the last layer of each scale, or of each quarter of the only one; fewer than two where none are found.

    Args:
        network: Network that is looked at.
        size: Side in pixels of the image; None tries usual ones.
        depth: How far to look into modules.
        embedding: Whether the layer that embeds the places is added to the only block before the last one.
    """
    passes, rectified = _run(network, size, depth)
    times = Counter(name for name, _, _ in passes)
    shapes = [output.shape for _, _, output in passes]
    layouts = layouts_of_shapes(shapes)
    scales: dict[int, list[_Layer]] = {}  # side of the output → layers
    with_blocks: set[int] = set()
    previous: nn.Module | None = None
    for number, ((name, module, output), layout) in enumerate(zip(passes, layouts, strict=True)):
        before = previous
        previous = module
        if layout is None or times[name] > 1 or isinstance(module, _PASSIVE):
            continue
        side = grid_of(output.shape, layout)
        if side < 2:
            continue
        linear = isinstance(module, _LINEAR)
        head = linear and side in with_blocks and isinstance(before, nn.Conv2d)
        rectifies = name in rectified or not _is_linear(module)
        layer = _Layer(name, number, active=rectifies and not head, prefix=layout.prefix)
        scales.setdefault(side, []).append(layer)
        has_parts = next(module.children(), None) is not None
        if has_parts and not linear:
            with_blocks.add(side)
    ends = []
    embeddings: list[_Layer] = []
    for side in sorted(scales, reverse=True):
        # what stands before the class token joins embeds, and where it joins late, what stands behind attends to it
        prefixes = Counter(layer.prefix for layer in scales[side])
        ((usual, _),) = prefixes.most_common(1)
        embeddings += [layer for layer in scales[side] if layer.prefix != usual]
        scales[side] = [layer for layer in scales[side] if layer.prefix == usual]
        active_layers = [layer for layer in scales[side] if layer.active]
        ends.append((active_layers or scales[side])[-1])
    chain = _deepening(ends)
    if len(chain) != 1:
        return [layer.name for layer in chain]
    (only,) = (layers for layers in scales.values() if chain[0] in layers)
    names = [layer.name for layer in only if layer.active]
    if only[-1].prefix:
        names = names[:-1]
    if embedding and len(names) == 1:
        embedded = [layer.name for layer in embeddings if layer.number < only[0].number]
        names = [*embedded[-1:], *names]
    return quarters(names)


def _deepening(ends: Sequence[_Layer]) -> list[_Layer]:
    """Return the longest chain of scales in which each coarser one runs later; of equal ones that which ends last.

    The scales of a classifier follow one another. What lies beside them, such as the patches of a second branch, must
    not stand among them.
    """
    chains: list[list[_Layer]] = []
    for layer in ends:
        before = [chain for chain in chains if chain[-1].number < layer.number]
        longest = max(before, key=len, default=[])
        chains.append([*longest, layer])
    return max(chains, key=lambda chain: (len(chain), chain[-1].number), default=[])


def quarters(names: Sequence[str]) -> list[str]:
    """Take the last of each quarter of a list.

    Example:
        >>> quarters(["a", "b", "c", "d", "e", "f", "g", "h"])
        ['b', 'd', 'f', 'h']
    """
    count = len(names)
    ends = [math.ceil(count * part / 4) for part in (1, 2, 3, 4)]
    # of fewer than four layers, one may end two quarters
    return [names[end - 1] for end in dict.fromkeys(ends) if end]


Refused = Callable[[str, Exception], None]
"""Function that is told of a tap that cannot be read, and why."""


class Maps(dict[str, Tensor]):
    """Tap → activation, brought into the order (B, C, h, w) when it is put in.

    Args:
        layouts: Tap → layout of its output.
        refused: Function that is told of a tap that cannot be read; its activation is left out. None raises the error,
            in the middle of the forward pass.
    """

    def __init__(self, layouts: Mapping[str, Layout], refused: "Refused | None" = None) -> None:
        super().__init__()
        self.layouts = layouts
        self.aspect = 1.0
        self.batch: int | None = None
        self._refused = refused

    def note(self, module: nn.Module, inputs: tuple) -> None:
        """Note the number and the aspect of the images: a hook before the network runs."""
        image = tensor_of(inputs)
        if image is not None and image.ndim == 4:
            # not len(): a graph that is recorded would be of this number of images alone
            self.batch = image.shape[0]
            self.aspect = image.shape[-2] / image.shape[-1]

    def __setitem__(self, tap: str, activation: Tensor) -> None:
        try:
            layout = self.layouts.get(tap) or layout_at_sight(tap, activation, self.aspect)
            maps = to_maps(activation, layout, self.aspect)
        except Exception as error:
            self.refuse(tap, error)
        else:
            super().__setitem__(tap, maps)

    def refuse(self, tap: str, error: Exception) -> None:
        """Leave a tap out that cannot be read, or raise the error.

        Args:
            tap: Name of the tap.
            error: Reason why it cannot be read.
        """
        # what an earlier pass gave must not stand beside what the other taps give in this one
        self.pop(tap, None)
        if self._refused is None:
            raise error
        self._refused(tap, error)


@contextmanager
def read_taps(
    network: nn.Module,
    taps: Sequence[str],
    before_relu: bool = False,
    refused: Refused | None = None,
) -> Iterator[Maps]:
    """Keep, while open, what the layers give in a forward pass; in the last one where there are several.

    Of a convolution or a normalisation whose output the network itself hands straight to a ReLU, what that ReLU gives
    is kept.

    Args:
        network: Network whose layers are read; its hooks are removed at the end.
        taps: Dotted names of layers.
        before_relu: Whether the input of the ReLU with which a tap ends is kept instead. A tap that ends without a
            ReLU, and gives negative values too, is kept as it is. Branches that each end in a ReLU and are then
            joined, as Inception's are, are joined without their ReLUs.
        refused: Function that is told of a tap that cannot be read, in place of an error in the forward pass.

    Yields:
        Tap → activation (B, C, h, w), detached, filled by the forward pass; tokens that are no places are left out.

    Raises:
        InputError: In the forward pass, without `refused`: a tap gives no tensor or no places, or with `before_relu` no
            negative value, and nothing that one of its ReLUs gave either, so that the input of its last ReLU is
            unknown.

    Example:
        >>> from torchvision.models import alexnet
        >>> network = alexnet().eval()
        >>> with read_taps(network, ["features.1"]) as seen: _ = network(torch.zeros(1, 3, 64, 64))
        >>> seen["features.1"].shape
        torch.Size([1, 64, 15, 15])
    """
    seen = Maps(known_layouts(network, taps), refused)
    bare = {name for name in taps if _is_linear(network.get_submodule(name))}
    with ExitStack() as stack:
        stack.callback(network.register_forward_pre_hook(seen.note).remove)
        if before_relu:
            relus = stack.enter_context(_Relus())
            for name in taps:
                layer = network.get_submodule(name)
                read = partial(_before, seen, relus, name)
                stack.callback(layer.register_forward_pre_hook(lambda *_: relus.listen()).remove)
                stack.callback(layer.register_forward_hook(read).remove)
        else:
            given: list[tuple[str, Tensor]] = []
            if bare:
                stack.enter_context(_Followed(partial(_rectified, seen, given)))
            for name in taps:
                layer = network.get_submodule(name)
                followed = given if name in bare else None
                read = partial(_after, seen, followed, name)
                stack.callback(layer.register_forward_hook(read).remove)
        yield seen


def _after(
    seen: Maps,
    given: list[tuple[str, Tensor]] | None,
    name: str,
    module: nn.Module,
    inputs: tuple,
    output: Any,
) -> None:
    # of the images, and not of their patches: a layer may give both
    activation = tensor_of(output, seen.batch)
    if activation is None:
        seen.refuse(name, InputError(f"tap {name!r} gives no tensor of the images: name another layer in `taps`"))
        return
    seen[name] = activation.detach()
    if given is not None:
        given.append((name, activation))


def _rectified(seen: Maps, given: list[tuple[str, Tensor]], before: Tensor, after: Tensor) -> None:
    for name, output in given:
        if output is before:
            seen[name] = after.detach()


def _before(seen: Maps, relus: "_Relus", name: str, module: nn.Module, inputs: tuple, output: Tensor) -> None:
    before = relus.before(output)
    relus.rest()
    if before is None and not _is_linear(module) and not bool((output < 0).any()):
        error = InputError(
            f"tap {name!r}: what goes into its last ReLU cannot be read; name a ReLU, or a layer that ends with one, "
            "in `taps`, or take a statistic that is not truncated"
        )
        seen.refuse(name, error)
        return
    if before is None:
        before = output.detach().clone()  # a later ReLU may work in place
    seen[name] = before


class _Followed(TorchFunctionMode):
    """Report input and output of each ReLU, module or function, of a forward pass."""

    def __init__(self, tell: Callable[[Tensor, Tensor], None]) -> None:
        super().__init__()
        self.tell = tell

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if _ceiling(func, args, kwargs) is not None:
            self.tell(_input(args, kwargs), output)
        return output


class _Rectified(NamedTuple):
    """A ReLU that ran: its input, its output, and where it cuts off (6 for a ReLU6, else infinity)."""

    before: Tensor
    after: Tensor
    ceiling: float


class _Relus(TorchFunctionMode):
    """Keep what goes into the ReLUs of a forward pass, modules or functions, while a layer is listened to."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = 0
        self.passes: list[_Rectified] = []

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        ceiling = None
        if self.layers:
            ceiling = _ceiling(func, args, kwargs)
        if ceiling is not None:
            before = _input(args, kwargs).detach().clone()  # the ReLU may work in place
            after = func(*args, **kwargs)
            self.passes.append(_Rectified(before, after, ceiling))
            return after
        output = func(*args, **kwargs)
        # branches with equal ceilings only: one clamp then gives what the joined ReLUs gave
        if self.layers and func in _JOINS:
            parts = [self._pass_of(part) for part in args[0]]
            known = [part for part in parts if part is not None]
            ceilings = {part.ceiling for part in known}
            if len(known) == len(parts) and len(ceilings) == 1:
                befores = [part.before for part in known]
                joined = func(befores, *args[1:], **kwargs)
                self.passes.append(_Rectified(joined, output, ceilings.pop()))
        return output

    def _pass_of(self, after: Tensor) -> _Rectified | None:
        for relu in reversed(self.passes):
            if relu.after is after:
                return relu
        return None

    def listen(self) -> None:
        """Begin to listen to a layer."""
        self.layers += 1

    def rest(self) -> None:
        """Stop listening to a layer."""
        self.layers -= 1
        if not self.layers:
            self.passes.clear()

    def before(self, output: Tensor) -> Tensor | None:
        """Return the input of the last ReLU that gave this output; None where none did."""
        values = output.detach().nan_to_num()
        for relu in reversed(self.passes):
            if relu.before.shape != output.shape or relu.before.dtype != output.dtype:
                continue
            rectified = relu.before.clamp(0, relu.ceiling)
            # by value: something may have been added to the ReLU's output in place
            if torch.equal(rectified.nan_to_num(), values):
                return relu.before
        return None


def _input(args: tuple, kwargs: dict[str, Any]) -> Tensor:
    return args[0] if args else kwargs["input"]


def _ceiling(func: Any, args: tuple, kwargs: dict[str, Any]) -> float | None:
    """Return where a function cuts off, if it is a ReLU or a ReLU6; None for every other function."""
    if func is F.hardtanh:  # nn.ReLU6 is one from 0 to 6
        limits = dict(zip(("min_val", "max_val"), args[1:], strict=False)) | kwargs
        if limits.get("min_val", -1) != 0:
            return None
        return float(limits.get("max_val", 1))
    if func is F.relu6:
        return 6.0
    return math.inf if func in _RECTIFIERS else None


def _run(network: nn.Module, size: int | None, depth: Depth) -> tuple[list[tuple[str, nn.Module, Tensor]], set[str]]:
    """Return name, module and output of every unit, in the order of one forward pass on a grey image.

    The second value holds the names of the units whose output goes straight into a ReLU.
    """
    seen: list[tuple[str, nn.Module, Tensor]] = []
    rectified: set[str] = set()

    def keep(name: str, module: nn.Module, inputs: tuple, output: Any) -> None:
        tensor = tensor_of(output, 1)
        if tensor is not None:
            seen.append((name, module, tensor))

    handles = []
    for name, module in _units(network, "", depth):
        handles.append(module.register_forward_hook(partial(keep, name)))
    parameter = next(network.parameters())

    def tell(before: Tensor, after: Tensor) -> None:
        rectified.update(name for name, _, output in seen if output is before)

    refusal: Exception | None = None
    try:
        for side in sides(network, size):
            seen.clear()
            rectified.clear()
            image = torch.zeros(1, input_channels(network), side, side).to(parameter)
            try:
                with torch.no_grad(), evaluation_mode(network), _Followed(tell):
                    network(image)
                break
            except Exception as error:  # what a network says of a size that it does not take may be anything
                refusal = refusal or error
        else:
            raise InputError(f"{type(network).__name__} runs with none of the usual image sizes ({refusal})")
    finally:
        for handle in handles:
            handle.remove()
    return seen, rectified


def _is_linear(module: nn.Module) -> bool:
    """Tell a convolution or a normalisation without an activation inside, which timm's normalisations may have."""
    if not isinstance(module, _LINEAR):
        return False
    # a convolution's child is a padding, or what holds the parametrisation of its weight
    if isinstance(module, nn.Conv2d):
        return True
    return all(isinstance(child, _INACTIVE) for child in module.children())


def _units(module: nn.Module, prefix: str, depth: Depth = Depth.OUTERMOST) -> list[tuple[str, nn.Module]]:
    """List the modules below plain containers: what a network's author would call its layers.

    Args:
        module: Module whose children are listed.
        prefix: Dotted name of the module, with a dot at its end.
        depth: How far to look also into other modules.
    """
    units = []
    children = list(module.named_children())
    # a module that only wraps another one is no layer
    wraps = depth > Depth.OUTERMOST and len(children) == 1 and not prefix
    for name, child in children:
        full = f"{prefix}{name}"
        container = type(child) in (nn.Sequential, nn.ModuleList) or _is_chain(child)
        opened = depth > Depth.OUTERMOST and _holds_blocks(child, depth)
        if container or wraps or opened:
            units += _units(child, f"{full}.", depth)
        else:
            units.append((full, child))
    return units


def _holds_blocks(module: nn.Module, depth: Depth) -> bool:
    """Tell whether somewhere in a module a list of at least two blocks of one kind stands."""
    for part in module.modules():
        if isinstance(part, nn.Sequential | nn.ModuleList) and len(part) > 1:
            kinds = {type(block) for block in part}
            if len(kinds) == 1 and all(_is_block(block, depth) for block in part):
                return True
    return False


def _is_block(module: nn.Module, depth: Depth) -> bool:
    """Tell whether a module has parts; and at the depth of blocks, whether some part has parts again."""
    parts = list(module.children())
    if depth == Depth.LAYERS:
        return bool(parts)
    return any(next(part.children(), None) is not None for part in parts)


def _is_chain(module: nn.Module) -> bool:
    """Tell a subclass of Sequential, such as DenseNet's transitions, from a convolution with its norm."""
    if not isinstance(module, nn.Sequential) or type(module).forward is not nn.Sequential.forward:
        return False
    first = next(module.children(), None)
    return not isinstance(first, nn.Conv2d)
