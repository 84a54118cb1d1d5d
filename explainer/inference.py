"""Explain photographs with a trained Explainer: one forward pass, a mask for every class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as tvf

from explainer.errors import InputError
from explainer.masking import composite, target_mask
from explainer.networks.checkpoint import load_explainer


@dataclass(frozen=True)
class Explanation:
    """What the Explainer says of one image.

    Attributes:
        image: (1, 3, H, W) in [0, 1], at the photograph's size.
        classes: K names.
        probabilities: (K,) of the explanandum for the photograph.
        masks: (1, K, H, W) class masks in [0, 1], at the photograph's size.
        predicted: Indices of the classes that count as present, most probable first.
        target: (1, 1, H, W): the maximum of their masks.
        kept: (K,) probabilities of the photograph seen through `target`.
        removed: (K,) probabilities of the photograph seen through its complement.
    """

    image: Tensor
    classes: tuple[str, ...]
    probabilities: Tensor
    masks: Tensor
    predicted: tuple[int, ...]
    target: Tensor
    kept: Tensor
    removed: Tensor

    def mask(self, name: str) -> Tensor:
        """(1, 1, H, W): the mask of a class by its name."""
        if name not in self.classes:
            raise InputError(f"no class {name!r}; there are {', '.join(self.classes[:20])}")
        index = self.classes.index(name)
        return self.masks[:, index : index + 1]


class Explainer(nn.Module):
    """A masker and the classifier that it explains, from one checkpoint.

    Args:
        path: checkpoints/<config>.ckpt, as train.py wrote it; nothing else is needed.
        device: Where to run; None takes the GPU when there is one.
        allow: Packages whose callables the checkpoint may name to build its classifier.
    """

    def __init__(self, path: str | Path, device: str | torch.device | None = None, allow: Sequence[str] = ()) -> None:
        super().__init__()
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.explanandum, self.masker, self.spec = load_explainer(path, device, allow)
        self.classes: tuple[str, ...] = self.explanandum.classes
        self.image_size: int = self.spec["image_size"]

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.explanandum.mean.device

    @torch.no_grad()
    def masks(self, images: Tensor) -> Tensor:
        """Class masks.

        Args:
            images: (B, 3, H, W), RGB in [0, 1], any size; the networks see them at `image_size`.

        Returns:
            (B, K, H, W) in [0, 1], 1 = what the classifier used for the class.

        Raises:
            InputError: Not such a tensor.
        """
        check_images(images)
        return self._at(self._small(images), images.shape[-2:]).to(images.device)

    def _small(self, images: Tensor) -> Tensor:
        return resize(images.to(self.device, torch.float32), (self.image_size, self.image_size))

    def _at(self, small: Tensor, size: torch.Size) -> Tensor:
        logits = self.masker(small).float()
        if logits.shape[-2:] != size:
            logits = F.interpolate(logits, size, mode="bilinear", align_corners=False)
        return logits.sigmoid()

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """(B, K): the explanandum's probabilities for images as in `masks`."""
        check_images(images)
        return self.explanandum.probabilities(self.explanandum(self._small(images)).float())

    @torch.no_grad()
    def explain(self, photo: str | Path | Image.Image | Tensor, threshold: float = 0.5, top: int = 1) -> Explanation:
        """Explain one photograph.

        Args:
            photo: A file, a PIL image of any mode, or a tensor (3, H, W) or (1, 3, H, W) in [0, 1].
            threshold: A multi-label classifier's classes count as present from this probability on.
            top: So many of the most probable classes count as present when none reaches it (or single-label).

        Returns:
            Masks, probabilities and class names, at the photograph's size.

        Raises:
            InputError: The file cannot be read, or the tensor is no such image.
        """
        image = read_photo(photo)
        small = self._small(image)
        scores = self.explanandum.probabilities(self.explanandum(small).float())[0]
        order = scores.argsort(descending=True).tolist()
        reached = [c for c in order if scores[c] >= threshold] if self.explanandum.multilabel else []
        predicted = reached or order[:top]
        masks = self._at(small, image.shape[-2:])
        present = torch.zeros(1, len(scores), device=masks.device)
        present[0, predicted] = 1
        target = target_mask(masks, present)
        seen = resize(target, (self.image_size, self.image_size))
        both = torch.cat([composite(small, m, self.explanandum.mean_colour) for m in (seen, 1 - seen)])
        kept, removed = self.explanandum.probabilities(self.explanandum(both).float()).cpu()
        return Explanation(
            image, self.classes, scores.cpu(), masks.cpu(), tuple(predicted), target.cpu(), kept, removed
        )


def check_images(images: Tensor) -> None:
    """Refuse what is not a batch of RGB images in [0, 1].

    Args:
        images: Should be (B, 3, H, W).

    Raises:
        InputError: Names the shape, the type or the range.

    Example:
        >>> check_images(torch.rand(2, 3, 8, 8))
    """
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise InputError(f"images must have shape (B, 3, H, W), got {tuple(images.shape)}")
    if not images.is_floating_point():
        raise InputError(f"images must be floating point in [0, 1], got {images.dtype}; divide by 255")
    low, high = float(images.min()), float(images.max())
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        raise InputError(f"images must lie in [0, 1], got {low:.3g} to {high:.3g}: do not normalise them")


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear with antialiasing, as the data sets do: (B, C, H, W) → (B, C, *size)."""
    if images.shape[-2:] == torch.Size(size):
        return images
    return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)


def read_photo(photo: str | Path | Image.Image | Tensor) -> Tensor:
    """Any photograph as (1, 3, H, W) in [0, 1]; a camera's orientation tag is obeyed.

    Args:
        photo: A file, a PIL image, or a tensor (3, H, W) or (1, 3, H, W).

    Returns:
        (1, 3, H, W) in [0, 1].

    Raises:
        InputError: The file cannot be read, or the tensor is no image.

    Example:
        >>> read_photo(Image.new("L", (5, 4))).shape
        torch.Size([1, 3, 4, 5])
    """
    if isinstance(photo, Tensor):
        photo = photo if photo.ndim == 4 else photo[None]
        check_images(photo)
        if len(photo) != 1:
            raise InputError(f"explain() takes one image, got {len(photo)}; use masks() for a batch")
        return photo.detach().float().cpu()
    if isinstance(photo, str | Path):
        try:
            with Image.open(photo) as file:
                file.load()
                photo = file.copy()
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise InputError(f"cannot read image {photo}: {error}") from error
    upright = ImageOps.exif_transpose(photo)
    return tvf.to_dtype(tvf.to_image(to_rgb(upright)), torch.float32, scale=True)[None]


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB from any mode; transparent pixels are laid on white.

    Example:
        >>> to_rgb(Image.new("RGBA", (1, 1), (0, 0, 0, 0))).getpixel((0, 0))
        (255, 255, 255)
    """
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    if image.mode.startswith("I") or image.mode == "F":
        image = image.convert("F").point(lambda v: v / 257.0)
    return image.convert("RGB")
