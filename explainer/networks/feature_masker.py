"""An Explainer's network that reads the classifier: a light decoder on the frozen explanandum's own layers.

Where the DeepLabV3 of S. Stalder et al. (What You See is What You Classify, NeurIPS 2022) looks at the image with a
backbone of its own, this one sees what the explanandum saw: a feature pyramid (T.-Y. Lin et al., Feature Pyramid
Networks for Object Detection, CVPR 2017) on its target layers. Where the classifier's head is a linear layer on the
mean of a layer, the head's answer at each place of that layer is the first guess of the masks (B. Zhou et al., Learning
Deep Features for Discriminative Localization, CVPR 2016), and the decoder learns what is to be changed in it.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explainer.errors import InputError, check_range
from explainer.networks.description import Reader
from explainer.networks.explanandum import Explanandum
from explainer.networks.layout import channels_last
from explainer.networks.mask_network import MaskNetwork
from explainer.networks.modes import evaluation_mode
from explainer.networks.taps import read_taps

_GROUPS = 8
"""Groups of each GroupNorm, which unlike BatchNorm does not mix the images of a batch."""
_MEAN_IS_CLOSE = 1e-4
"""Relative difference up to which a layer's mean is what the head reads: a fused kernel may round otherwise."""
_EXAMPLE_SIDE = 224


class FeatureMasker(MaskNetwork):
    """A decoder of class masks on the explanandum's target layers; `attach` names the explanandum.

    Args:
        width: Channels of the decoder, a multiple of 8.
        scales: Number of target layers that are read, the coarsest ones.
        depth: Convolutions after each merge of two scales.

    Raises:
        InputError: A hyperparameter is out of range.

    Example:
        >>> explanandum = Explanandum("resnet18", num_classes=5, multilabel=True)
        >>> masker = FeatureMasker(width=16); masker.attach(explanandum); masker.build(5)
        >>> masker(torch.rand(1, 3, 40, 64)).shape
        torch.Size([1, 5, 40, 64])
    """

    def __init__(self, width: int = 64, scales: int = 4, depth: int = 1) -> None:
        super().__init__()
        check_range("FeatureMasker: width", width, _GROUPS)
        check_range("FeatureMasker: scales", scales, 1)
        check_range("FeatureMasker: depth", depth, 0)
        if width % _GROUPS:
            raise InputError(f"FeatureMasker: width must be a multiple of {_GROUPS}, got {width}")
        self.width = width
        self.scales = scales
        self.depth = depth
        self.network: Decoder | None = None
        self._evidence: str | None = None

    @property
    def spec(self) -> Reader:
        """Constructor arguments that a checkpoint keeps, beside its explanandum."""
        return {"width": self.width, "scales": self.scales, "depth": self.depth}

    @property
    def encoder_network(self) -> None:
        """None: the classifier looks at the image, and is not trained."""

    def normalised(self, image: Tensor) -> Tensor:
        """Normalise images in [0, 1] as the classifier does, which looks at them."""
        return self.explanandum.normalised(image)

    def build(self, num_classes: int) -> None:
        """Make the decoder for `num_classes` masks; a second call changes nothing.

        Raises:
            InputError: The explanandum has no layers that can be read.
        """
        if self.network is not None:
            return
        shape = (1, self.explanandum.channels, _EXAMPLE_SIDE, _EXAMPLE_SIDE)
        # a ramp, not a constant image, so that a layer's values differ from place to place
        example = torch.linspace(0, 1, math.prod(shape), device=self.explanandum.mean.device).view(shape)
        with torch.no_grad(), evaluation_mode(self.explanandum):
            self._evidence = averaged_layer(self.explanandum, example)
            channels = [layer.shape[1] for layer in self._read(example)[1]]
        self.network = Decoder(channels, self.width, num_classes, self.depth, self._evidence is not None)
        channels_last(self.network)

    def forward(self, image: Tensor, only: Tensor | None = None) -> Tensor:
        """Return mask logits (B, K, H, W), or (B, 1, H, W) of one class an image."""
        return self.with_logits(image, only)[1]

    def with_logits(self, image: Tensor, only: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the classifier's logits and the mask logits, in one pass through the classifier.

        Args:
            image: Images (B, 3, H, W) in [0, 1].
            only: Class (B,) of each image, where no other mask is wanted.

        Returns:
            The explanandum's logits (B, K), and mask logits as `forward` gives them.
        """
        logits, masks = self._decode(image, only)
        return logits, F.interpolate(masks, image.shape[-2:], mode="bilinear", align_corners=False)

    def coarse(self, image: Tensor, only: Tensor | None = None) -> Tensor:
        """Return mask logits of the size of the finest layer that is read, (B, K, h, w)."""
        return self._decode(image, only)[1]

    def coarse_with_logits(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the classifier's logits (B, K), and mask logits as `coarse` gives them, in one pass."""
        return self._decode(image, None)

    def _decode(self, image: Tensor, only: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the classifier's logits, and mask logits of the finest layer's size."""
        if self.network is None:
            raise RuntimeError("call build(num_classes) first")
        with torch.no_grad(), evaluation_mode(self.explanandum):
            logits, layers, evidence = self._read(image)
        masks = self.network(layers, evidence)
        if only is not None:
            rows = torch.arange(len(masks), device=masks.device)
            masks = masks[rows, only.expand(len(masks))][:, None]
        return logits, masks

    def _apply(self, fn: Any, recurse: bool = True) -> "FeatureMasker":
        """Move to a device or to a precision, together with the classifier that is read."""
        super()._apply(fn, recurse)
        for explanandum in self._explanandum:
            explanandum._apply(fn, recurse)
        return self

    def _read(self, image: Tensor) -> tuple[Tensor, list[Tensor], Tensor | None]:
        """Return the classifier's logits, its layers from fine to coarse, and the head's answer at each place."""
        explanandum = self.explanandum
        taps = explanandum.taps[-self.scales :]
        names = set(taps)
        if self._evidence is not None:
            names.add(self._evidence)
        with read_taps(explanandum.network, sorted(names)) as activations:
            logits = explanandum(image).float()
        layers = [activations[tap].detach().float() for tap in taps]
        for tap, layer in zip(taps, layers, strict=True):
            if layer.ndim != 4:
                raise InputError(f"FeatureMasker: the layer {tap} gives {tuple(layer.shape)}, not (B, C, h, w)")
        if self._evidence is None:
            return logits, layers, None
        (_, head), *_ = explanandum.heads
        averaged = activations[self._evidence].float()
        evidence = evidence_at(averaged, head, bool(explanandum.multilabel))
        return logits, layers, evidence


def evidence_at(features: Tensor, head: Any, multilabel: bool) -> Tensor:
    """Return the head's answer at each place of the layer whose mean it reads.

    Args:
        features: Activation (B, C, h, w) of that layer.
        head: Linear layer, or 1×1 convolution, from C to K channels.
        multilabel: Whether its logits go into sigmoids; else a softmax over the classes.

    Returns:
        (B, K, h, w): the logit, or the logarithm of the softmax, of each class at each place.

    Example:
        >>> evidence_at(torch.ones(1, 2, 3, 3), nn.Linear(2, 5), True).shape
        torch.Size([1, 5, 3, 3])
    """
    weight = head.weight.detach().float().flatten(1)
    bias = None
    if head.bias is not None:
        bias = head.bias.detach().float()
    answer = F.conv2d(features, weight[:, :, None, None], bias)
    if multilabel or len(weight) == 1:
        return answer
    return answer.log_softmax(1)


def averaged_layer(explanandum: Explanandum, example: Tensor) -> str | None:
    """Find the layer whose mean over all places is what the classifier's head reads.

    Args:
        explanandum: Classifier of any kind.
        example: Images (B, 3, H, W) in [0, 1] that are sent through it.

    Returns:
        Its dotted name below the network; None where there are several heads, or other layers in between.

    Example:
        >>> averaged_layer(Explanandum("resnet18", num_classes=2), torch.rand(1, 3, 64, 64))
        'layer4'
    """
    heads = explanandum.heads
    if len(heads) != 1:
        return None
    (_, head), *_ = heads
    with _inputs_of(head) as inputs, _outputs_of(explanandum.network) as outputs:
        explanandum(example)
    if not inputs:
        return None
    wanted = inputs[0].flatten(1)
    tolerance = _MEAN_IS_CLOSE * wanted.abs().amax().clamp_min(1e-6)
    # from the last layer back: a block gives the same values as its last layer, and ends after it
    for name, output in reversed(outputs.items()):
        if output.ndim != 4 or output.shape[-1] == 1 or output.shape[1] != wanted.shape[1]:
            continue
        mean = output.float().mean((2, 3))
        if mean.shape != wanted.shape:
            continue
        difference = (mean - wanted).abs()
        if bool(difference.amax() <= tolerance):
            return name
    return None


@contextmanager
def _inputs_of(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Keep, while open, what a layer is fed in each forward pass."""
    inputs: list[Tensor] = []

    def keep(layer: nn.Module, given: Any) -> None:
        inputs.append(given[0].detach().float())

    handle = layer.register_forward_pre_hook(keep)
    try:
        yield inputs
    finally:
        handle.remove()


@contextmanager
def _outputs_of(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Keep, while open, every layer's output under its name, in the order in which the layers ran last."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(layer: nn.Module, given: Any, output: Any) -> None:
            if torch.is_tensor(output):
                outputs.pop(name, None)  # a layer that runs again moves to the end
                outputs[name] = output.detach()

        return hook

    handles = []
    for name, module in network.named_modules():
        if name:  # the network itself has none
            handles.append(module.register_forward_hook(keep(name)))
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


class Decoder(nn.Module):
    """A feature pyramid: from coarse to fine, each scale is added to what came from the coarser ones.

    Args:
        channels: Channels of the layers, from fine to coarse.
        width: Channels in the decoder.
        num_classes: Number K of classes.
        depth: Convolutions after each merge.
        guided: Whether a first guess of the masks is given, which the decoder changes.
    """

    def __init__(self, channels: list[int], width: int, num_classes: int, depth: int, guided: bool) -> None:
        super().__init__()
        self.lateral = nn.ModuleList()
        for count in channels:
            self.lateral.append(nn.Sequential(nn.Conv2d(count, width, 1), nn.GroupNorm(_GROUPS, width)))
        # the weights of all these are drawn before those of the next: a seed means the same decoder as ever
        self.merge = nn.ModuleList()
        for _ in channels:
            blocks = [Block(width) for _ in range(depth)]
            self.merge.append(nn.Sequential(nn.SiLU(), *blocks))
        self.head = nn.Conv2d(width, num_classes, 1)
        self.gain: nn.Parameter | None = None
        if guided:
            # the untrained decoder adds nothing: training begins from the head's own answer, at half its strength
            self.gain = nn.Parameter(torch.tensor(0.5))
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, layers: list[Tensor], evidence: Tensor | None) -> Tensor:
        """Return mask logits (B, K, h, w) of the finest layer's size."""
        state: Tensor | None = None
        for layer, lateral, merge in zip(reversed(layers), reversed(self.lateral), reversed(self.merge), strict=True):
            scale = lateral(layer)
            if state is not None:
                coarser = F.interpolate(state, scale.shape[-2:], mode="bilinear", align_corners=False)
                scale = scale + coarser
            state = merge(scale)
        assert state is not None
        masks = self.head(state)
        if evidence is None or self.gain is None:
            return masks
        guess = F.interpolate(evidence, masks.shape[-2:], mode="bilinear", align_corners=False)
        return masks + self.gain * guess


class Block(nn.Module):
    """A depthwise and a pointwise convolution beside the identity.

    Args:
        width: Channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, groups=width),
            nn.GroupNorm(_GROUPS, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 1),
        )

    def forward(self, state: Tensor) -> Tensor:
        """Turn features (B, width, h, w) into others of the same shape."""
        return state + self.layers(state)
