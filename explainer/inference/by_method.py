"""Explain one photograph by a method, for any classifier and without any training."""

import base64
import inspect
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models

from explainer import attribution
from explainer.attribution import Attribution
from explainer.errors import InputError, one_line
from explainer.functional.masking import min_max
from explainer.functional.resizing import resize
from explainer.inference.explain import read_photo
from explainer.networks import Explanandum
from explainer.networks.devices import choose_device
from explainer.networks.scored import Score, Scored
from explainer.networks.spatial import sides
from explainer.rendering import overlay, save_picture

Photo = str | Path | Image.Image | Tensor


@dataclass(frozen=True)
class MethodExplanation:
    """What a method shows of one photograph.

    Attributes:
        image: Photograph, (1, C, H, W) in [0, 1].
        attribution: Raw map of the method, (1, 1, h, w), at the size that the classifier sees; higher counts more.
        method: Name of the method.
        target: Index of the class that is explained.
        probabilities: Probabilities of all classes, (K,) in [0, 1].
        classes: Names of the K classes; their numbers where they have no names.
    """

    image: Tensor
    attribution: Tensor
    method: str
    target: int
    probabilities: Tensor
    classes: tuple[str, ...]

    @cached_property
    def saliency(self) -> Tensor:
        """(1, 1, H, W) in [0, 1]: the map at the photograph's size, scaled so that it fills the range."""
        size = (self.image.shape[-2], self.image.shape[-1])
        enlarged = F.interpolate(self.attribution.float(), size, mode="bilinear", align_corners=False)
        return min_max(enlarged).clamp(0, 1)

    @property
    def label(self) -> str:
        """Name of the class that is explained."""
        return self.classes[self.target]

    @property
    def probability(self) -> float:
        """Probability of the class that is explained."""
        return float(self.probabilities[self.target])

    def picture(self, bands: Sequence[int] | None = None) -> Image.Image:
        """Draw the map over the photograph.

        Args:
            bands: Channels of the photograph, numbered from 0, that are shown as red, green and blue, or one as grey;
                None shows the first three, and of fewer the first.

        Raises:
            InputError: There are no such channels.
        """
        shown = self.image[0, list(shown_bands(bands, self.image.shape[1]))]
        return overlay(shown.expand(3, -1, -1), self.saliency[0])

    def save(self, path: str | Path, bands: Sequence[int] | None = None) -> Path:
        """Save the map over the photograph.

        Args:
            path: File of the picture, such as "map.png".
            bands: Channels of the photograph that are shown, as for `picture`.

        Returns:
            The same path.

        Raises:
            InputError: The file cannot be written, or there are no such channels.
        """
        path = Path(path)
        try:
            save_picture(self.picture(bands), path)
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror or error}") from error
        return path

    def __repr__(self) -> str:
        height, width = self.image.shape[-2:]
        return f"{self.method} of {self.label!r} (p {self.probability:.3f}), {height}×{width}"

    def _repr_html_(self) -> str:
        """Show the picture and the class in a notebook."""
        file = io.BytesIO()
        picture = self.picture()
        picture.thumbnail((512, 512))
        picture.save(file, "PNG")
        data = base64.b64encode(file.getvalue()).decode()
        return f'<figure><img src="data:image/png;base64,{data}"><figcaption>{escape(repr(self))}</figcaption></figure>'


def explain(
    model: str | nn.Module,
    photo: Photo,
    method: str | Attribution = "FastCAM",
    target: int | str | Score | None = None,
    *,
    image_size: int | None = None,
    classes: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    device: str | torch.device | None = None,
    **hyperparameters: Any,
) -> MethodExplanation:
    """Explain one photograph by a method.

    Args:
        model: Classifier: a network, the name of one that `Explanandum` knows ("resnet50", "timm/…" and "hf/…" come
            with their published weights), or an `Explanandum`. A network is left as it is.
        photo: Photograph: a file, a PIL image, or a tensor (C, H, W) or (1, C, H, W) in [0, 1], with the C channels of
            the classifier. A picture becomes RGB for one of three channels, and grey, with all its bits, for one of
            one; arrays (C, H, W) in .npy files and TIFF files of C bands are read too.
        method: Name of a method of `explainer.attribution`, or a method.
        target: Class that is explained, by its index or its name; None takes the most probable one. Or a function from
            what the network returns to one number an image, which is explained in place of a class.
        image_size: Side in pixels at which the classifier sees the photograph; None takes what it says of itself, else
            224.
        classes: Names of the classes; None takes the classifier's.
        mean: Mean colour of the classifier's normalisation, a number in [0, 1] for each channel; None as for
            `Explanandum`.
        std: Standard deviation of that normalisation; None as for `Explanandum`.
        device: Device on which to run; None leaves a network where it is, and takes the GPU for others.
        hyperparameters: Hyperparameters of the method, where that is a name.

    Returns:
        The map, and the classifier's probabilities.

    Raises:
        InputError: There is no such method, class or file, or the method cannot explain such a network.

    Example:
        >>> import torchvision
        >>> result = explain(torchvision.models.alexnet(), torch.rand(3, 80, 60), "Gradient", target=7)
        >>> result.saliency.shape, result.target
        (torch.Size([1, 1, 80, 60]), 7)
    """
    chosen = build_method(method, hyperparameters)
    explanandum = classifier_of(model, mean, std)
    if device is not None or isinstance(model, str):
        explanandum = explanandum.to(choose_device(None if device is None else str(device)))
    if callable(target):
        explanandum = Scored(explanandum, target)
        target = 0
        classes = None  # the score is the only one
    image = read_photo(photo, explanandum.channels)
    side = image_size or side_of(explanandum)
    small = resize(image.to(explanandum.mean.device), (side, side))
    try:
        with torch.no_grad():
            logits = explanandum(small)
    except InputError:
        raise
    except Exception as error:  # what a network says of a size that it does not take may be anything
        words = one_line(error)
        raise InputError(
            f"the classifier does not run on images of {side} pixels ({words}): give image_size"
        ) from error
    names = names_of(explanandum, classes, logits.shape[1])
    index = class_index(target, names, logits[0])
    saliency = chosen(explanandum, small, torch.tensor([index], device=small.device)).detach().cpu()
    name = method if isinstance(method, str) else type(method).__name__
    probabilities = explanandum.probabilities(logits)[0].cpu()
    return MethodExplanation(image, saliency, name, index, probabilities, names)


def shown_bands(bands: Sequence[int] | None, channels: int) -> tuple[int, ...]:
    """Return the channels that pictures show: three, as red, green and blue, or one, as grey.

    Args:
        bands: Channels, numbered from 0; None takes the first three, or the first of fewer.
        channels: Number of channels of the photograph.

    Raises:
        InputError: There are neither one nor three, or no such channels.

    Example:
        >>> shown_bands(None, 13), shown_bands((3, 2, 1), 13), shown_bands(None, 1)
        ((0, 1, 2), (3, 2, 1), (0,))
    """
    if bands is None:
        return (0, 1, 2) if channels >= 3 else (0,)
    numbers = tuple(bands)
    if len(numbers) not in (1, 3) or not all(isinstance(band, int) and 0 <= band < channels for band in numbers):
        raise InputError(f"bands are one or three channels from 0 to {channels - 1}, got {numbers}")
    return numbers


def names_of(explanandum: Explanandum, classes: Sequence[str] | None, count: int) -> tuple[str, ...]:
    """Return the names of a classifier's classes.

    Args:
        explanandum: Classifier.
        classes: Names as they are given; None takes the classifier's own, or numbers.
        count: Number K of its classes.

    Raises:
        InputError: There are more names, or fewer.
    """
    names = tuple(classes or explanandum.classes or map(str, range(count)))
    if len(names) != count:
        raise InputError(f"the classifier has {count} classes, and {len(names)} names are given")
    return names


def side_of(explanandum: Explanandum) -> int:
    """Return the side in pixels of the images that a classifier takes: what it says of itself, else 224."""
    return explanandum.image_size or sides(explanandum.network)[0]


def classifier_of(
    model: str | nn.Module,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Explanandum:
    """Make an explanandum of a classifier.

    Args:
        model: Network, name, or explanandum.
        mean: Mean colour of its normalisation.
        std: Standard deviation of its normalisation.

    Returns:
        The explanandum; one that is given is returned.
    """
    if isinstance(model, Explanandum):
        return model
    if isinstance(model, nn.Module):
        return Explanandum(model, mean=mean, std=std)  # type: ignore[arg-type]
    return Explanandum(model, weights="DEFAULT" if has_published_weights(model) else None, mean=mean, std=std)


def has_published_weights(name: str) -> bool:
    """Say whether a network comes with weights of its library.

    Args:
        name: Name of a network, as `Explanandum` takes it.

    Example:
        >>> has_published_weights("resnet50"), has_published_weights("my_models.my_network")
        (True, False)
    """
    return name.startswith("timm/") or name in models.list_models()


def build_method(method: str | Attribution, hyperparameters: dict[str, Any]) -> Attribution:
    """Build a method from its name.

    Args:
        method: Name of a class of `explainer.attribution`, or a method.
        hyperparameters: Arguments of the class.

    Raises:
        InputError: There is no such method, it wants something else, or a method came with hyperparameters.

    Example:
        >>> build_method("RISE", {"masks": 100}).masks
        100
    """
    if isinstance(method, Attribution):
        if hyperparameters:
            raise InputError(f"{next(iter(hyperparameters))} cannot be set: the method is built already")
        return method
    kinds = {
        name: kind
        for name, kind in vars(attribution).items()
        if inspect.isclass(kind) and issubclass(kind, Attribution) and not inspect.isabstract(kind)
    }
    wanted = {name.casefold().replace("-", ""): kind for name, kind in kinds.items()}
    kind = wanted.get(method.casefold().replace("-", "").replace("++", "plusplus"))
    if kind is None:
        raise InputError(f"there is no method {method!r}, only {', '.join(sorted(kinds))}")
    try:
        return kind(**hyperparameters)
    except TypeError as error:
        known = ", ".join(name for name in inspect.signature(kind).parameters) or "none"
        raise InputError(f"{method} takes the hyperparameters {known} ({error})") from error


def class_index(target: int | str | None, names: Sequence[str], logits: Tensor) -> int:
    """Return the index of the class that is explained.

    Args:
        target: Index, name, or None for the most probable class.
        names: Names of the classes.
        logits: Logits (K,).

    Raises:
        InputError: There is no such class.

    Example:
        >>> class_index("dog", ["cat", "dog"], torch.zeros(2)), class_index(None, ["a", "b"], torch.tensor([0.0, 1.0]))
        (1, 1)
    """
    if target is None:
        return int(logits.argmax())
    if isinstance(target, str):
        if target not in names:
            raise InputError(f"no class {target!r}; there are {', '.join(names[:20])}")
        return list(names).index(target)
    if not 0 <= int(target) < len(names):
        raise InputError(f"target {target} is no class: they are numbered from 0 to {len(names) - 1}")
    return int(target)
