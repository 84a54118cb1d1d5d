"""SMOE Scale and the other activation statistics as saliency maps, for one forward pass and no backward one.

T. N. Mundhenk, B. Y. Chen, G. Friedland: Efficient Saliency Maps for Explainable AI, 2020.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from explainer.attribution.base import Attribution, zero_where_broken
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
        statistic: A function of `explainer.functional.activation_statistics`.
        weights: Of the scales: "equal"; "rule", 1, 2, 3, …; "prior", those of the paper, for five scales; or numbers.
            None takes "prior" for five scales, else "rule".
        rectify: Whether negative activations count as 0. None does so only where the taps were found by itself, as the
            blocks of some networks end without a ReLU, and refuses them at taps that were named.
        batch_size: At most so many images at once.
        fused: On a CPU, SMOE Scale in one read of the activations, by a C++ kernel that is compiled at its first use
            (`explainer.functional.smoe_kernel`); the same maps in a third of the time.
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
        self.statistic, self.weights, self.rectify, self.batch_size = statistic, weights, rectify, batch_size
        self.fused, self.epsilon = fused, epsilon

    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """(B, 1, H, W) in [0, 1]."""
        size = (image.shape[-2], image.shape[-1])
        combined = []
        for some in image.split(self.batch_size):
            maps = self.scales(explanandum, some)
            finite = self._fusible(image) and all(bool(m.isfinite().all()) for m in maps)
            combine = fused.combine if finite else statistics.combine
            combined.append(combine(maps, scale_weights(self.weights, len(maps)), size))
        return torch.cat(combined)

    @torch.no_grad()
    def scales(self, explanandum: Explanandum, image: Tensor) -> list[Tensor]:
        """The statistic at each tap, from fine to coarse: (B, 1, h, w) each."""
        with read_taps(explanandum.network, explanandum.taps, self.statistic.startswith("truncated")) as seen:
            logits = explanandum(image)
        named = explanandum.taps_were_named
        if self._fusible(image) and bool(logits.isfinite().all()):  # the kernel is compiled for finite numbers only
            return [fused_measure(seen[tap], tap, self.rectify, named, self.epsilon) for tap in explanandum.taps]
        return [measure(seen[tap], self.statistic, tap, self.rectify, named, self.epsilon) for tap in explanandum.taps]

    def _fusible(self, image: Tensor) -> bool:
        return self.fused and image.device.type == "cpu"

    def target_mask(self, explanandum: Explanandum, image: Tensor, labels: Tensor, scaled: bool = True) -> Tensor:
        """The map, min-max scaled, whichever the labels; 0 for an image without label."""
        maps = zero_where_broken(self(explanandum, image), torch.arange(len(image), device=image.device))
        return min_max(maps) * labels.any(1)[:, None, None, None]


def measure(
    activation: Tensor,
    statistic: Statistic,
    tap: str,
    rectify: bool | None = None,
    named: bool = False,
    epsilon: float = statistics.EPSILON,
) -> Tensor:
    """A statistic of activations, in float32.

    Args:
        activation: (B, C, h, w).
        statistic: A function of `explainer.functional.activation_statistics`.
        tap: Named in the error.
        rectify: As in `SMOE`.
        named: Whether a person named the tap.
        epsilon: Number that is added before a logarithm; the other statistics have none.

    Returns:
        (B, 1, h, w).

    Raises:
        InputError: Negative activations, where neither the statistic nor `rectify` allows them.

    Example:
        >>> measure(torch.ones(1, 4, 2, 2), "mean", "layer1").unique().item()
        1.0
    """
    activation = activation.float()
    if statistic not in ANY_SIGN and bool((activation.amin() < 0).item()):
        refuse_negative(tap, statistic, rectify, named)
        activation = activation.relu()
    options = {"epsilon": epsilon} if statistic in statistics.LOGARITHMIC else {}
    return getattr(statistics, statistic)(activation, **options)


def fused_measure(
    activation: Tensor, tap: str, rectify: bool | None = None, named: bool = False, epsilon: float = statistics.EPSILON
) -> Tensor:
    """`measure` of SMOE Scale in one read, on a CPU: (B, C, h, w) → (B, 1, h, w)."""
    scale, lowest = fused.smoe_scale(activation.float(), epsilon)
    if lowest < 0:
        refuse_negative(tap, "smoe_scale", rectify, named)
    return scale


def refuse_negative(tap: str, statistic: Statistic, rectify: bool | None, named: bool) -> None:
    """Raise unless negative activations may count as 0; the arguments are those of `measure`."""
    if rectify is False or (rectify is None and named):
        raise InputError(f"tap {tap!r} has negative activations, {statistic} wants none: tap a ReLU, or set rectify")


def scale_weights(weights: Weights | None, count: int) -> Sequence[float]:
    """Numbers for the scales of a network.

    Args:
        weights: As in `SMOE`.
        count: How many scales.

    Returns:
        So many weights.

    Raises:
        InputError: The prior weights, or those given, are for another number of scales.

    Example:
        >>> scale_weights("rule", 3)
        [1.0, 2.0, 3.0]
    """
    weights = weights or ("prior" if count == len(statistics.PRIOR_WEIGHTS) else "rule")
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
