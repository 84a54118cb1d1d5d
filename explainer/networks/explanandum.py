"""The frozen classifier that is explained: any network, with its normalisation inside and its classes' names."""

import copy
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from explainer.errors import InputError, one_line
from explainer.networks.build import build_network
from explainer.networks.checkpoint import is_checkpoint, part, read_classifier
from explainer.networks.description import Arguments, Network, check_colours
from explainer.networks.heads import Layer, heads, named, replace_head, width
from explainer.networks.layout import channels_last
from explainer.networks.lite_names import is_packaged, timm_names
from explainer.networks.loading import load_state
from explainer.networks.outputs import logits_of
from explainer.networks.randomise import randomise
from explainer.networks.taps import find_taps
from explainer.networks.trust import LIVE, OWN, bounded

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Explanandum(nn.Module):
    """A classifier from images in [0, 1] to logits, frozen unless it is being trained.

    Args:
        network: Name of a torchvision model ("vgg16") or a timm model ("timm/resnet18"), dotted path of a Python
            callable that returns a network, or a checkpoint of this project ("checkpoints/voc_vgg16_classifier.ckpt").
            Also a network itself, which stays as it is: the explanandum has modules of its own around the same
            weights, and so follows it when it is trained.
        weights: Name in the library's enum ("IMAGENET1K_V1", "DEFAULT"), a local file, or None for a fresh network.
        num_classes: Number K of classes; None keeps the network's own, or takes the data set's when it is trained here.
        multilabel: True for sigmoids, False for a softmax; None takes the data set's.
        mean: Mean colour of the normalisation in front of the network, three numbers in [0, 1]; None takes what the
            network says of itself (timm's `default_cfg`), else ImageNet's. A network that is given itself, and is not
            torchvision's, gets a warning then.
        std: Standard deviation of that normalisation, three numbers above 0; None as for `mean`.
        taps: Dotted names of the layers at the end of each spatial scale; None finds them.
        network_args: Keyword arguments of the callable.
        allow: Dotted names of builders, modules or packages that a checkpoint may name, besides the classifiers of
            torchvision, of timm and of this project.
        randomise_seed: Seed of random weights that every layer gets in place of those of `weights` or of the
            checkpoint; None keeps them. An Explainer trained against random weights shows what it learns without any
            classifier.
        head: Dotted names of the layers that give the class scores; None finds them.

    Raises:
        InputError: An argument is unknown or not trusted, or two of them do not fit together.

    Example:
        >>> Explanandum("alexnet", num_classes=3)(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 3])
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: str = "vgg16",
        weights: str | None = None,
        num_classes: int | None = None,
        multilabel: bool | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        taps: Sequence[str] | None = None,
        network_args: Arguments | None = None,
        allow: Sequence[str] = (),
        randomise_seed: int | None = None,
        head: str | Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.classes: tuple[str, ...] = ()
        self.multilabel = multilabel
        self.mode: Literal["eval", "train"] = "eval"
        self.frozen = True
        self._parts: tuple[str, ...] = ()
        if num_classes is not None and num_classes < 1:
            raise InputError(f"num_classes must be at least 1, got {num_classes}")
        self._head: tuple[str, ...] | None = None
        if head is not None:
            self._head = (head,) if isinstance(head, str) else tuple(head)
        if isinstance(network, nn.Module):
            if weights is not None:
                raise InputError(
                    f"weights {weights!r} cannot go into a network that is given itself: load them into it"
                )
            self._take(network, mean, std, taps, num_classes)
        elif is_checkpoint(network):
            if weights is not None:
                raise InputError(f"weights {weights!r} cannot go into the checkpoint {network}, which has its own")
            self._restore(network, mean, std, taps, allow)
        else:
            self.network = build_network(network, weights, network_args)
            self._describe(network, network_args, mean, std, taps)
            if num_classes is not None:
                self._fit(num_classes)
        if randomise_seed is not None:
            randomise(self.network, randomise_seed)
        if not isinstance(network, nn.Module):
            # shared weights stay where they lie
            channels_last(self.network)
        self.freeze()

    def _take(
        self,
        network: nn.Module,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        taps: Sequence[str] | None,
        num_classes: int | None,
    ) -> None:
        """Take a network that is there already, without changing it."""
        self.network = shared(network)
        kind = type(network)
        described = getattr(network, "default_cfg", None) or kind.__module__.startswith("torchvision.models.")
        if mean is None and std is None and not described:
            warnings.warn(
                f"{kind.__name__} does not say how its images are normalised: ImageNet's mean and standard deviation "
                "are taken; give mean and std if they are others (mean 0 and std 1 for images in [0, 1])",
                stacklevel=3,
            )
        self._describe(f"{LIVE}{kind.__module__}.{kind.__qualname__}", None, mean, std, taps)
        if num_classes is not None:
            self._fit(num_classes)

    def _restore(
        self,
        path: str,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        taps: Sequence[str] | None,
        allow: Sequence[str],
    ) -> None:
        """Build the classifier of a checkpoint; an argument of the caller goes before what the checkpoint says."""
        spec, state = read_classifier(path, allow)
        inner = spec["explanandum"]
        weights = part(state, "network")
        if is_packaged(weights):  # earlier versions built the package's own network
            inner = {**inner, "taps": None, "head": None}
            state = state | {f"network.{key}": value for key, value in timm_names(weights).items()}
            state = {key: value for key, value in state.items() if not key.startswith("network._")}
        name = inner["network"]
        arguments = inner["network_args"]
        self.classes = tuple(spec["classes"])
        self.multilabel = spec["multilabel"]
        saved_head = inner.get("head")
        if not self._head and saved_head:
            self._head = tuple(saved_head)
        # the weights of the checkpoint bound what its description may make this process build
        with bounded(state, path):
            self.network = build_network(name, None, {**arguments, **OWN.get(name, {})})
            self._describe(name, arguments, mean or inner["mean"], std or inner["std"], taps or inner["taps"])
            self._fit(len(self.classes), spec["image_size"])
        load_state(self, state, path)

    def _describe(
        self,
        network: str,
        network_args: Arguments | None,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        taps: Sequence[str] | None,
    ) -> None:
        """Take over the normalisation, the target layers and the name; they go into checkpoints."""
        config = getattr(self.network, "default_cfg", None) or {}
        mean = mean or config.get("mean", IMAGENET_MEAN)
        std = std or config.get("std", IMAGENET_STD)
        check_colours(mean, std)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        self._taps = None  # found when they are asked for: that costs a forward pass
        self.taps_were_named = taps is not None
        if taps is not None:
            self._taps = self._known(taps)
        self._network_name = network
        self._network_args = dict(network_args or {})

    @property
    def spec(self) -> Network:
        """Plain values from which a checkpoint builds this network again, without weights."""
        # found layers are found again: a later version may find better ones
        taps = list(self._taps) if self._taps and self.taps_were_named else None
        described: Network = {
            "network": self._network_name,
            "network_args": self._network_args,
            "mean": self.mean.flatten().tolist(),
            "std": self.std.flatten().tolist(),
            "taps": taps,
        }
        if self._head is not None:
            described["head"] = list(self._head)
        return described

    @property
    def heads(self) -> list[tuple[str, Layer]]:
        """Names, below `network`, and layers that give the class scores: one, or several that are combined."""
        return heads(self.network) if self._head is None else named(self.network, self._head)

    @property
    def num_classes(self) -> int:
        """Number K of classes that the head scores."""
        return width(self.heads[0][1])

    def _fit(self, num_classes: int, size: int | None = None) -> None:
        replace_head(self.network, num_classes, self._head, size)

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

    def _known(self, taps: Sequence[str], purpose: str = "tap") -> tuple[str, ...]:
        names = {name for name, _ in self.network.named_modules()}
        if isinstance(taps, str) or not all(isinstance(tap, str) for tap in taps):
            raise InputError(f"taps must be a list of layers' names, got {str(taps)[:100]}")
        for tap in taps:
            if tap not in names:
                block = tap.split(".")[0]
                near = [name for name in names if name.startswith(block)]
                outermost = [name for name in names if name and "." not in name]
                known = ", ".join(sorted(near or outermost)[:12])
                raise InputError(f"no layer {tap!r} to {purpose}; there are {known}")
        return tuple(taps)

    def describe_classes(self, classes: Sequence[str], multilabel: bool, *, new_head: bool) -> None:
        """Take the classes of a data set.

        Args:
            classes: Names of the K classes.
            multilabel: Whether an image may have several classes.
            new_head: Whether the head is made to fit K (for training); else another class count is an error.

        Raises:
            InputError: The classifier's and the data set's classes differ, or two classes have one name.
        """
        twice = next((name for name, count in Counter(classes).items() if count > 1), None)
        if twice is not None:
            raise InputError(f"two classes of the data set have the name {twice!r}: give each a name of its own")
        if new_head:
            self._fit(len(classes))
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
        """Take the gradients from the weights, and keep the evaluation mode whatever the parent does.

        Args:
            mode: Mode that is kept; "train" leaves dropout and BatchNorm active, as the published Explainer code did.
        """
        self.frozen = True
        self.mode = mode
        self._parts = ()
        self.requires_grad_(False)
        self.train()

    def unfreeze(self, *, head_only: bool = False, parts: Sequence[str] = ()) -> None:
        """Make the network trainable, or only some of its layers, with the rest as frozen features.

        Args:
            head_only: Whether the heads alone are trained, with all of the network in evaluation mode.
            parts: Dotted names, below `network`, of the layers to train, which are in train mode (dropout acts); the
                rest stays in evaluation mode. An empty list trains all layers.

        Raises:
            InputError: There is no such layer.
        """
        self.frozen = head_only or bool(parts)
        self.mode = "eval"
        self._parts = self._known(parts, "train")
        self.requires_grad_(not self.frozen)
        if head_only:
            for _, layer in self.heads:
                layer.requires_grad_(True)
        for name in self._parts:
            self.network.get_submodule(name).requires_grad_(True)
        self.train()

    def train(self, mode: bool = True) -> "Explanandum":
        """Follow the parent's mode only while being trained."""
        whole = mode
        if self.frozen:
            whole = self.mode == "train"
        super().train(whole)
        # the layers that alone are trained follow the parent, although the rest does not
        for name in self._parts:
            self.network.get_submodule(name).train(mode)
        return self

    def start_afresh(self, parts: Sequence[str]) -> None:
        """Give layers new random weights, as PyTorch draws them for a new layer.

        Args:
            parts: Dotted names, below `network`, of the layers; the layers inside them are drawn anew too.

        Raises:
            InputError: There is no such layer.
        """
        for name in self._known(parts, "draw anew"):
            for layer in self.network.get_submodule(name).modules():
                draw = getattr(layer, "reset_parameters", None)
                if draw is not None:
                    draw()

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of images.

        Args:
            image: Images (B, 3, H, W) in [0, 1].

        Returns:
            (B, K); float32 where the network computes in half precision.

        Raises:
            InputError: The network returns something that holds no logits.
        """
        normalised = self.normalised(image)
        precision = next((parameter.dtype for parameter in self.network.parameters()), normalised.dtype)
        half = precision in (torch.float16, torch.bfloat16)
        if half:
            normalised = normalised.to(precision)
        logits = self._logits(self.network(normalised))
        # losses of the masks are differences of these, which half precision would round away
        return logits.float() if half else logits

    def _logits(self, output: Any) -> Tensor:
        """Find the logits (B, K) in what the network returned."""
        # the common case first: finding the number of classes may cost a forward pass
        if torch.is_tensor(output) and output.ndim == 2:
            return output
        num_classes = None
        if isinstance(output, tuple | list) and not hasattr(output, "logits"):
            num_classes = self.num_classes
        return logits_of(output, self._network_name, num_classes)

    def normalised(self, image: Tensor) -> Tensor:
        """Turn images in [0, 1] into what the network is fed."""
        return (image - self.mean) / self.std

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return class probabilities (B, K): sigmoids of a multi-label or one-class classifier, else a softmax."""
        if self.multilabel or logits.shape[1] == 1:
            return logits.sigmoid()
        return logits.softmax(1)

    def decided(self, logits: Tensor, threshold: float = 0.5) -> Tensor:
        """Return the classes that the classifier decides for.

        Args:
            logits: Logits (B, K).
            threshold: Probability from which a class of a multi-label classifier counts. A classifier with a softmax
                decides for the most probable class, whatever the threshold.

        Returns:
            (B, K) float of 0 and 1; all 0 where no class of a multi-label classifier reaches the threshold.
        """
        probabilities = self.probabilities(logits)
        if self.multilabel or logits.shape[1] == 1:
            return (probabilities >= threshold).float()
        return torch.zeros_like(probabilities).scatter_(1, probabilities.argmax(1, keepdim=True), 1.0)


def shared(network: nn.Module) -> nn.Module:
    """Copy the modules of a network around the same weights.

    The copy can be frozen, be in evaluation mode and have hooks, while the network is trained: a step of an optimizer
    changes the weights in place, and so those of the copy.

    Args:
        network: Network of any kind; left as it was.

    Raises:
        InputError: The network holds something that cannot be copied.

    Example:
        >>> layer = nn.Linear(1, 1)
        >>> copied = shared(layer)
        >>> copied.weight.data_ptr() == layer.weight.data_ptr(), copied is layer
        (True, False)
    """
    same: dict[int, Any] = {id(weight): nn.Parameter(weight.detach(), False) for weight in network.parameters()}
    same |= {id(buffer): buffer for buffer in network.buffers()}
    try:
        return copy.deepcopy(network, same)
    except Exception as error:  # a module may hold anything, such as a lock or an open file
        raise InputError(f"{type(network).__name__} cannot be copied: {one_line(error)}") from error
