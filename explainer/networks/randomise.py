"""Random weights in a network's layers, for as long as it is looked at.

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
    """What is randomised together.

    Attributes:
        name: Dotted name of a module that runs; empty for the network itself.
        parts: Dotted names of the modules whose own weights it uses: itself, and those below it that never run as
            modules, such as the output of an attention layer.
    """

    name: str
    parts: tuple[str, ...]


def layers_of(network: nn.Module, look: Callable[[], Any]) -> list[Layer]:
    """The layers that have weights, in the order in which they run, from the input to the output.

    Args:
        network: Any; left as it was found.
        look: Sends something through the network.

    Returns:
        As many as there are modules with weights of their own that run.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
        >>> [layer.name for layer in layers_of(network, lambda: network(torch.rand(1, 2)))]
        ['0', '2']
    """
    order: list[str] = []
    modules = dict(network.named_modules())
    handles = [m.register_forward_pre_hook(lambda _, __, n=name: order.append(n)) for name, m in modules.items()]
    try:
        with torch.no_grad(), evaluation_mode(network):
            look()
    finally:
        for handle in handles:
            handle.remove()
    parts: dict[str, list[str]] = {name: [] for name in order}
    for name, module in modules.items():
        if next(module.parameters(recurse=False), None) is not None:
            owner = name
            while owner and owner not in parts:
                owner = owner.rpartition(".")[0]
            parts.setdefault(owner, []).append(name)
    return [Layer(name, tuple(own)) for name, own in parts.items() if own]


def randomise(network: nn.Module, seed: int, how: How = "initialise", parts: Sequence[str] | None = None) -> None:
    """Give modules random weights, the same for the same seed and name, on whichever device they are.

    Args:
        network: Changed in place.
        seed: Of the weights.
        how: "initialise" as PyTorch does it when the module is made, as in the paper (BatchNorm's statistics too;
            weights of modules that cannot do so become Gaussian, with the mean and deviation they had); "shuffle" each
            tensor's values, which keeps their distribution (and BatchNorm's statistics).
        parts: Dotted names; None takes all modules.

    Example:
        >>> network = nn.Linear(9, 9); before = network.weight.clone()
        >>> randomise(network, 0, "shuffle")
        >>> (network.weight == before).all().item(), (network.weight.sum() - before.sum()).abs().item() < 1e-5
        (False, True)
    """
    for name in parts if parts is not None else [n for n, _ in network.named_modules()]:
        module = network.get_submodule(name)
        own_seed = zlib.crc32(f"{seed} {name}".encode())
        if how == "initialise" and callable(getattr(module, "reset_parameters", None)):
            _initialise(module, own_seed)
        else:
            _redraw(module, own_seed, how)


@torch.no_grad()
def _initialise(module: nn.Module, seed: int) -> None:
    fresh: Any = copy.deepcopy(module).cpu()  # drawn on the CPU: the same numbers on every device
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        fresh.reset_parameters()
    for own, new in zip(tensors(module), tensors(fresh), strict=True):
        own.copy_(new)


@torch.no_grad()
def _redraw(module: nn.Module, seed: int, how: How) -> None:
    generator = torch.Generator().manual_seed(seed)
    for own in module.parameters(recurse=False):
        old = own.detach().cpu().flatten()
        if how == "shuffle":
            new = old[torch.randperm(len(old), generator=generator)]
        else:
            spread = old.float().std(correction=0)
            new = old.float().mean() + spread * torch.randn(len(old), generator=generator)
        own.copy_(new.view(own.shape))


def tensors(module: nn.Module) -> list[Tensor]:
    """A module's own weights and buffers, without those of the modules below it.

    Example:
        >>> len(tensors(nn.BatchNorm2d(3)))
        5
    """
    return [*module.parameters(recurse=False), *module.buffers(recurse=False)]


@contextmanager
def randomised(network: nn.Module, layers: Sequence[Layer], seed: int = 0, how: How = "initialise") -> Iterator[None]:
    """Random weights in some layers while open; afterwards the network is what it was, to the bit.

    Args:
        network: Any.
        layers: Of `layers_of`.
        seed: As in `randomise`.
        how: Likewise.

    Example:
        >>> network = nn.Linear(2, 2); before = network.weight.clone()
        >>> with randomised(network, [Layer("", ("",))]): torch.equal(network.weight, before)
        False
        >>> torch.equal(network.weight, before)
        True
    """
    parts = [part for layer in layers for part in layer.parts]
    kept = [(own, own.detach().clone()) for part in parts for own in tensors(network.get_submodule(part))]
    try:
        randomise(network, seed, how, parts)
        yield
    finally:
        with torch.no_grad():
            for own, before in kept:
                own.copy_(before)
