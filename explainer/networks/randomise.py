"""Put random weights into a network's layers, for good or for as long as a block is open.

J. Adebayo, J. Gilmer, M. Muelly, I. Goodfellow, M. Hardt, B. Kim: Sanity Checks for Saliency Maps, NeurIPS 2018.
"""

import copy
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from explainer.networks.modes import evaluation_mode

How = Literal["initialise", "shuffle"]


class Layer(NamedTuple):
    """A unit of a network that is randomised as a whole.

    Attributes:
        name: Dotted name of a module that runs; empty for the network itself.
        parts: Dotted names of the modules whose own weights it uses: itself, and those below it that never run as
            modules, such as the output of an attention layer.
    """

    name: str
    parts: tuple[str, ...]


def layers_of(network: nn.Module, look: Callable[[], Any]) -> list[Layer]:
    """Return the layers that have weights, in the order in which they run, from the input to the output.

    Args:
        network: Network of any kind; left as it was.
        look: Function that sends something through the network.

    Returns:
        A layer for each module that runs and has weights of its own.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
        >>> [layer.name for layer in layers_of(network, lambda: network(torch.rand(1, 2)))]
        ['0', '2']
    """
    order: list[str] = []
    modules = dict(network.named_modules())
    handles = []
    for name, module in modules.items():
        handles.append(module.register_forward_pre_hook(lambda _, __, n=name: order.append(n)))
    try:
        with torch.no_grad(), evaluation_mode(network):
            look()
    finally:
        for handle in handles:
            handle.remove()
    parts: dict[str, list[str]] = {name: [] for name in order}
    for name, module in modules.items():
        if next(module.parameters(recurse=False), None) is not None:
            # weights of a module that never runs belong to the module around it, which uses them
            owner = name
            while owner and owner not in parts:
                owner = owner.rpartition(".")[0]
            parts.setdefault(owner, []).append(name)
    return [Layer(name, tuple(owned)) for name, owned in parts.items() if owned]


def randomise(network: nn.Module, seed: int, how: How = "initialise", parts: Sequence[str] | None = None) -> None:
    """Give modules random weights, the same for the same seed and name, on whichever device they are.

    Args:
        network: Network of any kind; changed in place.
        seed: Seed of the weights.
        how: Way of drawing them. "initialise" does what PyTorch does when the module is made, as in the paper
            (BatchNorm's statistics too; weights of modules that cannot do so become Gaussian, with the mean and
            standard deviation that they had). "shuffle" permutes each tensor's values, which keeps their distribution
            (and BatchNorm's statistics).
        parts: Dotted names of the modules; None takes all.

    Example:
        >>> network = nn.Linear(9, 9); before = network.weight.clone()
        >>> randomise(network, 0, "shuffle")
        >>> (network.weight == before).all().item(), (network.weight.sum() - before.sum()).abs().item() < 1e-5
        (False, True)
    """
    if parts is None:
        parts = [name for name, _ in network.named_modules()]
    for name in parts:
        module = network.get_submodule(name)
        # a seed for each name: what a module gets does not depend on which others are randomised
        module_seed = zlib.crc32(f"{seed} {name}".encode())
        if how == "initialise" and callable(getattr(module, "reset_parameters", None)):
            _initialise(module, module_seed)
        else:
            _redraw(module, module_seed, how)


@torch.no_grad()
def _initialise(module: nn.Module, seed: int) -> None:
    fresh: Any = copy.deepcopy(module).cpu()  # drawn on the CPU: the same numbers on every device
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        fresh.reset_parameters()
    for tensor, new in zip(tensors(module), tensors(fresh), strict=True):
        tensor.copy_(new)


@torch.no_grad()
def _redraw(module: nn.Module, seed: int, how: How) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters(recurse=False):
        old = parameter.detach().cpu().flatten()
        if how == "shuffle":
            new = old[torch.randperm(len(old), generator=generator)]
        else:
            # of these values, not of a sample: one value alone then has the spread 0, not NaN
            spread = old.float().std(correction=0)
            noise = torch.randn(len(old), generator=generator)
            new = old.float().mean() + spread * noise
        parameter.copy_(new.view(parameter.shape))


def tensors(module: nn.Module) -> list[Tensor]:
    """List a module's own weights and buffers, without those of the modules below it.

    Example:
        >>> len(tensors(nn.BatchNorm2d(3)))
        5
    """
    return [*module.parameters(recurse=False), *module.buffers(recurse=False)]


@contextmanager
def randomised(network: nn.Module, layers: Sequence[Layer], seed: int = 0, how: How = "initialise") -> Iterator[None]:
    """Put random weights into some layers while open; afterwards the network is what it was, to the bit.

    Args:
        network: Network of any kind.
        layers: Layers to randomise, as `layers_of` gives them.
        seed: Seed of the weights.
        how: Way of drawing them, described at `randomise`.

    Example:
        >>> network = nn.Linear(2, 2); before = network.weight.clone()
        >>> with randomised(network, [Layer("", ("",))]): torch.equal(network.weight, before)
        False
        >>> torch.equal(network.weight, before)
        True
    """
    parts = [part for layer in layers for part in layer.parts]
    originals = []
    for part in parts:
        for tensor in tensors(network.get_submodule(part)):
            originals.append((tensor, tensor.detach().clone()))
    try:
        randomise(network, seed, how, parts)
        yield
    finally:
        with torch.no_grad():
            for tensor, original in originals:
                tensor.copy_(original)
