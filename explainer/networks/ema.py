"""An exponential moving average of a network: what a generator is judged and used by; torch's own, with a warm-up."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def decay_at(updates: int, decay: float) -> float:
    r"""Return the share of the average that stays at an update: little at first, so that the start is soon forgotten.

    .. math:: \min\left(d, \frac{1 + n}{10 + n}\right)

    Args:
        updates: Number n of updates made before.
        decay: Largest share d, in [0, 1].

    Example:
        >>> decay_at(0, 0.999), decay_at(10**6, 0.999)
        (0.1, 0.999)
    """
    return min(decay, (1 + updates) / (10 + updates))


class Average(AveragedModel):
    """A copy of a network, whose weights and running statistics follow the network's; frozen, in evaluation mode.

    The names of its tensors are those of the network behind `module.`, so that a loader finds them.

    Args:
        network: Network that is followed.
        decay: Largest share d of the average that stays at an update, in [0, 1].

    Example:
        >>> network = nn.Linear(2, 2)
        >>> average = Average(network, 0.999)
        >>> bool((average.module.weight == network.weight).all())
        True
    """

    module: Any

    def __init__(self, network: nn.Module, decay: float = 0.999) -> None:
        super().__init__(network, multi_avg_fn=partial(take_step, decay=decay), use_buffers=True)
        # torch's count begins with 1 here: at 0 it copies the network, where the formula keeps a tenth of the start
        self.n_averaged += 1
        self.requires_grad_(False)
        self.register_load_state_dict_pre_hook(rename_earlier)
        self.train(False)

    def train(self, mode: bool = True) -> "Average":
        """Stay in evaluation mode, whatever the parent does."""
        return super().train(False)


def take_step(averages: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int, decay: float) -> None:
    """Move averages of one type towards a network's tensors, in place.

    Args:
        averages: Averages of one device and type.
        current: Tensors of the network, in the same order.
        count: Number of updates made before, plus 1.
        decay: Largest share of the average that stays, in [0, 1].
    """
    if averages[0].is_floating_point():
        get_ema_multi_avg_fn(decay_at(int(count) - 1, decay))(averages, current, count)
        return
    # a count of batches has no mean; torch's own function would round one
    for average, new in zip(averages, current, strict=True):
        average.copy_(new)


def rename_earlier(average: nn.Module, state: dict[str, Tensor], prefix: str, *rest: object) -> None:
    """Give the tensors of an earlier checkpoint, `network.…` and `updates`, the names that they have in torch's class.

    Args:
        average: Average that is loaded.
        state: Name → tensor of the checkpoint; changed in place.
        prefix: Name of the average in it, with its dot.
        rest: Further arguments that torch passes on.
    """
    if f"{prefix}updates" not in state:
        return
    state[f"{prefix}n_averaged"] = state.pop(f"{prefix}updates") + 1
    earlier = f"{prefix}network."
    for name in [name for name in state if name.startswith(earlier)]:
        state[f"{prefix}module.{name.removeprefix(earlier)}"] = state.pop(name)
