"""Explain photographs with a trained Explainer: one forward pass, a mask for every class."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as tvf

from explainer.errors import InputError
from explainer.files.pictures import read_picture
from explainer.functional.masking import composite
from explainer.functional.resizing import bands, resize, resize_bands
from explainer.inference.explanation import Explanation, highest_rows, to_float
from explainer.networks.devices import choose_device
from explainer.networks.restore import load_explainer


class Explainer(nn.Module):
    """A masker and the classifier that it explains, from one checkpoint.

    Args:
        path: checkpoints/<config>.ckpt, as train.py wrote it; nothing else is needed.
        device: Where to run; None takes the GPU when there is one.
        allow: Dotted names of builders, modules or packages that the checkpoint's classifier may come from.

    Raises:
        InputError: There is no such device, or the checkpoint cannot be used.
    """

    def __init__(self, path: str | Path, device: str | torch.device | None = None, allow: Sequence[str] = ()) -> None:
        super().__init__()
        self.explanandum, self.masker, self.spec = load_explainer(path, choose_device(device), allow)
        self.classes: tuple[str, ...] = self.explanandum.classes
        self.image_size: int = self.spec["image_size"]

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.explanandum.mean.device

    @torch.no_grad()
    def masks(self, images: Tensor, classes: Sequence[str] | None = None) -> Tensor:
        """Class masks.

        Args:
            images: (B, 3, H, W), RGB in [0, 1], any size; the networks see them at `image_size`.
            classes: Names of the classes wanted; only their masks are enlarged to the images' size. None takes all.

        Returns:
            (B, K, H, W) in [0, 1], 1 = what the classifier used for the class; of `classes`, in their order.

        Raises:
            InputError: Not such a tensor, or no class has such a name.
        """
        check_images(images)
        logits = self.masker(self._small(images)).float()
        if classes is not None:
            unknown = [name for name in classes if name not in self.classes]
            if unknown:
                raise InputError(f"no class {unknown[0]!r}; there are {', '.join(self.classes[:20])}")
            logits = logits[:, [self.classes.index(name) for name in classes]]
        if logits.shape[-2:] != images.shape[-2:]:
            logits = F.interpolate(logits, images.shape[-2:], mode="bilinear", align_corners=False)
        return logits.sigmoid().to(images.device)

    def _small(self, images: Tensor) -> Tensor:
        return resize(images.to(self.device, torch.float32), (self.image_size, self.image_size))

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
            top: So many of the most probable classes, at least one, count as present when none reaches it (or
                single-label).

        Returns:
            Masks, probabilities and class names; what is at the photograph's size is computed when it is asked for.

        Raises:
            InputError: The file cannot be read, the tensor is no such image, `top` is below 1, or
                `threshold` is no number.
        """
        if top < 1:
            raise InputError(f"top must be at least 1, got {top}")
        if math.isnan(threshold):
            raise InputError("threshold must be a number, got nan")
        pixels = read_pixels(photo)
        size, side = (pixels.shape[-2], pixels.shape[-1]), (self.image_size, self.image_size)
        small = resize_bands((to_float(pixels[..., rows, :]) for rows in bands(*size)), side).to(self.device)
        said, logits = (part.float() for part in self.masker.with_logits(small))
        scores = self.explanandum.probabilities(said)[0]
        order = scores.argsort(descending=True).tolist()
        reached = [c for c in order if scores[c] >= threshold] if self.explanandum.multilabel else []
        predicted = reached or order[:top]
        logits = logits.cpu()
        parts = (highest_rows(logits, size, rows, predicted) for rows in bands(*size))
        seen = resize_bands(parts, side).to(self.device)
        both = torch.cat([composite(small, m, self.explanandum.mean_colour) for m in (seen, 1 - seen)])
        kept, removed = self.explanandum.probabilities(self.explanandum(both).float()).cpu()
        return Explanation(pixels, self.classes, scores.cpu(), logits, tuple(predicted), kept, removed)


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


def read_photo(photo: str | Path | Image.Image | Tensor) -> Tensor:
    """Read any photograph as (1, 3, H, W) in [0, 1], as the data sets do (explainer.files.pictures).

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
    return to_float(read_pixels(photo))


def read_pixels(photo: str | Path | Image.Image | Tensor) -> Tensor:
    """Read a photograph as `read_photo` does, but without turning bytes into floats.

    Args:
        photo: A file, a PIL image, or a tensor (3, H, W) or (1, 3, H, W).

    Returns:
        (1, 3, H, W): uint8, or float32 in [0, 1] where a tensor was given.

    Raises:
        InputError: The file cannot be read, or the tensor is no image.
    """
    if isinstance(photo, Tensor):
        photo = photo if photo.ndim == 4 else photo[None]
        check_images(photo)
        if len(photo) != 1:
            raise InputError(f"explain() takes one image, got {len(photo)}; use masks() for a batch")
        return photo.detach().float().cpu()
    return tvf.pil_to_tensor(read_picture(photo))[None]
