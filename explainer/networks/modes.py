"""Look at a network without leaving a trace."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode while open; afterwards every part is in the mode in which it was.

    Args:
        network: Network whose parts may be in several modes, such as trainable layers over frozen ones.

    Example:
        >>> network = nn.Sequential(nn.Dropout(), nn.BatchNorm2d(3).eval())
        >>> with evaluation_mode(network): pass
        >>> [m.training for m in network]
        [True, False]
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        # each part by itself: train() of the whole network would give all parts one mode
        for module, training in modes.items():
            module.training = training
