"""The Explainer's network: an image in, one mask a class out.

S. Stalder, N. Perraudin, R. Achanta, F. Perez-Cruz, M. Volpi: What You See is What You Classify: Black Box
Attributions, NeurIPS 2022 (section 4): DeepLabV3 with a ResNet-50 trained from scratch. The published code loads an
ImageNet encoder nevertheless: `encoder_weights: imagenet` reproduces that. Where no such weights are to be had, those
of the classifier itself do the same: an encoder that tells the classes apart from the start gives masks that do.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explainer.errors import InputError, one_line
from explainer.networks import lite
from explainer.networks.checkpoint import part
from explainer.networks.description import Arguments, Segmenter
from explainer.networks.layout import channels_last
from explainer.networks.lite_names import is_packaged, timm_names
from explainer.networks.loading import WEIGHT_FILES, load_state, read_state
from explainer.networks.mask_network import MaskNetwork
from explainer.networks.normalisation import IMAGENET_MEAN, IMAGENET_STD
from explainer.networks.trust import ARCHITECTURES


def load_encoder(encoder: nn.Module, path: str) -> tuple[Sequence[float], Sequence[float]]:
    """Start an encoder from a classifier's weights; layers that the encoder lacks, such as the head, are left out.

    Args:
        encoder: Encoder of segmentation-models-pytorch; changed in place.
        path: Checkpoint of this project, a file with a state dict, or "lite0" for the packaged EfficientNet-Lite0.

    Returns:
        Mean and standard deviation of the images that the weights know.

    Raises:
        InputError: The file lacks a tensor of the encoder, or has another shape there; the first is named.
    """
    mean: Sequence[float] = IMAGENET_MEAN
    std: Sequence[float] = IMAGENET_STD
    if path == lite.PACKAGED:
        state = lite.efficientnet_lite0().state_dict()
        mean = lite.MEAN
        std = lite.STD
    else:
        state = read_state(path)
        classifier = part(state, "explanandum")
        if "mean" in classifier and "std" in classifier:
            mean = classifier["mean"].flatten().tolist()
            std = classifier["std"].flatten().tolist()
        state = part(classifier, "network") or state
        if is_packaged(state):
            state = timm_names(state)
            mean = lite.MEAN
            std = lite.STD
    names = list(encoder.state_dict())
    # encoders of timm lie one level deeper than the classifier whose weights they take
    prefix = "model." if all(name.startswith("model.") for name in names) else ""
    prefixed = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    # what the encoder lacks is left out here; what the file lacks, `load_state` refuses
    shared = {name: prefixed[name] for name in names if name in prefixed}
    load_state(encoder, shared, path)
    return mean, std


def _architecture(name: str) -> type[nn.Module]:
    """Return a class of the library by its name."""
    import segmentation_models_pytorch as smp  # late: it takes seconds, for which maskers of other kinds do not wait

    return cast(type[nn.Module], getattr(smp, name))


class Masker(MaskNetwork):
    """A segmentation network of segmentation-models-pytorch; `build` gives it the number of classes.

    Args:
        encoder: Name of an encoder of segmentation-models-pytorch ("resnet50", "mobilenet_v2", "tu-resnet18d", …).
        encoder_weights: Source of the encoder's first weights. None trains from scratch, as the paper says; "imagenet"
            downloads them once; "lite0" takes those of the packaged EfficientNet-Lite0, for the encoder
            tu-tf_efficientnet_lite0; a file (a classifier's checkpoint of this project, or a state dict) must hold
            the encoder's layers.
        architecture: Name of the network in the library: "DeepLabV3" as in the paper, "DeepLabV3Plus", "Unet", ….
        arguments: Further arguments of the architecture (encoder_output_stride, decoder_channels, …).

    Raises:
        InputError: The encoder, the architecture or an argument is unknown, or they do not fit together.

    Example:
        >>> masker = Masker("resnet18"); masker.build(5)
        >>> masker(torch.rand(1, 3, 40, 64)).shape
        torch.Size([1, 5, 40, 64])
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        encoder: str = "resnet50",
        encoder_weights: str | None = None,
        architecture: str = "DeepLabV3",
        arguments: Arguments | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.encoder_weights = encoder_weights
        self.architecture = architecture
        self.arguments = dict(arguments or {})
        self.network: nn.Module | None = None
        self._check()
        mean: Sequence[float] = IMAGENET_MEAN
        std: Sequence[float] = IMAGENET_STD
        if self.channels != 3:  # ImageNet has nothing to say of them
            mean = (0.0,) * self.channels
            std = (1.0,) * self.channels
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    @property
    def channels(self) -> int:
        """Number of channels of the images."""
        return self.arguments.get("in_channels", 3)

    def _check(self) -> None:
        """Refuse in the constructor what the library would refuse only when the classes are known."""
        if self.architecture not in ARCHITECTURES:
            raise InputError(f"masker architecture {self.architecture!r} is not in segmentation-models-pytorch")
        parameters = inspect.signature(_architecture(self.architecture).__init__).parameters
        reserved = {"self", "kwargs", "encoder_name", "encoder_weights", "classes"}
        allowed = [name for name in parameters if name not in reserved]
        for name in self.arguments:
            # checked here, because the library takes an unknown argument without a word
            if name not in allowed:
                raise InputError(f"masker: {self.architecture} has no argument {name!r}; it has {', '.join(allowed)}")
        try:
            with torch.device("meta"):  # costs neither memory nor random numbers
                self._new_network(1, None)
        except Exception:  # some encoders cannot be built without memory
            try:
                with torch.random.fork_rng(devices=[]):
                    self._new_network(1, None)
            except Exception as error:
                raise InputError(self._refusal(error)) from error

    def _new_network(self, num_classes: int, weights: str | None) -> nn.Module:
        architecture = _architecture(self.architecture)
        return architecture(encoder_name=self.encoder, encoder_weights=weights, classes=num_classes, **self.arguments)

    def _refusal(self, error: Exception) -> str:
        arguments = f" and arguments {self.arguments}" if self.arguments else ""
        return f"masker: {self.architecture} with encoder {self.encoder!r}{arguments}: {one_line(error)}"

    @property
    def spec(self) -> Segmenter:
        """What a checkpoint needs to build this network again; the weights come from the checkpoint."""
        return {"encoder": self.encoder, "architecture": self.architecture, "arguments": self.arguments}

    @property
    def encoder_network(self) -> nn.Module:
        """The part that looks at the image, before the decoder."""
        if self.network is None:
            raise RuntimeError("call build(num_classes) first")
        encoder = cast(nn.Module, self.network.encoder)
        return cast(nn.Module, getattr(encoder, "model", encoder))  # the wrapper of a timm network has no scales

    def build(self, num_classes: int) -> None:
        """Make the network, with `num_classes` output channels; a second call changes nothing.

        Raises:
            InputError: The weights cannot be downloaded, or belong to another network; or the attached explanandum
                takes images of another number of channels.
        """
        if self.network is not None:
            return
        if self._explanandum and self.explanandum.channels != self.channels:
            count = self.explanandum.channels
            raise InputError(
                f"masker: the classifier takes {count} channels, and the masker {self.channels}: set arguments: "
                f"{{in_channels: {count}}}"
            )
        weights = self.encoder_weights
        is_file = weights == lite.PACKAGED or Path(weights or "").suffix in WEIGHT_FILES
        library_weights = None if is_file else weights
        try:
            self.network = self._new_network(num_classes, library_weights)
        except InputError:
            raise
        except Exception as error:  # offline, the library's hub raises errors of many types
            if library_weights is None or isinstance(error, KeyError | TypeError | ValueError):
                raise InputError(self._refusal(error)) from error
            raise InputError(
                f"cannot download encoder_weights {self.encoder_weights!r} of {self.encoder!r}: use null, or a network"
            ) from error
        if is_file and weights is not None:
            mean, std = load_encoder(cast(nn.Module, self.network.encoder), weights)
            self.mean.copy_(torch.tensor(mean).view(1, -1, 1, 1))
            self.std.copy_(torch.tensor(std).view(1, -1, 1, 1))
        channels_last(self.network)

    def normalised(self, image: Tensor) -> Tensor:
        """Normalise images in [0, 1], and resize them: the network takes sides that are multiples of 32."""
        # 32: the encoders halve the side five times
        fitting = [max(32, 32 * round(side / 32)) for side in image.shape[-2:]]
        normalised = (image - self.mean) / self.std
        if list(image.shape[-2:]) == fitting:
            return normalised
        return F.interpolate(normalised, fitting, mode="bilinear", align_corners=False)

    def forward(self, image: Tensor, only: Tensor | None = None) -> Tensor:
        """Return mask logits, whose sigmoid is the class masks.

        Args:
            image: Images (B, 3, H, W) in [0, 1], of any size.
            only: Class (B,) of each image, where no other mask is wanted: the others are then not enlarged.

        Returns:
            (B, K, H, W), or (B, 1, H, W) of the classes in `only`.
        """
        if self.network is None:
            raise RuntimeError("call build(num_classes) first")
        with nullcontext() if only is None else self._only(only):
            return self._logits(self.network, image)

    @contextmanager
    def _only(self, classes: Tensor) -> Iterator[None]:
        """Let the network enlarge the mask of one class an image, instead of all class masks."""

        def choose(layer: nn.Module, given: Any, logits: Tensor) -> Tensor:
            rows = torch.arange(len(logits), device=logits.device)
            return logits[rows, classes.expand(len(logits))][:, None]

        head = cast(nn.Module, cast(nn.Module, self.network).segmentation_head)
        convolutions = [module for module in head.modules() if isinstance(module, nn.Conv2d)]
        # what stands behind the last convolution works on every channel alone: upsampling
        handle = convolutions[-1].register_forward_hook(choose)
        try:
            yield
        finally:
            handle.remove()

    def _logits(self, network: nn.Module, image: Tensor) -> Tensor:
        size = image.shape[-2:]
        normalised = self.normalised(image)
        if self.training and len(image) == 1:  # BatchNorm of a pooled branch needs two values a channel
            logits = network(normalised.expand(2, -1, -1, -1))[:1]
        else:
            logits = network(normalised)
        if logits.shape[-2:] != size:
            logits = F.interpolate(logits, size, mode="bilinear", align_corners=False)
        return logits
