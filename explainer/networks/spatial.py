"""Where a layer's output has its channels and its places: feature maps, channels last, or a sequence of tokens.

Networks lay activations out in three ways: (B, C, h, w) as convolutions do; (B, h, w, C) as Swin does; and (B, N, C),
tokens row by row, behind class and register tokens, as a Vision Transformer does. Everything that reads or changes
activations goes through the `Layout` of the layer, and sees (B, C, h, w).

The shape tells most layouts. Where it leaves a choice, and for tokens, whose order no shape tells, the network is
asked: parts of a picture are changed one after the other, and the layer must change most where the picture did. A
layout under which it does not is not taken, so that a map of a wrong layout is never shown.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
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
PARTS = 4
"""Rows and columns of the parts of a picture that are changed one after the other."""
SURE = 0.7
"""Correlation from which an order is taken for that of the image; a random order of many tokens reaches 0.5 at most."""
SIDES = (224, 64, 32, 96, 128, 256, 299, 384, 28, 48, 160, 192, 320, 448, 512, 518)
"""Sides of the images that are tried where a network does not say what it takes."""
_layouts: "WeakKeyDictionary[nn.Module, dict[str, Layout | None]]" = WeakKeyDictionary()
_channels: "WeakKeyDictionary[nn.Module, int | None]" = WeakKeyDictionary()


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
        if batch is None:
            return output
        # not len(): a graph that is recorded would be of this number of images alone
        fits = output.ndim > 0 and output.shape[0] == batch
        return output if fits else None
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
        # several tensors: the one that was read is the first with as many images
        images = len(tensor)
        place = next(index for index, part in enumerate(output) if tensor_of(part, images) is part)
        parts = list(output)
        parts[place] = tensor
        return type(output)(parts)
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
        if near < 1 or places % near:
            continue
        columns = places // near
        grid_aspect = near * near / places
        if abs(grid_aspect / aspect - 1) < 0.5:
            return near, columns
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
    layouts = []
    for prefix in range(MOST_PREFIX + 1):
        places = shape[1] - prefix
        # two rows of two are the smallest grid
        if places >= 4 and math.isqrt(places) ** 2 == places:
            layouts.append(Layout("tokens", prefix))
    return layouts


def grid_of(shape: Sequence[int], layout: Layout) -> int:
    """Return the side of the square grid of places of an output; 0 where there is none."""
    if layout.kind == "tokens":
        return math.isqrt(shape[1] - layout.prefix)
    if layout.kind == "channels first":
        return shape[-1]
    return shape[1]


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
    grids = set()
    for shape, layouts in zip(shapes, choices, strict=True):
        if layouts:
            likeliest = layouts[0]
            grids.add(grid_of(shape, likeliest))
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
        places = ((FIRST, middle, last), (LAST, first, middle))
        for layout, rows, columns in places:
            # patches round the aspect
            if abs(rows / columns / aspect - 1) < 0.5:
                fitting.append(layout)
    if len(fitting) != 1:
        raise _unclear(name)
    return fitting[0]


def _unclear(name: str) -> InputError:
    return InputError(
        f"layer {name!r} gives nothing whose places can be told (feature maps, or tokens in the order of the image): "
        "name another layer"
    )


def _find_layouts(network: nn.Module, names: Sequence[str], size: int | None) -> dict[str, "Layout | None"]:
    shapes = _shapes_of(network, names, size)
    layouts: dict[str, Layout | None] = {}
    doubtful = {}
    for name in names:
        choice: list[Layout] = []
        if name in shapes.shapes:
            choice = candidates(shapes.shapes[name])
        # feature maps that are no choice need no proof: a network may mix its places so that none shows
        if len(choice) == 1 and choice[0].kind != "tokens":
            layouts[name] = choice[0]
        else:
            layouts[name] = None
            doubtful[name] = choice
    doubtful = {name: choice for name, choice in doubtful.items() if choice}
    if doubtful and shapes.side is not None:
        changes = _changes(network, list(doubtful), shapes.side)
        for name, choice in doubtful.items():
            choice = [*choice, *_unrolled(network, name, shapes.shapes[name])]
            layouts[name] = _proven(choice, changes[name])
    return layouts


def _proven(choice: Sequence[Layout], changes: Tensor) -> Layout | None:
    """Return the layout under which a layer changes where the picture does; None where none is sure enough."""
    scored = []
    for layout in choice:
        maps = to_maps(changes, layout)
        size_of_change = maps.sum(1, keepdim=True)
        scored.append((agreement(size_of_change), layout))
    correlation, best = max(scored, key=lambda pair: pair[0])
    if correlation > SURE:
        return best
    return None


def _unrolled(network: nn.Module, name: str, shape: Sequence[int]) -> Iterator[Layout]:
    """Yield the order of Hiera's tokens, which stand window by window; its own `reroll` says where each belongs."""
    reroll = getattr(network, "reroll", None)
    number = name.rpartition(".")[2]
    if reroll is None or not number.isdecimal() or len(shape) != 3:
        return
    index = torch.arange(shape[1], dtype=torch.float32).view(1, -1, 1)
    try:
        rows = reroll(index, int(number))
    except Exception:  # another library's method of the same name may want anything
        return
    token_of_place = rows.flatten().long()
    yield Layout("tokens", 0, tuple(token_of_place.argsort().tolist()))


def agreement(changes: Tensor) -> float:
    """Correlate where a layer changes with where the picture was changed.

    Args:
        changes: Size of the change at each place, (16, 1, h, w), for the sixteenths of the picture row by row.

    Returns:
        Smaller one of the correlations of rows and of columns, in [-1, 1]; 0 where nothing changes.
    """
    rows, columns = changes.shape[-2:]
    flat = changes.flatten(1).double()
    total = flat.sum(1, keepdim=True)
    if not bool(flat.isfinite().all()) or not bool((total > 0).all()):
        return 0.0
    share = flat / total
    # where a place changes with whatever part of the picture, that says nothing
    more = share - share.mean(0)
    lead = more.relu().view(-1, rows, columns)
    mass = lead.sum((1, 2)).clamp_min(1e-30)
    of_row = lead.sum(2) * torch.arange(rows)
    of_column = lead.sum(1) * torch.arange(columns)
    row_moment = of_row.sum(1)
    column_moment = of_column.sum(1)
    number = torch.arange(PARTS**2).double()
    of_rows = _correlation(row_moment / mass, number // PARTS)
    of_columns = _correlation(column_moment / mass, number % PARTS)
    return min(of_rows, of_columns)


def _correlation(a: Tensor, b: Tensor) -> float:
    """Correlate two lists of numbers (N,); 0 where one is constant."""
    both = torch.stack([a, b])
    coefficient = torch.corrcoef(both)[0, 1]
    return float(coefficient.nan_to_num(0.0))


class _Shapes(NamedTuple):
    """Shapes of layers' outputs for one image, and the side of the image; None where the network took none."""

    shapes: dict[str, tuple[int, ...]]
    side: int | None


@torch.no_grad()
def _shapes_of(network: nn.Module, names: Sequence[str], size: int | None) -> _Shapes:
    shapes: dict[str, tuple[int, ...]] = {}

    def keep(name: str, output: Tensor) -> None:
        shapes[name] = tuple(output.shape)

    with _listening(network, names, 1, keep):
        for side in sides(network, size):
            try:
                black = torch.zeros(1, input_channels(network), side, side)
                network(_like_weights(network, black))
                return _Shapes(shapes, side)
            except Exception:  # what a network says of a size that it does not take may be anything
                shapes.clear()
    return _Shapes(shapes, None)


@torch.no_grad()
def _changes(network: nn.Module, names: Sequence[str], side: int) -> dict[str, Tensor]:
    """Return how much each value of layers' outputs changes with each sixteenth of a picture: (16, …) each."""
    parts: dict[str, list[Tensor]] = {name: [] for name in names}

    def keep(name: str, output: Tensor) -> None:
        unchanged = output[:1].float()
        change = output[1:].float() - unchanged
        parts[name].append(change.abs().cpu())

    pictures = probe_pictures(input_channels(network), side)
    with _listening(network, names, PARTS + 1, keep):
        # a row of the picture at a time: all at once would take the memory of a large batch
        for changed in pictures[1:].split(PARTS):
            batch = torch.cat([pictures[:1], changed])
            network(_like_weights(network, batch))
    return {name: torch.cat(rows) for name, rows in parts.items()}


@contextmanager
def _listening(
    network: nn.Module,
    names: Sequence[str],
    batch: int,
    keep: Callable[[str, Tensor], None],
) -> Iterator[None]:
    """Hand on, while open, what layers give for batches of a size; the network is in evaluation mode."""

    def listen(name: str, module: nn.Module, inputs: tuple, output: Any) -> None:
        tensor = tensor_of(output, batch)
        if tensor is not None:
            keep(name, tensor.detach())

    handles = []
    for name in names:
        layer = network.get_submodule(name)
        handles.append(layer.register_forward_hook(partial(listen, name)))
    try:
        with evaluation_mode(network), torch.random.fork_rng(devices=[]):
            yield
    finally:
        for handle in handles:
            handle.remove()


def _like_weights(network: nn.Module, image: Tensor) -> Tensor:
    """Bring an image to the device and the precision of the network's weights."""
    weight = next((weight for weight in network.parameters() if weight.is_floating_point()), image)
    return image.to(weight)


def probe_pictures(channels: int, side: int, seed: int = 0) -> Tensor:
    """Draw a picture of noise, and the same with one sixteenth drawn anew: (17, channels, side, side) around 0.

    Args:
        channels: Channels of the picture.
        side: Side in pixels.
        seed: Seed of the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    picture = torch.randn(1, channels, side, side, generator=generator)
    other = torch.randn(1, channels, side, side, generator=generator)
    pictures = picture.repeat(1 + PARTS**2, 1, 1, 1)
    edges = [side * number // PARTS for number in range(PARTS + 1)]
    for number in range(PARTS**2):
        row, column = divmod(number, PARTS)
        rows = slice(edges[row], edges[row + 1])
        columns = slice(edges[column], edges[column + 1])
        pictures[1 + number, :, rows, columns] = other[0, :, rows, columns]
    return pictures


def sides(network: nn.Module, size: int | None = None) -> list[int]:
    """List the sides of images to try: the one that is known, the network's own, and usual ones."""
    declared = _declared_size(network)
    configured = _configured(network, "image_size")
    if isinstance(configured, list | tuple) and configured:
        configured = configured[0]
    known = [size]
    # timm's transformers that were asked for another size than the usual one
    asked = getattr(getattr(network, "patch_embed", None), "img_size", None)
    if isinstance(asked, list | tuple) and asked:
        known.append(asked[0])
    if declared is not None:
        known.append(declared[-1])
    if isinstance(configured, int):
        known.append(configured)
    return [*dict.fromkeys(side for side in (*known, *SIDES) if side)]


def _declared_size(network: nn.Module) -> Sequence[int] | None:
    """Return channels, height and width that timm gives its networks; None for a network of anybody else."""
    config = getattr(network, "default_cfg", None) or getattr(network, "pretrained_cfg", None)
    if not isinstance(config, dict):
        return None
    return config.get("input_size")


def _configured(network: nn.Module, key: str) -> Any:
    """Return what the configuration of a network of transformers says; None for a network of anybody else."""
    config = getattr(network, "config", None)
    value = getattr(config, key, None)
    if value is not None:
        return value
    # networks of images and texts have a configuration for each
    of_images = getattr(config, "vision_config", None)
    return getattr(of_images, key, None)


def input_channels(network: nn.Module) -> int:
    """Return the number of channels of a network's images, 3 where nothing says it.

    Args:
        network: Network of any kind; left as it was.

    Example:
        >>> input_channels(nn.Sequential(nn.Conv2d(13, 8, 3), nn.Flatten()))
        13
    """
    return known_channels(network) or 3


def remember_channels(network: nn.Module, channels: int) -> None:
    """Remember the number of channels of a network's images, where somebody says it.

    Args:
        network: Network of any kind.
        channels: Number of channels.
    """
    _channels[network] = channels


def known_channels(network: nn.Module) -> int | None:
    """Return the number of channels of a network's images, None where neither it nor its layers say so.

    timm's and Hugging Face's networks say it, but timm's do not count channels that were asked for. Of any network the
    first convolution tells, unless the image is rearranged before it, or another layer looks at the image. Where the
    signs differ, images of each number are tried.

    Args:
        network: Network of any kind; left as it was.
    """
    if network not in _channels:
        _channels[network] = _find_channels(network)
    return _channels[network]


def first_channels(network: nn.Module) -> int | None:
    """Return the number of channels of the convolution that is registered first; None where it is that of no picture.

    Example:
        >>> first_channels(nn.Conv2d(4, 8, 3)), first_channels(nn.Conv2d(64, 8, 3)), first_channels(nn.Linear(4, 8))
        (4, None, None)
    """
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None or first.in_channels > MOST_BANDS:
        return None
    return first.in_channels


@torch.no_grad()
def _find_channels(network: nn.Module) -> int | None:
    declared = _declared_size(network)
    configured = _configured(network, "num_channels")
    if declared:
        configured = declared[0]
    signs = [first_channels(network), configured]
    numbers = [number for number in signs if isinstance(number, int)]
    if not numbers:
        return None
    # one sign alone is that of an inner layer only where a network is registered in another order than it runs
    if set(numbers) == {3}:
        return 3
    if len(numbers) == 2 and len(set(numbers)) == 1:
        return numbers[0]
    guesses = [*dict.fromkeys([*numbers, 3])]
    with evaluation_mode(network), torch.random.fork_rng(devices=[]):
        for side in sides(network):
            for channels in guesses:
                try:
                    network(_like_weights(network, torch.zeros(1, channels, side, side)))
                    return channels
                except Exception:  # what a network says of an image that it does not take may be anything
                    continue
    return None
