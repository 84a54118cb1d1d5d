"""What the saliency callback asks of the module in training: one of this project, or anybody's."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from explainer.errors import InputError, one_line
from explainer.functional.masking import min_max
from explainer.networks import Explanandum
from explainer.networks.modes import evaluation_mode
from explainer.networks.spatial import tensor_of
from explainer.rendering import in_colour
from explainer.training.callbacks.loggers import folder_of
from explainer.training.callbacks.looking import plain, same_values
from explainer.training.callbacks.smoe_pictures import Answer
from explainer.training.modules.base import SaliencyModule

ImagesOf = Callable[[Any], Tensor]
"""Function that takes a batch and returns its images (B, C, H, W)."""
_TRIED = 20
"""Validation images that are tried, until one can be read."""


class Normalisation(NamedTuple):
    """How a batch's images were normalised, a number for each channel: (pixel − mean) / std."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


class Wanted(NamedTuple):
    """What a user says of a module that is not of this project.

    Attributes:
        network: Dotted name of the part to watch; None watches the module itself.
        images: Function that finds the images of a batch; None takes the first tensor of four dimensions.
        normalisation: Normalisation of the images; None where nothing is known of it.
    """

    network: str | None = None
    images: ImagesOf | None = None
    normalisation: Normalisation | None = None


class Fixed(NamedTuple):
    """The validation image that is looked at after each validation.

    Attributes:
        image: Image as it is shown, (1, 3, H, W) in [0, 1].
        fed: Image as the network is fed it, (1, C, H, W).
    """

    image: Tensor
    fed: Tensor


class Answers(NamedTuple):
    """What a classifier says.

    Attributes:
        words: Caption for each image, empty where no classifier was asked.
        masked: Its answer to masked images; None where it was not shown any.
    """

    words: list[str]
    masked: Answer | None = None


class Subject(ABC):
    """What the saliency callback asks of the module in training."""

    @property
    @abstractmethod
    def network(self) -> nn.Module | None:
        """Network to watch, not compiled; None for a module that has nothing to watch."""

    @property
    def taps(self) -> tuple[str, ...] | None:
        """Dotted names, below the network, of the layers to read; None where the module names none."""
        return None

    @abstractmethod
    def images(self, batch: Any) -> Tensor | None:
        """Return the images (B, C, H, W) of a batch; None for a batch without any."""

    @abstractmethod
    def fed(self, images: Tensor) -> Tensor:
        """Return what the network is fed for images of a batch."""

    @abstractmethod
    def shown(self, images: Tensor) -> Tensor:
        """Return images of a batch as they are shown: (N, 3, H, W) in [0, 1]."""

    @abstractmethod
    def labels(self, batch: Any, count: int) -> list[str]:
        """Return a caption for each of the first images of a batch."""

    @abstractmethod
    def folder(self, trainer: Any) -> Path:
        """Return the folder in which the pictures of a run lie."""

    @abstractmethod
    def fixed(self, trainer: Any) -> Fixed | None:
        """Return the validation image that is looked at after each validation; None where there is none."""

    def listening(self) -> AbstractContextManager[None]:
        """Listen, while open, to what the module's classifier is shown and says."""
        return nullcontext()

    def answers(self, images: Tensor) -> Answers:
        """Return what the module's classifier says of the first images of a batch (N, C, H, W), in words."""
        return Answers([""] * len(images))

    def validating(self, batch: Any) -> AbstractContextManager[None]:
        """Choose, while the first validation batch runs, the image that `fixed` returns."""
        return nullcontext()


def subject_of(module: Any, wanted: Wanted) -> Subject:
    """Return what the callback can ask a module.

    Args:
        module: Module in training, a LightningModule of either import name.
        wanted: Words of the user; a network or images that are named go before what this project's modules say.

    Raises:
        InputError: The module has no part of the name.
    """
    if isinstance(module, SaliencyModule) and wanted.network is None and wanted.images is None:
        return ProjectSubject(module)
    return AnySubject(module, wanted)


class ProjectSubject(Subject):
    """A module of this project, which says itself what is worth watching.

    Args:
        module: Module in training.
    """

    def __init__(self, module: Any) -> None:
        self.module = module
        self._heard: list[tuple[Tensor, Tensor]] = []

    @property
    def network(self) -> nn.Module | None:
        """Network that the module names; it may exist only after the module was built."""
        watched = self.module.watched
        return None if watched is None else plain(watched)

    @property
    def taps(self) -> tuple[str, ...] | None:
        """Target layers of the explanandum, where it is what is watched and a person named them."""
        explanandum = getattr(self.module, "explanandum", None)
        if not isinstance(explanandum, Explanandum) or not explanandum.taps_were_named:
            return None
        return explanandum.taps if plain(explanandum.network) is self.network else None

    def images(self, batch: Any) -> Tensor | None:
        """Return the images of the project's batch; None for a batch in which none could be read."""
        return batch.image if batch.id else None

    def fed(self, images: Tensor) -> Tensor:
        """Return normalised images."""
        return self.module.watched_input(images)

    def shown(self, images: Tensor) -> Tensor:
        """Return the images, which are in [0, 1], as RGB."""
        return in_colour(images.float())

    def labels(self, batch: Any, count: int) -> list[str]:
        """Return the names of each image's first three labels."""
        captions = []
        for labels in batch.labels[:count]:
            present = labels.nonzero().flatten().tolist()
            names = [self.module.explanandum.classes[label] for label in present[:3]]
            captions.append(", ".join(names) or "no label")
        return captions

    def folder(self, trainer: Any) -> Path:
        """Return the Trainer's folder, which is that of the run."""
        return Path(trainer.default_root_dir)

    def fixed(self, trainer: Any) -> Fixed | None:
        """Return the first validation image that can be read."""
        dataset = trainer.datamodule.split("val")
        # lazily, and only so many: a folder of damaged files must not be read through after each validation
        first = map(dataset.__getitem__, range(min(_TRIED, len(dataset))))
        sample = next((sample for sample in first if sample is not None), None)
        if sample is None:
            return None
        image = sample.image[None].to(self.module.device)
        return Fixed(self.shown(image), self.fed(image))

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen, while open, to what the explanandum is shown and says."""
        self._heard = []

        def keep(layer: nn.Module, inputs: tuple, output: Tensor) -> None:
            self._heard.append((inputs[0].detach(), output.detach()))

        handle = self.module.explanandum.register_forward_hook(keep)
        try:
            yield
        finally:
            handle.remove()

    @torch.no_grad()
    def answers(self, images: Tensor) -> Answers:
        """Return the explanandum's answer to the images, and to masked images where training showed it those."""
        heard = self._heard
        self._heard = []
        if not heard:
            return super().answers(images)
        explanandum = self.module.explanandum
        first, logits = (part[: len(images)] for part in heard[0])
        if torch.equal(first.float(), images):
            return Answers(guesses(explanandum, logits))
        masked = Answer(in_colour(first.float().clamp(0, 1)), guesses(explanandum, logits))
        with evaluation_mode(explanandum):
            return Answers(guesses(explanandum, explanandum(images)), masked)


def guesses(explanandum: Explanandum, logits: Tensor) -> list[str]:
    """Return the most probable class of each image and its probability, for captions.

    Args:
        explanandum: Classifier, which knows its classes.
        logits: Logits (N, K).
    """
    captions = []
    for probabilities in explanandum.probabilities(logits.float()):
        best = int(probabilities.argmax())
        captions.append(f"predicted: {explanandum.classes[best]} {float(probabilities[best]):.2f}")
    return captions


class AnySubject(Subject):
    """Anybody's LightningModule and batches, of which only that is known which the user says.

    Args:
        module: Module in training.
        wanted: Words of the user.

    Raises:
        InputError: The module has no part of the name.
    """

    def __init__(self, module: Any, wanted: Wanted) -> None:
        self._module = module
        self._wanted = wanted
        self._network = module if wanted.network is None else part_of(module, wanted.network)
        self._fixed: Fixed | None = None

    @property
    def network(self) -> nn.Module:
        """Part that the user named, or the module itself."""
        return plain(self._network)

    def images(self, batch: Any) -> Tensor | None:
        """Find the images of a batch; None for an empty batch.

        Raises:
            InputError: There are none, or what the user's function returns is none.
        """
        if self._wanted.images is None:
            images = first_images(batch)
            if images is None:
                raise InputError(
                    f"saliency.images: no tensor of four dimensions (B, C, H, W) is in a batch, {described(batch)}: "
                    "give a function that finds the images, such as images=lambda batch: batch[0]"
                )
        else:
            images = _found(self._wanted.images, batch)
        normalisation = self._wanted.normalisation
        if normalisation is not None and len(normalisation.mean) not in (1, images.shape[1]):
            raise InputError(
                f"saliency.mean has {len(normalisation.mean)} numbers, the images have {images.shape[1]} channels"
            )
        return images if len(images) else None

    def fed(self, images: Tensor) -> Tensor:
        """Return the images: a batch holds what the network takes."""
        return images

    def shown(self, images: Tensor) -> Tensor:
        """Undo the normalisation; where it is not known, scale an image to [0, 1] if its values lie outside."""
        pixels = images.detach().float()
        if not images.is_floating_point():
            pixels = pixels / 255
        pixels = pixels.nan_to_num()
        normalisation = self._wanted.normalisation
        if normalisation is not None:
            mean, std = (pixels.new_tensor(numbers).view(1, -1, 1, 1) for numbers in normalisation)
            pixels = pixels * std + mean
        else:
            outside = (pixels.amin((1, 2, 3)) < 0) | (pixels.amax((1, 2, 3)) > 1)
            # all channels of an image together: apart they would change its colours
            pixels = torch.where(outside.view(-1, 1, 1, 1), _scaled(pixels), pixels)
        return in_colour(pixels).clamp(0, 1)

    def labels(self, batch: Any, count: int) -> list[str]:
        """Return the numbers of each image's first three labels, where the second part of a batch tells labels."""
        images = self.images(batch)
        if not isinstance(batch, tuple | list) or len(batch) < 2 or images is None:
            return [""] * count
        return numbered(batch[1], len(images))[:count]

    def folder(self, trainer: Any) -> Path:
        """Return the folder of the run's files: that of a CSV or TensorBoard logger, else the Trainer's."""
        return folder_of(trainer)

    def fixed(self, trainer: Any) -> Fixed | None:
        """Return the first validation image that the callback saw."""
        if self._fixed is None:
            return None
        # copies: under inference_mode Lightning's tensors may be changed there only
        image, fed = (part.to(self._module.device).clone() for part in self._fixed)
        return Fixed(image, fed)

    @contextmanager
    def validating(self, batch: Any) -> Iterator[None]:
        """Keep the batch's first image, and what the network is fed for it while this is open.

        A module may normalise its images before the network gets them; the network alone is run later.
        """
        images = self.images(batch) if self._fixed is None else None
        if images is None:
            yield
            return
        first = images[:1].detach().clone()
        fed: list[Tensor] = []

        def keep(network: nn.Module, inputs: tuple, named: Mapping[str, Any], output: Any) -> None:
            given = tensor_of((*inputs, *named.values()))
            # a pass on the images themselves counts before any other, and else the last one
            if fed and same_values(fed[0], first):
                return
            if given is not None and given.ndim == 4 and len(given) == len(images):
                fed[:] = [given[:1].detach().clone()]

        handle = self.network.register_forward_hook(keep, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()
        self._fixed = Fixed(self.shown(first), fed[0] if fed else first)


def numbered(labels: Any, count: int) -> list[str]:
    """Return a caption for each image of a batch by its labels, whose names nobody says.

    Args:
        labels: Part of a batch that may be labels: whole numbers (B,), or 0 and 1, (B, K) for at least two classes.
        count: Number B of images of the batch.

    Returns:
        B captions; empty where it is something else.

    Example:
        >>> numbered(torch.tensor([3, 0]), 2), numbered(torch.tensor([[1.0, 1.0], [0.0, 0.0]]), 2)
        (['label 3', 'label 0'], ['labels 0, 1', 'no label'])
    """
    nothing = [""] * count
    if not torch.is_tensor(labels) or labels.ndim not in (1, 2) or len(labels) != count:
        return nothing
    if labels.ndim == 1:
        if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
            return nothing
        return [f"label {number}" for number in labels.tolist()]
    if labels.shape[1] < 2 or not bool(((labels == 0) | (labels == 1)).all()):
        return nothing
    captions = []
    for row in labels:
        present = [str(number) for number in row.nonzero().flatten().tolist()]
        word = "label" if len(present) == 1 else "labels"
        captions.append(f"{word} {', '.join(present[:3])}" if present else "no label")
    return captions


def part_of(module: nn.Module, name: str, key: str = "saliency.network") -> nn.Module:
    """Return a part of a module.

    Args:
        module: Module of any kind.
        name: Dotted name of the part.
        key: Setting of the user, for the error.

    Raises:
        InputError: There is no such part; names similar ones.

    Example:
        >>> part_of(nn.Sequential(nn.ReLU()), "0")
        ReLU()
    """
    parts = dict(module.named_modules())
    if name in parts and name:
        return parts[name]
    names = [known for known in parts if known]
    outermost = [known for known in names if "." not in known]
    near = get_close_matches(name, names, 8, 0.5) or outermost[:12]
    raise InputError(f"{key}: {type(module).__name__} has no part {name!r}; there are {', '.join(near) or 'none'}")


def first_images(batch: Any) -> Tensor | None:
    """Find the first tensor of four dimensions in a batch.

    Args:
        batch: Tensor, tuple, list, mapping or dataclass, also one inside another.

    Returns:
        Images (B, C, H, W); None where there are none.

    Example:
        >>> first_images({"id": [3], "pixels": (torch.ones(2), torch.ones(2, 3, 4, 4))}).shape
        torch.Size([2, 3, 4, 4])
    """
    if torch.is_tensor(batch):
        return batch if batch.ndim == 4 else None
    candidates = (first_images(part) for part in _parts(batch))
    return next((images for images in candidates if images is not None), None)


def _parts(batch: Any) -> Sequence[Any]:
    """List what a batch holds."""
    if isinstance(batch, Mapping):
        return list(batch.values())
    if isinstance(batch, tuple | list):
        return batch
    if dataclasses.is_dataclass(batch):
        return [getattr(batch, field.name) for field in dataclasses.fields(batch)]
    return []


def _found(find: ImagesOf, batch: Any) -> Tensor:
    """Call the user's function, and refuse what is no batch of images."""
    try:
        images = find(batch)
    except Exception as error:  # what a function of the user raises may be anything
        raise InputError(
            f"saliency.images: the function fails ({one_line(error)}) on a batch, {described(batch)}: it takes the "
            "batch and returns the images (B, C, H, W)"
        ) from error
    if not torch.is_tensor(images) or images.ndim != 4:
        raise InputError(
            f"saliency.images: the function must return images (B, C, H, W), got {described(images)} of a batch, "
            f"{described(batch)}"
        )
    return images


def described(batch: Any) -> str:
    """Describe a batch in a few words.

    Example:
        >>> described((torch.ones(2, 3), {"a": [1]}))
        'a tuple of a Tensor (2, 3) and a dict with a'
    """
    name = type(batch).__name__
    if torch.is_tensor(batch):
        return f"a {name} {tuple(batch.shape)}"
    if isinstance(batch, Mapping):
        return f"a {name} with {', '.join(str(key) for key in list(batch)[:8])}"[:200]
    if isinstance(batch, tuple | list) and any(torch.is_tensor(part) for part in batch):
        return f"a {name} of {' and '.join(described(part) for part in batch[:4])}"[:200]
    return f"a {name}"


def _scaled(pixels: Tensor) -> Tensor:
    """Scale each image (N, C, H, W) to [0, 1]."""
    return min_max(pixels.flatten(1)[:, None, None]).view_as(pixels)
