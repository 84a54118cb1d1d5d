"""Read what a network's layers give: in the training step's own forward pass, or in an extra one without a trace."""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from explainer.errors import InputError, is_refusal, one_line
from explainer.networks.modes import evaluation_mode
from explainer.networks.spatial import tensor_of
from explainer.networks.taps import Maps, read_taps


class Grids(NamedTuple):
    """What a network gives in evaluation mode.

    Attributes:
        size: Height and width of the images that it was fed.
        sides: Tap → height and width of its activation.
    """

    size: tuple[int, ...]
    sides: dict[str, tuple[int, ...]]


class Listener:
    """Keep what layers give in a training step, which may run the network several times.

    The pass that ran on the batch's images themselves counts; where none did, since a module normalises or augments
    them first, it is the last one. In training a network may leave out blocks or patches: a layer that gives something
    else than in evaluation mode is left out, with the reason in `refusal`, and the training step goes on.

    Args:
        network: Network whose layers are read.
        taps: Dotted names of layers.
        images: Images of the batch, (B, C, H, W).
        before_relu: Whether the input of a tap's last ReLU is read.
        usual: What the network gives in evaluation mode; None where that is not known.
    """

    def __init__(
        self,
        network: nn.Module,
        taps: Sequence[str],
        images: Tensor,
        before_relu: bool,
        usual: Grids | None = None,
    ) -> None:
        self.refusal = ""
        self._usual = usual
        self._images = images
        self._exact: dict[str, Tensor] | None = None
        self._stack = ExitStack()
        self._seen = self._stack.enter_context(read_taps(network, taps, before_relu, self._refuse))
        note_aspect(self._seen, network, images)
        handle = network.register_forward_hook(self._note, with_kwargs=True)
        self._stack.callback(handle.remove)

    def _note(self, network: nn.Module, inputs: tuple, named: Mapping[str, Any], output: Any) -> None:
        given = tensor_of((*inputs, *named.values()))
        if self._usual is not None and given is not None and tuple(given.shape[-2:]) == self._usual.size:
            self._check(self._usual)
        if given is not None and same_values(given, self._images):
            self._exact = dict(self._seen)

    def _check(self, usual: Grids) -> None:
        """Leave out what has other places than in evaluation mode: patches that are dropped leave no map."""
        for tap, sides in usual.sides.items():
            activation = self._seen.get(tap)
            if activation is not None and tuple(activation.shape[-2:]) != sides:
                words = f"tap {tap!r} has {tuple(activation.shape[-2:])} places in training, {sides} in evaluation"
                self._seen.refuse(tap, InputError(words))

    def _refuse(self, tap: str, error: Exception) -> None:
        """Note why a tap cannot be read."""
        self.refusal = str(error) if isinstance(error, InputError) else one_line(error)

    def close(self) -> dict[str, Tensor]:
        """Stop listening, and return tap → activation (B, C, h, w); a tap that did not run is missing."""
        self._stack.close()
        return dict(self._seen) if self._exact is None else self._exact


def same_values(first: Tensor, second: Tensor) -> bool:
    """Tell whether two tensors are one, or have the same values."""
    if first is second:
        return True
    alike = first.dtype == second.dtype and first.device == second.device
    return alike and torch.equal(first, second)


@torch.no_grad()
def look(network: nn.Module, taps: Sequence[str], image: Tensor, before_relu: bool) -> dict[str, Tensor]:
    """Run a network once more, in evaluation mode, and leave no trace of it.

    Args:
        network: Network, not compiled.
        taps: Dotted names of layers.
        image: What the network is fed, (B, C, H, W).
        before_relu: Whether the input of a tap's last ReLU is read.

    Returns:
        Tap → activation (B, C, h, w).

    Raises:
        InputError: The network does not take the images, or a layer does not run or has no places.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
        >>> look(network, ["1"], torch.rand(2, 1, 8, 8), False)["1"].shape
        torch.Size([2, 4, 6, 6])
    """
    weight = next((weight for weight in network.parameters() if weight.is_floating_point()), None)
    fed = image.float() if weight is None else image.to(weight)
    with untouched(network), read_taps(network, taps, before_relu) as seen:
        note_aspect(seen, network, image)
        try:
            # not by calling the module: its hooks, and what compile() put in place of its forward, stay out of it
            torch.compiler.disable(network.forward)(fed)
        except Exception as error:
            if isinstance(error, InputError) or is_refusal(error):
                raise
            raise InputError(
                f"{type(network).__name__} does not run on images {tuple(image.shape)} ({one_line(error)})"
            ) from error
    missing = next((tap for tap in taps if tap not in seen), None)
    if missing is not None:
        raise InputError(f"layer {missing!r} does not run when the network does: name another one in `taps`")
    return dict(seen)


def note_aspect(seen: Mapping[str, Tensor], network: nn.Module, image: Tensor) -> None:
    """Say what shape the images have, which tokens alone do not tell, where the network itself may not be called."""
    if isinstance(seen, Maps):
        seen.note(network, (image,))


@contextmanager
def untouched(network: nn.Module) -> Iterator[None]:
    """Let a network run in evaluation mode while open; its buffers and all random numbers are as before afterwards.

    In evaluation mode too, some networks count their passes, or drop at random: an extra pass of such a one would
    change the training.

    Args:
        network: Network of any kind.

    Example:
        >>> state = torch.get_rng_state()
        >>> with untouched(nn.Identity()): _ = torch.rand(3)
        >>> torch.equal(torch.get_rng_state(), state)
        True
    """
    devices = {weight.device for weight in network.parameters() if weight.device.type == "cuda"}
    buffers = [(buffer, buffer.detach().clone()) for buffer in network.buffers()]
    python_state = random.getstate()
    numpy_state = np.random.get_state()  # noqa: NPY002  (what the network of a stranger may draw from)
    try:
        with evaluation_mode(network), torch.random.fork_rng(list(devices)):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        with torch.no_grad():
            for buffer, before in buffers:
                # only where it changed: a write alone would make a pending backward pass fail
                if not torch.equal(buffer, before):
                    buffer.copy_(before)


def plain(network: nn.Module) -> nn.Module:
    """Return the network inside what `torch.compile` returns."""
    return getattr(network, "_orig_mod", network)


def is_compiled(module: nn.Module) -> bool:
    """Tell whether any part of a module is compiled: hooks would not be called, or would stay in the compiled code."""
    return getattr(module, "_compiler_ctx", None) is not None or any(
        hasattr(part, "_orig_mod") or part._compiled_call_impl is not None for part in module.modules()
    )
