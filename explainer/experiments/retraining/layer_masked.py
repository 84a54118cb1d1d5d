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

KEPT = 0.025
"""Part of the locations that KAR keeps in the paper."""
REMOVED = 0.9
"""Part of the locations that ROAR removes in the paper: it lets the 10 % least salient ones through."""


def location_mask(scores: Tensor, mode: Literal["keep", "remove"], fraction: float, most: bool = True) -> Tensor:
    """Return the mask of the locations that are let through.

    Args:
        scores: Saliency of each location, (B, 1, h, w), higher is more salient.
        mode: "keep" lets only a fraction of the locations through, "remove" all but a fraction.
        fraction: Fraction of the locations, in [0, 1]; at least one location is kept or removed.
        most: Whether the most salient locations are kept or removed, or the least.

    Returns:
        (B, 1, h, w) of 0 and 1, 1 = let through.

    Example:
        >>> location_mask(torch.tensor([[[[3.0, 1.0, 2.0, 0.0]]]]), "remove", 0.25).flatten().tolist()
        [0.0, 1.0, 1.0, 1.0]
    """
    flat = scores.flatten(1)
    count = max(1, round(fraction * flat.shape[1]))
    # by rank, not by a threshold: where many locations are equally salient, just as many are chosen
    chosen = flat.topk(count, largest=most).indices
    inside = torch.zeros_like(flat).scatter_(1, chosen, 1.0).view_as(scores)
    return inside if mode == "keep" else 1 - inside


class LayerMasked(Classifier):
    """A pre-trained classifier, masked at the end of one scale, and fine-tuned from there on.

    Args:
        explanandum: Classifier to mask, usually a checkpoint of this project.
        scale: Number of the tap that is masked, from 1, fine, to the last, coarse.
        statistic: Statistic of the activations there that ranks the locations; "random" ranks them by chance.
        mode: "keep" (KAR) or "remove" (ROAR).
        fraction: Part of the locations that is kept or removed; None takes the paper's, 0.025 kept or 0.9 removed.
        roar_removes: Whether ROAR removes the "most" salient locations, as in the paper, or the "least".
        optimizer: Function from parameters to an optimizer.
        scheduler: Function from an optimizer to a learning-rate scheduler, or None.
        scheduler_interval: Whether the scheduler steps each "epoch" or each "step".
        epsilon: Number that is added to activations before a logarithm.

    Raises:
        InputError: A fraction or an epsilon is out of range, or there is no such scale.
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
            known = [f"{number} ({tap})" for number, tap in enumerate(explanandum.taps, 1)]
            raise InputError(f"LayerMasked: no scale {scale}; the classifier has {', '.join(known)}")
        self.tap = explanandum.taps[scale - 1]
        self.statistic = statistic
        self.mode: Literal["keep", "remove"] = mode
        self.fraction = fraction
        self.epsilon = epsilon
        # KAR always keeps the most salient locations: the least are an experiment of ROAR alone
        self.most = mode == "keep" or roar_removes == "most"
        # a plain list, which nn.Module does not register: its modules would stand in a checkpoint twice
        self._before: list[nn.Module] = []

    def build(self, classes: tuple[str, ...], multilabel: bool) -> None:
        """Freeze all that runs before the mask."""
        super().build(classes, multilabel)
        if not self._before:
            self._before = modules_before(self.explanandum.network, self.tap, self.image_size or 224)
        for module in self._before:
            module.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "LayerMasked":
        """Set the mode of training; what is frozen stays in evaluation mode."""
        super().train(mode)
        # a constructor may call this before there is such a list
        for module in getattr(self, "_before", ()):
            module.eval()
        return self

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of the masked network.

        Args:
            image: Images, (B, 3, H, W) in [0, 1].

        Returns:
            (B, K) logits.
        """
        network = self.explanandum.network
        # statistics of truncated normal distributions are those of values before the rectification
        before_relu = self.statistic.startswith("truncated")
        with read_taps(network, [self.tap], before_relu) as seen:
            # this hook comes after the one that reads, so that the statistic is of activations without the mask
            layer = network.get_submodule(self.tap)
            handle = layer.register_forward_hook(partial(self._mask, seen))
            try:
                return self.explanandum(image)
            finally:
                handle.remove()

    def _mask(self, seen: dict[str, Tensor], module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        """Mask what a layer gives, as a hook of it."""
        if self.statistic == "random":
            scores = torch.rand_like(output[:, :1])
        else:
            values = seen[self.tap].float()
            # the paper's statistics are those of rectified activations, but for the truncated distributions
            if not self.statistic.startswith("truncated"):
                values = values.relu()
            statistic = getattr(statistics, self.statistic)
            if self.statistic in statistics.LOGARITHMIC:
                scores = statistic(values, epsilon=self.epsilon)
            else:
                scores = statistic(values)
        mask = location_mask(scores, self.mode, self.fraction, self.most)
        return output * mask.to(output.dtype)


@torch.no_grad()
def modules_before(network: nn.Module, tap: str, size: int) -> list[nn.Module]:
    """Return the modules with parameters of their own that run before a layer ends.

    Args:
        network: Network to try; it is left as it was.
        tap: Dotted name of the layer.
        size: Side in pixels of the image with which the network is tried.

    Returns:
        The modules, in the order in which they run.

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

    handles = []
    for module in network.modules():
        has_parameters = next(module.parameters(recurse=False), None) is not None
        if has_parameters:
            handles.append(module.register_forward_pre_hook(note))
    last = network.get_submodule(tap)
    handles.append(last.register_forward_hook(lambda *_: reached.append(True)))
    # the order of execution is that of a run: the order of modules in the tree need not be the same
    parameter = next(network.parameters())
    image = torch.zeros(1, 3, size, size, device=parameter.device, dtype=parameter.dtype)
    try:
        with evaluation_mode(network):
            network(image)
    finally:
        for handle in handles:
            handle.remove()
    return before
