"""A classifier with a mask inside: ROAR and KAR at the end of one of its scales.

T. N. Mundhenk, B. Y. Chen, G. Friedland: Efficient Saliency Maps for Explainable AI, 2020 (section 3.1, Tables 1, 4).
Weights are pre-trained; all that comes after the mask is fine-tuned. KAR lets the 2.5 % most salient locations through.
"We computed the ROAR statistic for the 10% least salient pixels": ROAR lets those through, and removes the 90 % most
salient ones. The random row of Table 4 shows it: with a tenth of the locations kept it is at 66 to 73 % on ImageNet,
with a tenth removed it would be at the whole network's 76 %. Another fraction, and the removal of the least salient
locations, are other experiments, which the arguments offer.
"""

from functools import partial
from typing import Any, Literal

import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from explainer.errors import InputError, check_range
from explainer.functional import activation_statistics as statistics
from explainer.networks import Explanandum
from explainer.networks.modes import evaluation_mode
from explainer.networks.taps import read_taps
from explainer.training.modules.classifier import Classifier

MaskStatistic = Literal[
    "random",
    "smoe_scale",
    "standard_deviation",
    "mean",
    "shannon_entropy",
    "log_normal_mean",
    "log_normal_entropy",
    "truncated_normal_mean",
    "truncated_normal_std",
    "truncated_normal_entropy",
]

KEPT, REMOVED = 0.025, 0.9
"""Parts of the locations that KAR keeps and ROAR removes in the paper: ROAR lets the 10 % least salient through."""


def location_mask(scores: Tensor, mode: Literal["keep", "remove"], fraction: float, most: bool = True) -> Tensor:
    """Which locations are let through.

    Args:
        scores: (B, 1, h, w), higher is more salient.
        mode: "keep" lets only a fraction of the locations through, "remove" all but a fraction.
        fraction: In [0, 1]; at least one location is kept or removed.
        most: Whether it is the most salient ones that are kept or removed, or the least.

    Returns:
        (B, 1, h, w) of 0 and 1.

    Example:
        >>> location_mask(torch.tensor([[[[3.0, 1.0, 2.0, 0.0]]]]), "remove", 0.25).flatten().tolist()
        [0.0, 1.0, 1.0, 1.0]
    """
    flat = scores.flatten(1)
    count = max(1, round(fraction * flat.shape[1]))
    chosen = flat.topk(count, largest=most).indices
    inside = torch.zeros_like(flat).scatter_(1, chosen, 1.0).view_as(scores)
    return inside if mode == "keep" else 1 - inside


class LayerMasked(Classifier):
    """A pre-trained classifier, masked at the end of one scale, and fine-tuned from there on.

    Args:
        explanandum: Usually a checkpoint of this project.
        scale: Which of its taps is masked, from 1, fine, to the last, coarse.
        statistic: Of the activations there; or "random".
        mode: "keep" (KAR) or "remove" (ROAR).
        fraction: Part of the locations that is kept or removed; None takes the paper's, 0.025 kept or 0.9 removed.
        roar_removes: Whether ROAR removes the "most" salient locations, as in the paper, or the "least".
        optimizer: From parameters to an optimizer.
        scheduler: From an optimizer to a learning-rate scheduler, or None.
        scheduler_interval: Whether the scheduler steps each "epoch" or each "step".
        epsilon: Number that is added to activations before a logarithm.

    Raises:
        InputError: A fraction or an epsilon out of range, or no such scale.
    """

    kind = "layer_masked"

    def __init__(
        self,
        explanandum: Explanandum,
        scale: int,
        statistic: MaskStatistic = "smoe_scale",
        mode: Literal["keep", "remove"] = "keep",
        fraction: float | None = None,
        roar_removes: Literal["most", "least"] = "most",
        optimizer: OptimizerCallable = torch.optim.Adam,
        scheduler: LRSchedulerCallable | None = None,
        scheduler_interval: Literal["epoch", "step"] = "epoch",
        epsilon: float = statistics.EPSILON,
    ) -> None:
        super().__init__(explanandum, optimizer, scheduler, scheduler_interval)
        check_range("LayerMasked: epsilon", epsilon, statistics.SMALLEST_EPSILON, 1)
        if fraction is None:
            fraction = KEPT if mode == "keep" else REMOVED
        if not 0 <= fraction <= 1:
            raise InputError(f"LayerMasked: fraction must lie in [0, 1], got {fraction}")
        if not 1 <= scale <= len(explanandum.taps):
            known = ", ".join(f"{i} ({tap})" for i, tap in enumerate(explanandum.taps, 1))
            raise InputError(f"LayerMasked: no scale {scale}; the classifier has {known}")
        self.tap, self.statistic, self.mode, self.fraction = explanandum.taps[scale - 1], statistic, mode, fraction
        self.epsilon = epsilon
        self.most = mode == "keep" or roar_removes == "most"
        self._before: list[nn.Module] = []

    def build(self, classes: tuple[str, ...], multilabel: bool) -> None:
        """Freeze all that runs before the mask."""
        super().build(classes, multilabel)
        if not self._before:
            self._before = modules_before(self.explanandum.network, self.tap, self.image_size or 224)
        for module in self._before:
            module.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "LayerMasked":
        """What is frozen stays in evaluation mode."""
        super().train(mode)
        for module in getattr(self, "_before", ()):
            module.eval()
        return self

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] → logits (B, K) of the masked network."""
        network = self.explanandum.network
        with read_taps(network, [self.tap], self.statistic.startswith("truncated")) as seen:
            handle = network.get_submodule(self.tap).register_forward_hook(partial(self._mask, seen))
            try:
                return self.explanandum(image)
            finally:
                handle.remove()

    def _mask(self, seen: dict[str, Tensor], module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        if self.statistic == "random":
            scores = torch.rand_like(output[:, :1])
        else:
            values = seen[self.tap].float()
            if not self.statistic.startswith("truncated"):
                values = values.relu()
            options = {"epsilon": self.epsilon} if self.statistic in statistics.LOGARITHMIC else {}
            scores = getattr(statistics, self.statistic)(values, **options)
        return output * location_mask(scores, self.mode, self.fraction, self.most).to(output.dtype)


@torch.no_grad()
def modules_before(network: nn.Module, tap: str, size: int) -> list[nn.Module]:
    """Modules with parameters of their own that run no later than a layer ends.

    Args:
        network: Left as it was found.
        tap: Dotted name of the layer.
        size: Side of the image that is tried.

    Returns:
        In the order in which they run.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1))
        >>> modules_before(network, "1", 8)
        [Conv2d(3, 4, kernel_size=(1, 1), stride=(1, 1))]
    """
    before: list[nn.Module] = []
    reached: list[bool] = []

    def note(module: nn.Module, inputs: Any) -> None:
        if not reached and module not in before:
            before.append(module)

    own = [m for m in network.modules() if next(m.parameters(recurse=False), None) is not None]
    handles = [module.register_forward_pre_hook(note) for module in own]
    handles.append(network.get_submodule(tap).register_forward_hook(lambda *_: reached.append(True)))
    parameter = next(network.parameters())
    try:
        with evaluation_mode(network):
            network(torch.zeros(1, 3, size, size, device=parameter.device, dtype=parameter.dtype))
    finally:
        for handle in handles:
            handle.remove()
    return before
