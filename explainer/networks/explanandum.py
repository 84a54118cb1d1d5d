"""The frozen classifier that is explained: any network, with its normalisation inside and its classes' names."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from explainer.errors import InputError
from explainer.networks.build import build_network, head, load_state, num_outputs, replace_head
from explainer.networks.checkpoint import part, read_checkpoint, reject_untrusted
from explainer.networks.randomise import randomise
from explainer.networks.taps import find_taps

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Explanandum(nn.Module):
    """A classifier from images in [0, 1] to logits, frozen unless it is being trained.

    Args:
        network: A torchvision model ("vgg16"), a timm model ("timm/resnet18"), the dotted path of a Python callable
            that returns a network, or a checkpoint of this project ("checkpoints/voc_vgg16_classifier.ckpt").
        weights: An enum name ("IMAGENET1K_V1", "DEFAULT"), a local file, or None for a fresh network.
        num_classes: K; None keeps the network's own, or takes the data set's when it is trained here.
        multilabel: True for sigmoids, False for a softmax; None takes the data set's.
        mean: Of the normalisation in front of the network, in [0, 1]; None takes what the network says of itself
            (timm's `default_cfg`), else ImageNet's.
        std: Likewise.
        taps: Dotted names of the layers at the end of each spatial scale; None finds them.
        network_args: Keyword arguments of the callable.
        allow: Packages whose callables a checkpoint may name, besides torchvision, timm and this project.
        randomise_seed: Give every layer random weights, drawn with this seed, in place of those of `weights` or of the
            checkpoint: what an Explainer is trained against to see whether it learns anything from a classifier.

    Example:
        >>> Explanandum("alexnet", num_classes=3)(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 3])
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: str = "vgg16", weights: str | None = None, num_classes: int | None = None,
        multilabel: bool | None = None, mean: Sequence[float] | None = None, std: Sequence[float] | None = None,
        taps: Sequence[str] | None = None, network_args: dict[str, Any] | None = None, allow: Sequence[str] = (),
        randomise_seed: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.classes: tuple[str, ...] = ()
        self.multilabel = multilabel
        self.mode: Literal["eval", "train"] = "eval"
        self.frozen = True
        state = None
        if network.endswith(".ckpt"):
            spec, state = read_checkpoint(network)
            source, inner = network, dict(spec["explanandum"])
            reject_untrusted(inner["network"], network, allow)
            self.classes, self.multilabel = tuple(spec["classes"]), spec["multilabel"] or len(spec["classes"]) == 1
            network, network_args, num_classes = inner["network"], inner["network_args"], len(self.classes)
            mean, std, taps = mean or inner["mean"], std or inner["std"], taps or inner["taps"]
        self.network = build_network(network, weights, network_args)
        if num_classes is not None:
            replace_head(self.network, num_classes)
        self._describe(network, network_args, mean, std, taps)
        if state is not None:
            load_state(self, part(state, "explanandum"), source)
        if randomise_seed is not None:
            randomise(self.network, randomise_seed)
        self.freeze()

    def _describe(
        self, network: str, network_args: dict | None, mean: Sequence[float] | None, std: Sequence[float] | None,
        taps: Sequence[str] | None,
    ) -> None:  # fmt: skip
        config = getattr(self.network, "default_cfg", None) or {}
        mean, std = mean or config.get("mean", IMAGENET_MEAN), std or config.get("std", IMAGENET_STD)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        self._taps = None if taps is None else self._known(taps)
        self.taps_were_named = taps is not None
        self._network_name, self._network_args = network, dict(network_args or {})

    @property
    def spec(self) -> dict[str, Any]:
        """What a checkpoint needs to build this network again: plain values, no weights."""
        return {
            "network": self._network_name, "network_args": self._network_args, "mean": self.mean.flatten().tolist(),
            "std": self.std.flatten().tolist(), "taps": None if self._taps is None else list(self._taps),
        }  # fmt: skip

    @property
    def num_classes(self) -> int:
        """K."""
        return num_outputs(self.network)

    @property
    def mean_colour(self) -> Tensor:
        """(1, 3, 1, 1) in [0, 1]: the colour that is zero at the network's normalised input."""
        return self.mean

    @property
    def taps(self) -> tuple[str, ...]:
        """Dotted names, below `network`, of the layers at the end of each spatial scale, from fine to coarse."""
        if self._taps is None:
            self._taps = find_taps(self.network)
        return self._taps

    def _known(self, taps: Sequence[str]) -> tuple[str, ...]:
        names = {name for name, _ in self.network.named_modules()}
        for tap in taps:
            if tap not in names:
                near = [n for n in names if n.startswith(tap.split(".")[0])] or [n for n in names if n and "." not in n]
                raise InputError(f"no layer {tap!r} to tap; there are {', '.join(sorted(near)[:12])}")
        return tuple(taps)

    def describe_classes(self, classes: Sequence[str], multilabel: bool, *, new_head: bool) -> None:
        """Take the classes of a data set.

        Args:
            classes: K names.
            multilabel: Whether an image may have several.
            new_head: Fit the head to K (for training); else another class count is an error.

        Raises:
            InputError: The classifier's and the data set's classes differ.
        """
        if new_head:
            replace_head(self.network, len(classes))
        elif self.num_classes != len(classes):
            raise InputError(f"the classifier has {self.num_classes} classes, the data set {len(classes)}")
        elif self.classes and self.classes != tuple(classes):
            first = next(i for i, (a, b) in enumerate(zip(self.classes, classes, strict=True)) if a != b)
            raise InputError(
                f"class {first} is {self.classes[first]!r} for the classifier and {classes[first]!r} in the data set"
            )
        self.classes = tuple(classes)
        if self.multilabel is None:
            self.multilabel = multilabel
        if len(self.classes) == 1:
            self.multilabel = True  # one logit: the class is there or not

    def freeze(self, mode: Literal["eval", "train"] = "eval") -> None:
        """No gradients to the weights, and evaluation mode whatever the parent does.

        Args:
            mode: "train" leaves dropout and BatchNorm in train mode, as the published Explainer code did.
        """
        self.frozen, self.mode = True, mode
        self.requires_grad_(False)
        self.train()

    def unfreeze(self, *, head_only: bool = False) -> None:
        """Make it an ordinary trainable network, or only its last layer, with the rest as frozen features."""
        self.frozen, self.mode = head_only, "eval"
        self.requires_grad_(not head_only)
        head(self.network)[1].requires_grad_(True)
        self.train()

    def train(self, mode: bool = True) -> "Explanandum":
        """Follow the parent only while being trained."""
        return super().train(self.mode == "train" if self.frozen else mode)

    def forward(self, image: Tensor) -> Tensor:
        """Logits.

        Args:
            image: (B, 3, H, W) in [0, 1].

        Returns:
            (B, K).
        """
        output = self.network(self.normalised(image))
        return output if torch.is_tensor(output) else output.logits  # Inception and GoogLeNet in train mode

    def normalised(self, image: Tensor) -> Tensor:
        """What the network is fed for images in [0, 1]."""
        return (image - self.mean) / self.std

    def probabilities(self, logits: Tensor) -> Tensor:
        """Sigmoid for a multi-label classifier and for one of a single class, else softmax: (B, K) in [0, 1]."""
        return logits.sigmoid() if self.multilabel or logits.shape[1] == 1 else logits.softmax(1)

    def has_batch_norm(self) -> bool:
        """Whether any layer keeps running statistics."""
        return any(isinstance(m, _BatchNorm) for m in self.network.modules())
