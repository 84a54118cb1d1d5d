"""Other libraries' methods as ours, and ours as theirs: captum both ways, and the `explain_func` of Quantus."""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import captum.attr
import numpy as np
import torch
from captum.log import log_usage
from torch import Tensor

from explainer.attribution.base import Attribution
from explainer.attribution.gradient import Channels, reduce_channels, simple_relu
from explainer.errors import InputError, check_seed
from explainer.networks import Explanandum


class Captum(Attribution):
    """Any method of captum: `{class_path: Captum, init_args: {method: DeepLift}}`.

    Args:
        method: A class of `captum.attr`, or the dotted path of another subclass of captum's `Attribution`.
        arguments: Of its `attribute`, besides inputs and target.
        layer: Dotted name below the explanandum's `network`, for methods that want a layer.
        baseline: Hand the mean colour over as `baselines`.
        channels: How a pixel's channels become one value.
        seed: Of methods that draw.
        batch_size: At most so many images at once.
    """

    def __init__(
        self,
        method: str,
        arguments: dict[str, Any] | None = None,
        layer: str | None = None,
        baseline: bool = False,
        channels: Channels = "sum",
        seed: int = 0,
        batch_size: int = 16,
    ) -> None:
        path, _, name = method.rpartition(".")
        try:
            found = getattr(importlib.import_module(path or "captum.attr"), name, None)
        except (ImportError, ValueError) as error:
            raise InputError(f"attribution Captum: cannot import {path!r}: {error}") from error
        if not (isinstance(found, type) and issubclass(found, captum.attr.Attribution)):
            raise InputError(f"attribution Captum: {method!r} is no attribution method of {path or 'captum.attr'}")
        self.method, self.arguments, self.layer = method, dict(arguments or {}), layer
        check_seed(f"attribution {type(self).__name__}: seed", seed)
        self.baseline, self.channels, self.seed, self.batch_size = baseline, channels, seed, batch_size
        self._class = found

    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """(B, 1, H, W); a layer's map is up-sampled bilinearly."""
        layer = [] if self.layer is None else [explanandum.network.get_submodule(self.layer)]
        found = []
        with (
            torch.random.fork_rng([image.device] if image.is_cuda else []),
            torch.inference_mode(False),
            torch.enable_grad(),
            simple_relu(explanandum),
        ):
            method = self._class(explanandum, *layer)  # type: ignore[arg-type]
            for some, its in zip(image.split(self.batch_size), target.split(self.batch_size), strict=True):
                torch.manual_seed(self.seed)
                extra = {"baselines": explanandum.mean_colour.expand_as(some)} if self.baseline else {}
                inputs = some.detach().clone().requires_grad_()
                values = method.attribute(inputs, target=its.clone(), **extra, **self.arguments).detach()
                if values.shape[-2:] != image.shape[-2:]:
                    values = torch.nn.functional.interpolate(values, image.shape[-2:], mode="bilinear")
                found.append(reduce_channels(values, self.channels).to(image.dtype))
        return torch.cat(found)


class ForCaptum(captum.attr.Attribution):
    """One of our methods, as captum's metrics and tunnels call theirs.

    Args:
        method: The method.
        explanandum: The frozen classifier.

    Example:
        >>> from explainer.attribution import Random
        >>> ForCaptum(Random(), Explanandum("alexnet")).attribute(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 3, 64, 64])
    """

    def __init__(self, method: Attribution, explanandum: Explanandum) -> None:
        super().__init__(explanandum)
        self.method, self.explanandum = method, explanandum

    @log_usage(part_of_slo=True)
    def attribute(self, inputs: Any, target: Any = None, **kwargs: Any) -> Any:
        """Maps of the inputs' shape, the same in each channel.

        Args:
            inputs: (B, 3, H, W), or a tuple of that alone.
            target: As our methods take it; a bool matrix (B, K) gives a map for each True in row order.
            kwargs: There are none; hyperparameters belong to the method.

        Returns:
            (B, 3, H, W), in a tuple if the inputs were.

        Raises:
            InputError: A keyword that the method does not know, or a target that is none.
        """
        if kwargs:
            raise InputError(f"{type(self.method).__name__} takes {', '.join(kwargs)} in its constructor, if at all")
        image = inputs[0] if isinstance(inputs, tuple) else inputs
        maps = self.method(self.explanandum, image, target)
        maps = maps.expand(-1, image.shape[1], -1, -1).clone()
        return (maps,) if isinstance(inputs, tuple) else maps


def explain_func(method: Attribution, explanandum: Explanandum) -> Callable[..., np.ndarray]:
    """What Quantus calls: `metric(model=…, x_batch=…, y_batch=…, explain_func=explain_func(RISE(), explanandum))`.

    Quantus copies and randomises the model that it passes; where that is an explanandum, it is the one explained.

    Args:
        method: One of ours.
        explanandum: The classifier, for models that are none themselves.

    Returns:
        A function of model, inputs and targets (arrays or tensors) that returns float32 (N, 1, H, W).
    """

    def explain(model: Any = None, inputs: Any = None, targets: Any = None, **kwargs: Any) -> np.ndarray:
        judged = model if isinstance(model, Explanandum) else explanandum
        device = judged.mean.device
        image = torch.as_tensor(np.asarray(inputs) if isinstance(inputs, Sequence) else inputs).float().to(device)
        return method(judged, image, targets).float().cpu().numpy()

    return explain
