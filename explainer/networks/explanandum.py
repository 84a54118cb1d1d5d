"""The frozen classifier that is explained: any network, with its normalisation inside and its classes' names."""

import copy
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from explainer.errors import InputError, one_line
from explainer.networks import hugging_face
from explainer.networks.build import build_network
from explainer.networks.checkpoint import is_checkpoint, part, read_classifier
from explainer.networks.description import Arguments, Network
from explainer.networks.headless import INSIDE, NEW, WithHead, is_headless, with_head
from explainer.networks.heads import Layer, count_logits, heads, named, replace_head, width
from explainer.networks.layout import channels_last
from explainer.networks.lite_names import is_packaged, timm_names
from explainer.networks.loading import load_state
from explainer.networks.normalisation import Normalisation, normalisation_of
from explainer.networks.outputs import logits_of
from explainer.networks.randomise import randomise
from explainer.networks.taps import find_taps
from explainer.networks.trust import LIVE, OWN, bounded


class Overrides(NamedTuple):
    """What the caller says of a network; it goes before what anything else says. None says nothing.

    Attributes:
        mean: Mean colour of the normalisation.
        std: Standard deviation of the normalisation.
        taps: Names of the target layers.
    """

    mean: Sequence[float] | None
    std: Sequence[float] | None
    taps: Sequence[str] | None


class Explanandum(nn.Module):
    """A classifier from images in [0, 1] to logits, frozen unless it is being trained.

    Args:
        network: Name of a torchvision model ("vgg16"), of a timm model ("timm/resnet18") or of an image classifier of
            Hugging Face ("hf/google/vit-base-patch16-224", or "hf/" and a folder that `save_pretrained` wrote), dotted
            path of a Python callable that returns a network, or a checkpoint of this project
            ("checkpoints/voc_vgg16_classifier.ckpt"). Also a network itself, which stays as it is: the explanandum has
            modules of its own around the same weights, and so follows it when it is trained.
        weights: Name in the library's enum ("IMAGENET1K_V1", "DEFAULT"), a local file, or None for a fresh network.
            Classifiers of Hugging Face come with theirs.
        num_classes: Number K of classes; None keeps the network's own, or takes the data set's when it is trained here.
            A checkpoint has its own number, beside which another one is an error.
        multilabel: True for sigmoids, False for a softmax; None takes the data set's.
        mean: Mean colour of the normalisation in front of the network, a number in [0, 1] for each channel; None takes
            what the network says of itself (timm's `default_cfg`), else ImageNet's for three channels, and 0 for any
            other number. A network that is given itself, and is not torchvision's, gets a warning then, and so does one
            of Hugging Face that comes without an image processor.
        std: Standard deviation of that normalisation, a number above 0 for each channel; None as for `mean`, 1 for
            other numbers of channels than three.
        taps: Dotted names of the layers at the end of each spatial scale; None finds them.
        network_args: Keyword arguments of the callable.
        allow: Dotted names of builders, modules or packages that a checkpoint may name, besides the classifiers of
            torchvision, timm, transformers and this project.
        randomise_seed: Seed of random weights that every layer gets in place of those of `weights` or of the
            checkpoint; None keeps them. An Explainer trained against random weights shows what it learns without any
            classifier.
        head: Dotted names of the layers that give the class scores; None finds them, and where the network returns
            features (timm's networks of no classes, backbones) adds a linear layer for `num_classes` or the data set's
            classes. "new" adds one, whatever the last layer is.
        preprocessor: Image processor of transformers, or a function from a PIL image to a tensor, that belongs to the
            network; mean and std are measured on it. A classifier of Hugging Face that is loaded by name brings its
            own.

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
        preprocessor: Any = None,
    ) -> None:
        super().__init__()
        self.classes: tuple[str, ...] = ()
        self.multilabel = multilabel
        self.image_size: int | None = None
        self.mode: Literal["eval", "train"] = "eval"
        self.frozen = True
        self._parts: tuple[str, ...] = ()
        if num_classes is not None and num_classes < 1:
            raise InputError(f"num_classes must be at least 1, got {num_classes}")
        self._head: tuple[str, ...] | None = None
        self._has_new_head = False
        if head is not None:
            self._head = (head,) if isinstance(head, str) else tuple(head)
        overrides = Overrides(mean, std, taps)
        if isinstance(network, nn.Module):
            if weights is not None:
                raise InputError(
                    f"weights {weights!r} cannot go into a network that is given itself: load them into it"
                )
            self._take(network, overrides, preprocessor)
            self._fit(num_classes)
        elif is_checkpoint(network):
            if weights is not None:
                raise InputError(f"weights {weights!r} cannot go into the checkpoint {network}, which has its own")
            self._restore(network, overrides, allow)
            if num_classes not in (None, len(self.classes)):
                count = f"{len(self.classes)} classes"
                raise InputError(f"num_classes is {num_classes}, the checkpoint {network} has {count}: leave it out")
        else:
            self.network = build_network(network, weights, network_args)
            self._describe_built(network, network_args or {}, overrides, preprocessor)
            self._fit(num_classes)
        if randomise_seed is not None:
            randomise(self.network, randomise_seed)
        if not isinstance(network, nn.Module):
            # shared weights stay where they lie
            channels_last(self.network)
        self.freeze()

    def _take(self, network: nn.Module, overrides: Overrides, preprocessor: Any) -> None:
        """Take a network that is there already, without changing it."""
        self.network = shared(network)
        kind = type(network)
        preprocessing = None
        if preprocessor is not None:
            preprocessing = hugging_face.measured(preprocessor)
            if preprocessing.reversed:
                raise InputError(
                    f"{kind.__name__} takes blue first, as its preprocessor says: exchange the channels of its first "
                    "convolution, or load it by its name (hf/…)"
                )
        normalisation = self._describe(f"{LIVE}{kind.__module__}.{kind.__qualname__}", {}, overrides, preprocessing)
        if not normalisation.certain:
            warnings.warn(self._guess(), stacklevel=3)
        self._take_labels()

    def _guess(self) -> str:
        """Return the warning of a normalisation that nobody said."""
        kind = type(self.network).__name__
        if self.channels == 3:
            return (
                f"{kind} does not say how its images are normalised: ImageNet's mean and standard deviation "
                "are taken; give mean and std if they are others (mean 0 and std 1 for images in [0, 1])"
            )
        return (
            f"{kind} does not say how its images of {self.channels} channels are normalised: they are not (mean 0, std "
            "1); give mean and std, a number for each channel, if they should be"
        )

    def _describe_built(self, name: str, arguments: Arguments, overrides: Overrides, preprocessor: Any) -> None:
        """Describe a network that was built for this explanandum alone."""
        if preprocessor is None and name.startswith(hugging_face.PREFIX):
            preprocessor = hugging_face.read_preprocessor(name)
        preprocessing = None
        if preprocessor is not None:
            preprocessing = hugging_face.measured(preprocessor)
            if preprocessing.reversed:
                hugging_face.reverse_channels(self.network)
        normalisation = self._describe(name, arguments, overrides, preprocessing)
        # ImageNet's colours are what a classifier of three channels usually wants; of others nobody knows, and those of
        # Hugging Face, which say it in their image processor, want many
        usual = self.channels == 3 and not name.startswith(hugging_face.PREFIX)
        if not normalisation.certain and not usual:
            warnings.warn(self._guess(), stacklevel=3)
        self._take_labels()

    def _take_labels(self) -> None:
        """Take over what a network of transformers says of its classes."""
        if hugging_face.is_hugging_face(self.network):
            self.classes = hugging_face.class_names(self.network)
            if self.multilabel is None:
                self.multilabel = hugging_face.has_several_labels(self.network)

    def _restore(self, path: str, overrides: Overrides, allow: Sequence[str]) -> None:
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
        saved = Overrides(
            overrides.mean or inner["mean"], overrides.std or inner["std"], overrides.taps or inner["taps"]
        )
        # the weights of the checkpoint bound what its description may make this process build
        self.image_size = spec["image_size"]
        with bounded(state, path):
            self.network = build_network(name, None, {**arguments, **OWN.get(name, {})})
            self._describe(name, arguments, saved)
            self._fit(len(self.classes), self.image_size)
        load_state(self, state, path)

    def _describe(
        self,
        name: str,
        arguments: Arguments,
        overrides: Overrides,
        preprocessing: hugging_face.Preprocessing | None = None,
    ) -> Normalisation:
        """Take over the normalisation, the target layers and the name; they go into checkpoints."""
        normalisation = normalisation_of(self.network, overrides.mean, overrides.std, preprocessing)
        self.register_buffer("mean", torch.tensor(normalisation.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(normalisation.std).view(1, -1, 1, 1))
        if preprocessing is not None:
            self.image_size = preprocessing.side
        self._taps = None  # found when they are asked for: that costs a forward pass
        self.taps_were_named = overrides.taps is not None
        if overrides.taps is not None:
            self._taps = self._known(overrides.taps)
        self._network_name = name
        self._network_args = dict(arguments)
        described = hugging_face.description_of(self.network)
        if described is not None:
            # a checkpoint has the weights: its network is built of the configuration, without a download
            self._network_name = name if name.startswith(hugging_face.PREFIX) else described[0]
            self._network_args = described[1]
        return normalisation

    @property
    def spec(self) -> Network:
        """Plain values from which a checkpoint builds this network again, without weights."""
        # found layers are found again: a later version may find better ones
        taps = list(self._taps) if self._taps and self.taps_were_named else None
        if taps is not None and isinstance(self.network, WithHead):
            taps = [tap.removeprefix(INSIDE) for tap in taps]  # the head is added again
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
        if self._head in (None, (NEW,)):
            return heads(self.network)
        return named(self.network, self._head or ())

    @property
    def num_classes(self) -> int:
        """Number K of classes that the head scores."""
        try:
            return width(self.heads[0][1])
        except InputError:
            # a network may give logits without a layer for them, such as products with embeddings of texts
            count = None if is_headless(self.network) else count_logits(self.network)
            if count is None:
                raise
            return count

    def _fit(self, num_classes: int | None, size: int | None = None) -> None:
        """Give the network a head for so many classes; None leaves its own."""
        if num_classes is None:
            return
        asked = self._head == (NEW,) and not self._has_new_head
        if asked or (self._head is None and is_headless(self.network, size)):
            self._add_head(num_classes, size)
        else:
            names = None if self._head == (NEW,) else self._head
            replace_head(self.network, num_classes, names, size)
        if len(self.classes) != num_classes:
            self.classes = ()  # those of the head that is gone

    def _add_head(self, num_classes: int, size: int | None) -> None:
        """Give a network that returns features a head."""
        self.network = with_head(self.network, num_classes, size)
        self._has_new_head = True
        if isinstance(self.network, WithHead) and self._taps is not None:
            self._taps = tuple(f"{INSIDE}{tap}" for tap in self._taps)

    @property
    def channels(self) -> int:
        """Number C of channels of the images."""
        return self.mean.shape[1]

    @property
    def mean_colour(self) -> Tensor:
        """(1, C, 1, 1) in [0, 1]: the colour that is zero at the network's normalised input."""
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
        else:
            self._check_classes(classes)
        self.classes = tuple(classes)
        if self.multilabel is None:
            self.multilabel = multilabel
        if len(self.classes) == 1:
            self.multilabel = True  # one logit: the class is there or not

    def _check_classes(self, classes: Sequence[str]) -> None:
        """Refuse a data set whose classes are others, or stand in another order."""
        of_transformers = hugging_face.is_hugging_face(self.network)
        for number, (known, given) in enumerate(zip(self.classes, classes, strict=False)):
            # there a name may list synonyms, of which a data set has the first
            alike = of_transformers and hugging_face.first_name(known) == hugging_face.first_name(given)
            if known != given and not alike:
                raise InputError(f"class {number} is {known!r} for the classifier and {given!r} in the data set")

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
            image: Images (B, C, H, W) in [0, 1].

        Returns:
            (B, K); float32 where the network computes in half precision.

        Raises:
            InputError: The network returns something that holds no logits, or the images have another number of
                channels.
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
        """Turn images (B, C, H, W) in [0, 1] into what the network is fed.

        Raises:
            InputError: The images have another number of channels.
        """
        # one channel would be taken for three without a word
        if image.shape[-3] != self.mean.shape[1]:
            raise InputError(f"the images have {image.shape[-3]} channels, and the classifier takes {self.channels}")
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
