"""A method of ours with captum's interface.

It is not among the imports of `explainer.attribution`, since captum loads libraries of its own, for which those who do
not ask for it should not wait: `from explainer.attribution.for_captum import ForCaptum`.
"""

from typing import Any

from captum.attr import Attribution as CaptumAttribution
from captum.log import log_usage

from explainer.attribution.base import Attribution
from explainer.errors import InputError
from explainer.networks import Explanandum


class ForCaptum(CaptumAttribution):
    """A method of ours with captum's interface, for captum's metrics and tunnels.

    Args:
        method: Method of ours.
        explanandum: Frozen classifier.

    Example:
        >>> import torch; from explainer.attribution import Random
        >>> ForCaptum(Random(), Explanandum("alexnet")).attribute(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 3, 64, 64])
    """

    def __init__(self, method: Attribution, explanandum: Explanandum) -> None:
        super().__init__(explanandum)
        self.method = method
        self.explanandum = explanandum

    @log_usage(part_of_slo=True)
    def attribute(self, inputs: Any, target: Any = None, **kwargs: Any) -> Any:
        """Compute maps of the inputs' shape, the same in each channel.

        Args:
            inputs: Images (B, 3, H, W), or a tuple of that alone.
            target: Target in any form that our methods take; a bool matrix (B, K) gives a map for each True in row
                order.
            kwargs: Further arguments, of which there are none: hyperparameters belong to the method.

        Returns:
            Maps (B, 3, H, W), in a tuple if the inputs were.

        Raises:
            InputError: There is a further argument, or the target is no class.
        """
        if kwargs:
            raise InputError(f"{type(self.method).__name__} takes {', '.join(kwargs)} in its constructor, if at all")
        # captum's callers hand over a tuple or a tensor, and want back what they gave
        if isinstance(inputs, tuple):
            return (self.attribute(inputs[0], target),)
        maps = self.method(self.explanandum, inputs, target)
        return maps.expand(-1, inputs.shape[1], -1, -1).clone()
