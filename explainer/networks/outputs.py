"""Find the logits, or the features, in what a network returns: a tensor, or an object that clearly holds one."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from explainer.errors import InputError

_KEYS = ("logits", "out", "pred")


def logits_of(output: Any, network: str, num_classes: int | None = None) -> Tensor:
    """Take the logits out of what a network returned.

    Args:
        output: Value that the network returned: a tensor (B, K) or (B, K, 1, 1); an object with `logits`; a
            dictionary with "logits", "out" or "pred"; a tuple or list of tensors, of which the first (B, K) is taken.
        network: Name of the network, for the error.
        num_classes: Number K by which one of a tuple's tensors is chosen; None takes the first with two axes.

    Returns:
        Logits (B, K).

    Raises:
        InputError: Names the network and what it returned.

    Example:
        >>> logits_of({"logits": torch.zeros(2, 3)}, "mine").shape
        torch.Size([2, 3])
        >>> logits_of(torch.zeros(2), "mine")
        Traceback (most recent call last):
        ...
        explainer.errors.InputError: network 'mine' returned a tensor (2), not logits (B, K): return a tensor (B, K)
    """
    tensor = _tensor(output, num_classes)
    # heads that are 1×1 convolutions leave two axes of length 1
    if tensor is not None and tensor.ndim > 2 and set(tensor.shape[2:]) == {1}:
        tensor = tensor.flatten(1)
    if tensor is None or tensor.ndim != 2:
        raise InputError(f"network {network!r} returned {_words(output)}, not logits (B, K): return a tensor (B, K)")
    return tensor


def features_of(output: Any) -> Tensor | None:
    """Return the features (B, D) in what a network returned: a tensor, or what backbones of transformers return.

    Args:
        output: Tensor (B, D) or (B, D, 1, 1); an object with `pooler_output`, or else with `last_hidden_state`, of
            which the mean over the places is taken.

    Returns:
        Features (B, D); None where there are none.

    Example:
        >>> features_of(torch.ones(2, 7, 1, 1)).shape
        torch.Size([2, 7])
    """
    if not torch.is_tensor(output):
        pooled = getattr(output, "pooler_output", None)
        hidden = getattr(output, "last_hidden_state", None)
        if torch.is_tensor(pooled):
            output = pooled
        elif torch.is_tensor(hidden) and hidden.ndim == 3:
            output = hidden.mean(1)
        elif torch.is_tensor(hidden):
            output = hidden.flatten(2).mean(2)
        else:
            return None
    if output.ndim > 2 and set(output.shape[2:]) == {1}:
        output = output.flatten(1)
    return output if output.ndim == 2 else None


def _tensor(output: Any, num_classes: int | None) -> Tensor | None:
    """Return the tensor that holds the logits; None where nobody can tell which one does."""
    if torch.is_tensor(output):
        return output
    named = getattr(output, "logits", None)  # Inception and GoogLeNet in train mode, and many a library's outputs
    if torch.is_tensor(named):
        return named
    if isinstance(output, Mapping):
        values = [output.get(key) for key in _KEYS]
        return next((value for value in values if torch.is_tensor(value)), None)
    if isinstance(output, tuple | list):
        flat = [part for part in output if torch.is_tensor(part) and part.ndim == 2]
        return next((part for part in flat if num_classes in (None, part.shape[1])), None)
    return None


def _words(output: Any) -> str:
    """Describe a returned value in a few words."""
    kind = type(output).__name__
    if torch.is_tensor(output):
        sides = ", ".join(str(side) for side in output.shape)
        return f"a tensor ({sides})"
    if isinstance(output, Mapping):
        keys = ", ".join(str(key) for key in output)
        return f"a {kind} with the keys {keys[:100]}"
    if isinstance(output, tuple | list):
        parts = ", ".join(_words(part) for part in output[:5])
        return f"a {kind} of {parts}"
    return f"a {kind}"
