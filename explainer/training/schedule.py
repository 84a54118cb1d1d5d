"""Learning rates over the course of a training."""

import math
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


class WarmUpCosine(LambdaLR):
    r"""Raise the learning rate linearly, then let it fall to 0 along half a cosine; one step of it a training step.

    .. math:: \eta_t = \eta \cdot \begin{cases} (t + 1) / w & t < w \\
        \frac{1}{2} (1 + \cos(\pi (t - w) / (T - w))) & t \ge w \end{cases}

    Args:
        optimizer: Optimizer whose learning rates are changed.
        warm_up: Length w of the rise in steps.
        steps: Length T of the training in steps; None takes what the Trainer expects.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
        >>> WarmUpCosine(optimizer, 4, 8).get_last_lr()
        [0.25]
    """

    def __init__(self, optimizer: Optimizer, warm_up: int = 50, steps: int | None = None) -> None:
        self.warm_up = warm_up
        self.steps = steps
        super().__init__(optimizer, self.factor)

    def state_dict(self) -> dict[str, Any]:
        """Return the state without the schedule's length: a training that goes on for longer has a longer one."""
        state = super().state_dict()
        return {key: value for key, value in state.items() if key not in ("steps", "warm_up")}

    def factor(self, step: int) -> float:
        """Return the share of the full learning rate at a step, in [0, 1]."""
        if step < self.warm_up:
            # not step / w: the first step of a training would be lost
            return (step + 1) / self.warm_up
        if self.steps is None:
            # made before the training knows its length: SaliencyModule.on_train_start fills it in
            return 1.0
        done = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return (1 + math.cos(math.pi * min(1.0, done))) / 2
