"""Captum's methods as ours, and ours as Quantus wants them; for captum itself see for_captum.py."""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from explainer.attribution.base import Attribution, random_state_restored
from explainer.attribution.gradient import Channels, reduce_channels, simple_relu
from explainer.errors import InputError, check_seed
from explainer.networks import Explanandum


class Captum(Attribution):
    """Any method of captum: `{class_path: Captum, init_args: {method: DeepLift}}`.

    Args:
        method: Name of a class of `captum.attr`, or the dotted path of another subclass of captum's `Attribution`.
        arguments: Arguments of its `attribute`, besides inputs and target.
        layer: Dotted name below the explanandum's `network`, for methods that want a layer.
        baseline: Whether the mean colour is handed over as `baselines`.
        channels: Rule by which a pixel's channels become one value.
        seed: Seed of methods that draw.
        batch_size: Largest number of images that go through the classifier at once.

    Raises:
        InputError: There is no such method, or the seed is out of its range.
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
        # late: captum loads libraries of its own, for which other methods do not wait
        from captum.attr import Attribution as CaptumAttribution

        path, _, name = method.rpartition(".")
        module = path or "captum.attr"
        try:
            kind = getattr(importlib.import_module(module), name, None)
        except (ImportError, ValueError) as error:
            raise InputError(f"attribution Captum: cannot import {path!r}: {error}") from error
        if not (isinstance(kind, type) and issubclass(kind, CaptumAttribution)):
            raise InputError(f"attribution Captum: {method!r} is no attribution method of {module}")
        self.method = method
        self.arguments = dict(arguments or {})
        self.layer = layer
        check_seed(f"attribution {type(self).__name__}: seed", seed)
        self.baseline = baseline
        self.channels = channels
        self.seed = seed
        self.batch_size = batch_size
        self._class = kind

    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """Run captum's method batch by batch: (B, 1, H, W); a layer's map is up-sampled bilinearly."""
        layer = [] if self.layer is None else [explanandum.network.get_submodule(self.layer)]
        maps = []
        with (
            random_state_restored(image),
            torch.inference_mode(False),
            torch.enable_grad(),
            simple_relu(explanandum),
        ):
            method = self._class(explanandum, *layer)  # type: ignore[arg-type]
            for images, classes in zip(image.split(self.batch_size), target.split(self.batch_size), strict=True):
                # captum draws from the global generator
                torch.manual_seed(self.seed)
                baselines = {"baselines": explanandum.mean_colour.expand_as(images)} if self.baseline else {}
                inputs = images.detach().clone().requires_grad_()
                values = method.attribute(inputs, target=classes.clone(), **baselines, **self.arguments).detach()
                if values.shape[-2:] != image.shape[-2:]:
                    values = torch.nn.functional.interpolate(values, image.shape[-2:], mode="bilinear")
                maps.append(reduce_channels(values, self.channels).to(image.dtype))
        return torch.cat(maps)


def explain_func(method: Attribution, explanandum: Explanandum) -> Callable[..., np.ndarray]:
    """Make the function that Quantus calls as `metric(…, explain_func=explain_func(RISE(), explanandum))`.

    Quantus copies and randomises the model that it passes; where that is an explanandum, it is the one explained.

    Args:
        method: Method of ours.
        explanandum: Frozen classifier, for the case that Quantus passes a model that is no explanandum.

    Returns:
        A function of model, inputs and targets (arrays or tensors) that returns float32 (N, 1, H, W).
    """

    def explain(model: Any = None, inputs: Any = None, targets: Any = None, **kwargs: Any) -> np.ndarray:
        classifier = model if isinstance(model, Explanandum) else explanandum
        if isinstance(inputs, Sequence):
            inputs = np.asarray(inputs)  # of a list of arrays a tensor is made far faster by way of an array
        image = torch.as_tensor(inputs).float().to(classifier.mean.device)
        return method(classifier, image, targets).float().cpu().numpy()

    return explain
