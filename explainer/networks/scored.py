"""A classifier seen through a question of one's own: any function of its output in place of a class."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from explainer.errors import InputError
from explainer.networks.explanandum import Explanandum
from explainer.networks.spatial import tensor_of

Score = Callable[[Any], Tensor]
"""Function from what the network returns to one number an image, (B,)."""


class Scored(Explanandum):
    """An explanandum with one logit: a score, such as "A rather than B" or the likeness of an embedding.

    It shares the network, so that every method explains the score as it would explain a class; where a method asks for
    a probability, that is the sigmoid of the score.

    Args:
        explanandum: Frozen classifier, or any network that an `Explanandum` holds; left as it is.
        score: Function from what the network returns to one number an image, (B,), which the map's evidence raises.

    Example:
        >>> explanandum = Explanandum("alexnet", num_classes=3)
        >>> rather = Scored(explanandum, lambda logits: logits[:, 2] - logits[:, 0])
        >>> rather(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 1])
    """

    def __init__(self, explanandum: Explanandum, score: Score) -> None:
        nn.Module.__init__(self)
        # the attributes of the other one, and its very modules and buffers
        for name, value in vars(explanandum).items():
            if name not in vars(self):
                setattr(self, name, value)
        self._modules = dict(explanandum._modules)
        self._buffers = dict(explanandum._buffers)
        self.training = explanandum.training
        self.classes = (getattr(score, "__name__", type(score).__name__),)
        self.multilabel = True
        self.score = score

    @property
    def num_classes(self) -> int:
        """One: the score."""
        return 1

    def _logits(self, output: Any) -> Tensor:
        """Return the score of what the network returned, (B, 1)."""
        values = tensor_of(output)
        if values is None:
            raise InputError(f"a target function needs a network that returns tensors, not a {type(output).__name__}")
        batch = len(values)
        score = self.score(output)
        if not torch.is_tensor(score) or score.shape not in ((batch,), (batch, 1)):
            got: Any = type(score).__name__
            if torch.is_tensor(score):
                got = tuple(score.shape)
            raise InputError(f"a target function returns one number an image, ({batch},); {self.classes[0]} gave {got}")
        if not score.is_floating_point():
            raise InputError(
                f"a target function returns floats that have a gradient; {self.classes[0]} gave {score.dtype}"
            )
        return score.reshape(batch, 1)
