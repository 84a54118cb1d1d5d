"""Where a layer's output has its channels and its places: feature maps, channels last, or a sequence of tokens.

Networks lay activations out in three ways: (B, C, h, w) as convolutions do; (B, h, w, C) as Swin does; and (B, N, C),
tokens row by row, behind class and register tokens, as a Vision Transformer does. Everything that reads or changes
activations goes through the `Layout` of the layer, and sees (B, C, h, w).

The shape tells most layouts. Where it leaves a choice, and for tokens, whose order no shape tells, the network is
asked: a picture is changed in one quarter, and the layer must change most in the same quarter. A layout under which it
does not is not taken, so that a map of a wrong layout is never shown.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import permutations
from typing import Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from explainer.errors import InputError
from explainer.networks.modes import evaluation_mode

MOST_PREFIX = 16
"""Class, distillation and register tokens that may stand before the places."""
MOST_BANDS = 16
"""Channels that a picture may have; a convolution of more stands behind something else."""
DRAWS = 3
"""Noises whose changes are added up: what one shows by chance, several do not."""
SIDES = (224, 64, 32, 96, 128, 256, 299, 384, 28, 48, 160, 192, 320, 448, 512, 518)
"""Sides of the images that are tried where a network does not say what it takes."""
_layouts: "WeakKeyDictionary[nn.Module, dict[str, Layout | None]]" = WeakKeyDictionary()


class Layout(NamedTuple):
    """How the output of a layer is laid out.

    Attributes:
        kind: Order of the axes.
        prefix: Number of tokens that are no places, before the others.
        order: Place of each token, for tokens that do not stand row by row; None where they do.
    """

    kind: Literal["channels first", "channels last", "tokens"]
    prefix: int = 0
    order: tuple[int, ...] | None = None


FIRST = Layout("channels first")
LAST = Layout("channels last")


def tensor_of(output: Any, batch: int | None = None) -> Tensor | None:
    """Return the activations in what a layer returns: a tensor, or the first fitting one of several.

    Args:
        output: Tensor, tuple, list, mapping, or an object with `last_hidden_state`.
        batch: Number of images, which the first axis must have; None takes any.

    Example:
        >>> tensor_of((torch.ones(2, 3), (4, 4))).shape
        torch.Size([2, 3])
    """
    if torch.is_tensor(output):
        return output if batch is None or (output.ndim > 0 and len(output) == batch) else None
    if hasattr(output, "last_hidden_state"):
        return tensor_of(output.last_hidden_state, batch)
    parts = output.values() if isinstance(output, Mapping) else output
    if isinstance(parts, str) or not hasattr(parts, "__iter__"):
        return None
    tensors = (tensor_of(part, batch) for part in parts if torch.is_tensor(part))
    return next((tensor for tensor in tensors if tensor is not None), None)


def replaced(output: Any, tensor: Tensor) -> Any:
    """Put other activations in the place of those that `tensor_of` returns."""
    if torch.is_tensor(output):
        return tensor
    if isinstance(output, tuple | list):
        place = next(index for index, part in enumerate(output) if torch.is_tensor(part))
        return type(output)([*output[:place], tensor, *output[place + 1 :]])
    raise InputError(f"activations cannot be put into a {type(output).__name__}: name another layer")


def side_of(tokens: int, layout: Layout, aspect: float = 1.0) -> tuple[int, int] | None:
    """Return rows and columns of a sequence of tokens; None where its length fits no grid.

    Args:
        tokens: Length of the sequence.
        layout: Layout of the tokens.
        aspect: Height of the image divided by its width.

    Example:
        >>> side_of(197, Layout("tokens", 1)), side_of(33, Layout("tokens", 1), 2.0)
        ((14, 14), (8, 4))
    """
    places = tokens - layout.prefix
    if places < 1:
        return None
    rows = max(1, round(math.sqrt(places * aspect)))
    # the nearest number of rows that divides the places, one up or down: patches round the aspect
    for near in (rows, rows - 1, rows + 1):
        if near > 0 and places % near == 0 and abs(near * near / places / aspect - 1) < 0.5:
            return near, places // near
    return None


def to_maps(activation: Tensor, layout: Layout, aspect: float = 1.0) -> Tensor:
    """Bring activations into the order of feature maps.

    Args:
        activation: Output of a layer, of that layout.
        layout: Layout of the layer.
        aspect: Height of the image divided by its width.

    Returns:
        Feature maps (B, C, h, w), a view where that is possible.

    Raises:
        InputError: The number of tokens fits no grid.

    Example:
        >>> to_maps(torch.ones(2, 197, 8), Layout("tokens", 1)).shape
        torch.Size([2, 8, 14, 14])
    """
    if layout.kind == "channels first":
        return activation
    if layout.kind == "channels last":
        return activation.permute(0, 3, 1, 2)
    grid = side_of(activation.shape[1], layout, aspect)
    if grid is None:
        raise InputError(f"{activation.shape[1]} tokens fit no grid of places: name another layer")
    places = activation[:, layout.prefix :]
    if layout.order is not None:
        if len(layout.order) != places.shape[1]:
            raise InputError("the order of the tokens is known for another size of images only")
        index = torch.tensor(layout.order, device=places.device)
        places = torch.empty_like(places).index_copy(1, index, places)
    return places.transpose(1, 2).reshape(len(places), -1, *grid)


def from_maps(maps: Tensor, activation: Tensor, layout: Layout) -> Tensor:
    """Bring feature maps back into a layer's own order; tokens that are no places stay as they were.

    Args:
        maps: Feature maps (B, C, h, w).
        activation: Output of the layer, for what is no place.
        layout: Layout of the layer.

    Example:
        >>> tokens = torch.arange(10.0).view(1, 5, 2)
        >>> layout = Layout("tokens", 1)
        >>> torch.equal(from_maps(to_maps(tokens, layout), tokens, layout), tokens)
        True
    """
    if layout.kind == "channels first":
        return maps
    if layout.kind == "channels last":
        return maps.permute(0, 2, 3, 1)
    places = maps.flatten(2).transpose(1, 2)
    if layout.order is not None:
        places = places[:, torch.tensor(layout.order, device=places.device)]
    return torch.cat([activation[:, : layout.prefix], places], 1)


def candidates(shape: Sequence[int]) -> list[Layout]:
    """List the layouts that the shape of an output for square images allows; the likeliest first.

    Args:
        shape: Shape of the output.

    Example:
        >>> [layout.kind for shape in ((1, 64, 7, 7), (1, 7, 7, 64)) for layout in candidates(shape)]
        ['channels first', 'channels last']
        >>> candidates((1, 197, 8))
        [Layout(kind='tokens', prefix=1, order=None)]
    """
    if len(shape) == 4:
        layouts = []
        if shape[2] == shape[3] > 1 and shape[1] > 3:
            layouts.append(FIRST)
        if shape[1] == shape[2] > 1 and shape[3] > 3:
            layouts.append(LAST)
        return layouts
    if len(shape) != 3 or shape[2] <= 3:
        return []
    prefixes = [prefix for prefix in range(MOST_PREFIX + 1) if shape[1] - prefix >= 4]
    return [Layout("tokens", prefix) for prefix in prefixes if math.isqrt(shape[1] - prefix) ** 2 == shape[1] - prefix]


def grid_of(shape: Sequence[int], layout: Layout) -> int:
    """Return the side of the square grid of places of an output; 0 where there is none."""
    if layout.kind == "tokens":
        return math.isqrt(shape[1] - layout.prefix)
    return shape[-1] if layout.kind == "channels first" else shape[1]


def layouts_of_shapes(shapes: Sequence[Sequence[int]]) -> "list[Layout | None]":
    """Guess the layouts of outputs of one forward pass by their shapes alone.

    Tokens with and without a class token can be told apart by the outputs that have no choice: the grids of feature
    maps, and of sequences whose length is a square.

    Args:
        shapes: Shapes of the outputs, in order.

    Returns:
        The likeliest layout of each; None for an output without places.

    Example:
        >>> [layout.prefix for layout in layouts_of_shapes([(1, 196, 8), (1, 200, 8)])]
        [0, 4]
    """
    choices = [candidates(shape) for shape in shapes]
    grids = {grid_of(shape, layouts[0]) for shape, layouts in zip(shapes, choices, strict=True) if layouts}
    guessed: list[Layout | None] = []
    for shape, layouts in zip(shapes, choices, strict=True):
        familiar = [layout for layout in layouts if grid_of(shape, layout) in grids]
        guessed.append(next(iter(familiar or layouts), None))
    return guessed


def layouts_of(network: nn.Module, names: Sequence[str], size: int | None = None) -> dict[str, Layout]:
    """Find the layouts of layers; the network is asked once and left as it was.

    Args:
        network: Network of any kind.
        names: Dotted names of layers.
        size: Side of the square images that it takes; None tries usual ones.

    Returns:
        Name → layout.

    Raises:
        InputError: The output of a layer has no places, or stands in an order that cannot be told.

    Example:
        >>> layouts_of(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), ["1"])["1"].kind
        'channels first'
    """
    layouts = known_layouts(network, names, size)
    for name in names:
        if name not in layouts:
            raise _unclear(name)
    return layouts


def known_layouts(network: nn.Module, names: Sequence[str], size: int | None = None) -> dict[str, Layout]:
    """Find the layouts of layers, as `layouts_of` does, without those that cannot be told."""
    known = _layouts.setdefault(network, {})
    missing = [name for name in names if name not in known]
    if missing:
        known |= _find_layouts(network, missing, size)
    return {name: layout for name in names if (layout := known[name]) is not None}


def layout_at_sight(name: str, activation: Tensor, aspect: float = 1.0) -> Layout:
    """Tell the layout of a layer that could not be asked, where its output leaves no choice.

    Args:
        name: Name of the layer, for the error.
        activation: Output of the layer.
        aspect: Height of the image divided by its width.

    Raises:
        InputError: The output is a sequence, or leaves a choice.

    Example:
        >>> layout_at_sight("features", torch.ones(1, 64, 8, 8)).kind
        'channels first'
    """
    fitting = []
    if activation.ndim == 4:
        _, first, middle, last = activation.shape
        # patches round the aspect
        fits = (abs(middle / last / aspect - 1) < 0.5, abs(first / middle / aspect - 1) < 0.5)
        fitting = [layout for layout, fit in zip((FIRST, LAST), fits, strict=True) if fit]
    if len(fitting) != 1:
        raise _unclear(name)
    return fitting[0]


def _unclear(name: str) -> InputError:
    return InputError(
        f"layer {name!r} gives nothing whose places can be told (feature maps, or tokens in the order of the image): "
        "name another layer"
    )


def _find_layouts(network: nn.Module, names: Sequence[str], size: int | None) -> dict[str, "Layout | None"]:
    outputs, quarters = _changed_quarters(network, names, size)
    return {name: _layout_of(network, name, outputs.get(name), quarters.get(name)) for name in names}


def _layout_of(network: nn.Module, name: str, shape: Sequence[int] | None, changes: Tensor | None) -> Layout | None:
    """Choose the layout of a layer by its shape, and by where it changes with a quarter of the picture."""
    if shape is None or changes is None:
        return None
    layouts = candidates(shape)
    # what is no choice and no sequence needs no proof: a network may mix its places so that none shows
    if len(layouts) == 1 and layouts[0].kind != "tokens":
        return layouts[0]
    layouts += [layout for layout in _unrolled(network, name, shape) if layout not in layouts]
    scored = [(_agreement(to_maps(changes, layout).sum(1, keepdim=True)), layout) for layout in layouts]
    proven = [(score, layout) for score, layout in scored if score > 0]
    return max(proven, key=lambda pair: pair[0])[1] if proven else None


def _unrolled(network: nn.Module, name: str, shape: Sequence[int]) -> Iterator[Layout]:
    """Yield the order of Hiera's tokens, which stand window by window; its own `reroll` says where each belongs."""
    reroll = getattr(network, "reroll", None)
    number = name.rpartition(".")[2]
    if reroll is None or not number.isdigit() or len(shape) != 3:
        return
    index = torch.arange(shape[1], dtype=torch.float32).view(1, -1, 1)
    try:
        rows = reroll(index, int(number))
    except Exception:  # another library's method of the same name may want anything
        return
    token_of_place = rows.flatten().long()
    yield Layout("tokens", 0, tuple(token_of_place.argsort().tolist()))


def _agreement(changes: Tensor) -> float:
    """Tell how surely a layer changes in the quarter in which the picture did.

    Args:
        changes: Size of the change at each place, (4, 1, h, w), for the quarters from top left to bottom right.

    Returns:
        Lead of the right assignment of pictures to quarters over the best wrong one, relative to the spread; at most 0
        where a wrong one fits as well.
    """
    side = changes.shape[-1]
    half = side // 2
    if not half or not bool(changes.isfinite().all()):
        return 0.0
    # the middle row and column of an odd grid belong to no quarter
    rows = changes[:, 0, :half].sum(1), changes[:, 0, side - half :].sum(1)
    parts = [part for row in rows for part in (row[:, :half].sum(1), row[:, side - half :].sum(1))]
    mass = torch.stack(parts, 1).double()
    share = mass / mass.sum(1, keepdim=True).clamp_min(1e-30)
    # where a quarter changes more than the others in any case, that says nothing
    lead = share - share.mean(0)
    fits = {
        order: sum(float(lead[row, column]) for row, column in enumerate(order)) for order in permutations(range(4))
    }
    right = fits.pop((0, 1, 2, 3))
    return (right - max(fits.values())) / (float(lead.abs().sum()) + 1e-30)


@torch.no_grad()
def _changed_quarters(
    network: nn.Module, names: Sequence[str], size: int | None
) -> tuple[dict[str, tuple[int, ...]], dict[str, Tensor]]:
    """Return the shapes of layers' outputs, and how much each of their values changes with a quarter of a picture."""
    parameter = next((weight for weight in network.parameters() if weight.is_floating_point()), torch.zeros(()))
    channels = input_channels(network)
    shapes: dict[str, tuple[int, ...]] = {}
    changes: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module, inputs: tuple, output: Any) -> None:
        tensor = tensor_of(output, 5)
        if tensor is not None:
            shapes[name] = (1, *tensor.shape[1:])
            difference = (tensor[1:].detach().float() - tensor[:1].detach().float()).abs().cpu()
            changes[name] = changes[name] + difference if name in changes else difference

    handles = [network.get_submodule(name).register_forward_hook(partial(keep, name)) for name in names]
    try:
        for side in sides(network, size):
            try:
                with evaluation_mode(network), torch.random.fork_rng(devices=[]):
                    for seed in range(DRAWS):
                        network(probe_pictures(channels, side, seed).to(parameter))
                break
            except Exception:  # what a network says of a size that it does not take may be anything
                shapes.clear()
                changes.clear()
    finally:
        for handle in handles:
            handle.remove()
    return shapes, changes


def probe_pictures(channels: int, side: int, seed: int = 0) -> Tensor:
    """Draw a picture of noise, and the same with one quarter drawn anew: (5, channels, side, side) around 0.

    Args:
        channels: Channels of the picture.
        side: Side in pixels.
        seed: Seed of the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    picture = torch.randn(1, channels, side, side, generator=generator)
    other = torch.randn(1, channels, side, side, generator=generator)
    pictures = picture.repeat(5, 1, 1, 1)
    # the middle half of the quarter, so that its neighbours' places see little of it
    start, stop = side // 8, side // 2 - side // 8
    for number, (top, left) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1)), 1):
        rows = slice(top * side // 2 + start, top * side // 2 + stop)
        columns = slice(left * side // 2 + start, left * side // 2 + stop)
        pictures[number, :, rows, columns] = other[0, :, rows, columns]
    return pictures


def sides(network: nn.Module, size: int | None = None) -> list[int]:
    """List the sides of images to try: the one that is known, the network's own, and usual ones."""
    config = getattr(network, "default_cfg", None) or getattr(network, "pretrained_cfg", None) or {}
    declared = config.get("input_size") if isinstance(config, dict) else None
    own = getattr(getattr(network, "config", None), "image_size", None)
    own = own[0] if isinstance(own, list | tuple) and own else own
    known = [size, declared[-1] if declared else None, own if isinstance(own, int) else None]
    return [*dict.fromkeys(side for side in (*known, *SIDES) if side)]


def input_channels(network: nn.Module) -> int:
    """Return the number of channels of a network's images.

    timm's and Hugging Face's networks say it. Of any other the first convolution tells, unless the image is rearranged
    before it, which then has more channels than pictures do.

    Args:
        network: Network of any kind.
    """
    config = getattr(network, "default_cfg", None) or getattr(network, "pretrained_cfg", None) or {}
    declared = config.get("input_size") if isinstance(config, dict) else None
    if declared:
        return int(declared[0])
    own = getattr(getattr(network, "config", None), "num_channels", None)
    if isinstance(own, int):
        return own
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    return 3 if first is None or first.in_channels > MOST_BANDS else first.in_channels
