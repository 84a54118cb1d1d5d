"""Remember what does not depend on the map: it is asked once for the images, and not again for every method."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class Memory:
    """The last answer, and what it was the answer to.

    One is enough: an evaluation takes a batch, and all methods on it, before the next batch.

    Example:
        >>> memory = Memory()
        >>> image = torch.rand(3, 4, 4)
        >>> first = memory.of([image], lambda: image.sum())
        >>> memory.of([image.clone()], lambda: image.sum()) is first
        True
    """

    def __init__(self) -> None:
        self._keys: list[Tensor] = []
        self._answer: Tensor | None = None

    def of(self, keys: Sequence[Tensor], compute: Callable[[], Tensor]) -> Tensor:
        """Return the answer, computed anew where any key is not the last one's.

        Args:
            keys: Everything that the answer depends on. A classifier and an in-fill are told by what they answer to a
                few of the pictures: they are functions, of which nobody can say whether they are the same.
            compute: Function that computes the answer.

        Returns:
            Answer, to be left as it is: it is handed out again.
        """
        if self._answer is None or not self._same(keys):
            self._answer = compute()
            # copies: what the caller does with its tensors later must not change what is remembered
            self._keys = [key.clone() for key in keys]
        return self._answer

    def _same(self, keys: Sequence[Tensor]) -> bool:
        """Say whether these are the last keys, to the bit."""
        if len(keys) != len(self._keys):
            return False
        return all(_equal(key, last) for key, last in zip(keys, self._keys, strict=True))


def _equal(one: Tensor, other: Tensor) -> bool:
    """Say whether two tensors are the same in type, device, shape and values; tensors with NaN never are."""
    alike = one.dtype == other.dtype and one.device == other.device and one.shape == other.shape
    return alike and torch.equal(one, other)
