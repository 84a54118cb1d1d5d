"""SMOE Scale and the other activation statistics as saliency maps, for one forward pass and no backward one.

T. N. Mundhenk, B. Y. Chen, G. Friedland: Efficient Saliency Maps for Explainable AI, 2020.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from explainer.attribution.base import Attribution, CheckedMask, broken_maps, zero_where_broken
from explainer.errors import InputError, check_range
from explainer.functional import activation_statistics as statistics
from explainer.functional import smoe_kernel as fused
from explainer.functional.masking import min_max
from explainer.networks import Explanandum
from explainer.networks.taps import read_taps

Statistic = Literal[
    "smoe_scale",
    "gamma_scale",
    "standard_deviation",
    "mean",
    "shannon_entropy",
    "log_normal_mean",
    "log_normal_entropy",
    "truncated_normal_mean",
    "truncated_normal_std",
    "truncated_normal_entropy",
]
Weights = Literal["equal", "rule", "prior"] | list[float]
ANY_SIGN = ("standard_deviation", "mean", "truncated_normal_mean", "truncated_normal_std", "truncated_normal_entropy")
"""Statistics that negative activations do not trouble."""


class SMOE(Attribution):
    """The combined map (Eq. 3) of a statistic at the end of each spatial scale; the same map whatever the class.

    Args:
        statistic: Name of a function of `explainer.functional.activation_statistics`.
        weights: Weights of the scales: "equal"; "rule" (1, 2, 3, …); "prior", the paper's weights for five scales; or
            numbers. None takes "prior" for five scales, else "rule".
        rectify: Whether negative activations count as 0. None rectifies only at taps that nobody named, since the
            blocks of some networks end without a ReLU; at named taps it refuses negative activations.
        batch_size: Largest number of images that go through the classifier at once.
        fused: Whether SMOE Scale is computed, on a CPU, in one read of the activations, by a C++ kernel that is
            compiled at its first use (`explainer.functional.smoe_kernel`); the same maps in a third of the time.
        epsilon: Number that is added to activations before a logarithm: 1e-6 in the paper, 1e-7 in the public code.

    Raises:
        InputError: `fused` with another statistic, or an epsilon out of range.
    """

    needs_target = False

    def __init__(
        self,
        statistic: Statistic = "smoe_scale",
        weights: Weights | None = None,
        rectify: bool | None = None,
        batch_size: int = 16,
        fused: bool = False,
        epsilon: float = statistics.EPSILON,
    ) -> None:
        check_range("epsilon", epsilon, statistics.SMALLEST_EPSILON, 1)
        if fused and statistic != "smoe_scale":
            raise InputError(f"fused is for smoe_scale alone, not {statistic}")
        self.statistic = statistic
        self.weights = weights
        self.rectify = rectify
        self.batch_size = batch_size
        self.fused = fused
        self.epsilon = epsilon

    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """Combine the scales batch by batch: (B, 1, H, W) in [0, 1]."""
        size = (image.shape[-2], image.shape[-1])
        combined = []
        for images in image.split(self.batch_size):
            maps = self.scales(explanandum, images)
            weights = scale_weights(self.weights, len(maps))
            # the kernel is compiled for finite numbers only
            use_kernel = self._fusible(image) and all(bool(m.isfinite().all()) for m in maps)
            combine = fused.combine if use_kernel else statistics.combine
            combined.append(combine(maps, weights, size))
        return torch.cat(combined)

    @torch.no_grad()
    def scales(self, explanandum: Explanandum, image: Tensor) -> list[Tensor]:
        """Measure the statistic at each tap, from fine to coarse: (B, 1, h, w) each."""
        taps = explanandum.taps
        named = explanandum.taps_were_named
        # truncated-normal statistics are taken before the ReLU, all others after it
        with read_taps(explanandum.network, taps, self.statistic.startswith("truncated")) as activations:
            logits = explanandum(image)
        # the kernel is compiled for finite numbers only; that an activation is broken shows in the logits
        if self._fusible(image) and bool(logits.isfinite().all()):
            return [fused_measure(activations[tap], tap, self.rectify, named, self.epsilon) for tap in taps]
        return [measure(activations[tap], self.statistic, tap, self.rectify, named, self.epsilon) for tap in taps]

    def _fusible(self, image: Tensor) -> bool:
        """Say whether the kernel is wanted and can run where the images are."""
        return self.fused and image.device.type == "cpu"

    def checked_target_mask(
        self,
        explanandum: Explanandum,
        image: Tensor,
        labels: Tensor,
        scaled: bool = True,
    ) -> CheckedMask:
        """Return the map, min-max scaled, whatever the labels; 0 for an image without label."""
        maps = self(explanandum, image)
        labelled = labels.any(1)[:, None, None, None]
        mask = min_max(zero_where_broken(maps)) * labelled
        return CheckedMask(mask, broken_maps(maps))


def measure(
    activation: Tensor,
    statistic: Statistic,
    tap: str,
    rectify: bool | None = None,
    named: bool = False,
    epsilon: float = statistics.EPSILON,
) -> Tensor:
    """Compute a statistic of activations, in float32.

    Args:
        activation: Activations (B, C, h, w).
        statistic: Name of a function of `explainer.functional.activation_statistics`.
        tap: Name of the tap, for the error.
        rectify: Whether negative activations count as 0; None: only if nobody named the tap.
        named: Whether a person named the tap.
        epsilon: Number that is added before a logarithm; statistics without a logarithm ignore it.

    Returns:
        Statistic (B, 1, h, w); higher is more salient.

    Raises:
        InputError: Activations are negative, and neither the statistic nor `rectify` allows that.

    Example:
        >>> measure(torch.ones(1, 4, 2, 2), "mean", "layer1").unique().item()
        1.0
    """
    activation = activation.float()
    if statistic not in ANY_SIGN and bool((activation.amin() < 0).item()):
        refuse_negative(tap, statistic, rectify, named)
        activation = activation.relu()
    function = getattr(statistics, statistic)
    if statistic in statistics.LOGARITHMIC:
        return function(activation, epsilon=epsilon)
    return function(activation)


def fused_measure(
    activation: Tensor,
    tap: str,
    rectify: bool | None = None,
    named: bool = False,
    epsilon: float = statistics.EPSILON,
) -> Tensor:
    """Compute what `measure` does for SMOE Scale, in one read, on a CPU: (B, C, h, w) → (B, 1, h, w)."""
    scale, lowest = fused.smoe_scale(activation.float(), epsilon)
    if lowest < 0:
        refuse_negative(tap, "smoe_scale", rectify, named)
    return scale


def refuse_negative(tap: str, statistic: Statistic, rectify: bool | None, named: bool) -> None:
    """Raise unless negative activations may count as 0; the arguments are those of `measure`."""
    if rectify is False or (rectify is None and named):
        raise InputError(f"tap {tap!r} has negative activations, {statistic} wants none: tap a ReLU, or set rectify")


def scale_weights(weights: Weights | None, count: int) -> Sequence[float]:
    """Return the weights of a network's scales as numbers.

    Args:
        weights: Weights as `SMOE` takes them.
        count: Number of scales.

    Returns:
        One weight a scale.

    Raises:
        InputError: The prior weights, or the numbers, are for another number of scales.

    Example:
        >>> scale_weights("rule", 3)
        [1.0, 2.0, 3.0]
    """
    if not weights:
        # the paper's weights fit its five scales only
        weights = "prior" if count == len(statistics.PRIOR_WEIGHTS) else "rule"
    if weights == "equal":
        return [1.0] * count
    if weights == "rule":
        return [float(k + 1) for k in range(count)]
    numbers = statistics.PRIOR_WEIGHTS if weights == "prior" else weights
    if len(numbers) != count:
        raise InputError(
            f"weights {list(numbers)} are for {len(numbers)} scales, the network has {count}: "
            "choose equal, rule, or a list of as many"
        )
    return [float(w) for w in numbers]
