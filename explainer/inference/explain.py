"""Explain photographs with a trained Explainer: one forward pass, a mask for every class."""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as tvf

from explainer.errors import InputError
from explainer.files.bands import read_bands
from explainer.files.pictures import read_picture
from explainer.functional.masking import composite, mask_of
from explainer.functional.resizing import bands, resize, resize_bands
from explainer.inference.explanation import Explanation, highest_rows, to_float
from explainer.inference.hub import check_name, save_folder, upload, weights_file
from explainer.inference.model_card import ModelCard
from explainer.networks.description import Explained
from explainer.networks.devices import choose_device
from explainer.networks.restore import load_explainer
from explainer.version import __version__


class Explainer(nn.Module):
    """A masker and the classifier that it explains, from one checkpoint.

    Args:
        path: Checkpoint checkpoints/<config>.ckpt, as train.py wrote it, or a folder that `save_pretrained` wrote;
            nothing else is needed.
        device: Device on which to run; None takes the GPU when there is one.
        allow: Dotted names of builders, modules or packages that the checkpoint's classifier may come from.
        model: Network of the classifier's kind, for a checkpoint of a network that no name builds; it is copied.

    Raises:
        InputError: There is no such device, or the checkpoint cannot be used.
    """

    def __init__(
        self,
        path: str | Path,
        device: str | torch.device | None = None,
        allow: Sequence[str] = (),
        model: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.path = weights_file(path)
        self.explanandum, self.masker, self.spec = load_explainer(self.path, choose_device(device), allow, model)
        self.classes: tuple[str, ...] = self.explanandum.classes
        self.image_size: int = self.spec["image_size"]

    @property
    def device(self) -> torch.device:
        """Device on which the networks are."""
        return self.explanandum.mean.device

    @torch.no_grad()
    def masks(self, images: Tensor, classes: Sequence[str] | None = None) -> Tensor:
        """Return class masks.

        Args:
            images: Images, (B, C, H, W) in [0, 1], RGB for most, of any size; the networks see them at `image_size`.
            classes: Names of the classes wanted; only their masks are enlarged to the images' size. None takes all.

        Returns:
            (B, K, H, W) in [0, 1], 1 = used by the classifier for the class; of `classes`, in their order.

        Raises:
            InputError: `images` is no such tensor, or no class has such a name.
        """
        check_images(images, self.explanandum.channels)
        logits = self.masker(self._small(images)).float()
        if classes is not None:
            unknown = [name for name in classes if name not in self.classes]
            if unknown:
                raise InputError(f"no class {unknown[0]!r}; there are {', '.join(self.classes[:20])}")
            indices = [self.classes.index(name) for name in classes]
            # before the enlargement, which costs most: masks that nobody wants are left out
            logits = logits[:, indices]
        if logits.shape[-2:] != images.shape[-2:]:
            logits = F.interpolate(logits, images.shape[-2:], mode="bilinear", align_corners=False)
        return mask_of(logits).to(images.device)

    def _small(self, images: Tensor) -> Tensor:
        """Return images at the networks' size, on their device."""
        side = self.image_size
        on_device = images.to(self.device, torch.float32)
        return resize(on_device, (side, side))

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """Return the explanandum's probabilities.

        Args:
            images: Images, (B, C, H, W) in [0, 1], RGB for most, of any size.

        Returns:
            (B, K) in [0, 1].

        Raises:
            InputError: `images` is no such tensor.
        """
        check_images(images, self.explanandum.channels)
        logits = self.explanandum(self._small(images)).float()
        return self.explanandum.probabilities(logits)

    @torch.no_grad()
    def explain(self, photo: str | Path | Image.Image | Tensor, threshold: float = 0.5, top: int = 1) -> Explanation:
        """Explain one photograph.

        Args:
            photo: Photograph: a file, a PIL image of any mode, or a tensor (C, H, W) or (1, C, H, W) in [0, 1].
            threshold: Probability from which a multi-label classifier's classes count as present.
            top: Number of the most probable classes, at least one, that count as present when none reaches the
                threshold, and for a single-label classifier.

        Returns:
            Masks, probabilities and class names. What has the photograph's size is computed when it is asked for.

        Raises:
            InputError: The file cannot be read, the tensor is no such image, `top` is below 1, or `threshold` is no
                number.
        """
        if top < 1:
            raise InputError(f"top must be at least 1, got {top}")
        if math.isnan(threshold):
            raise InputError("threshold must be a number, got nan")
        pixels = read_pixels(photo, self.explanandum.channels)
        size = (pixels.shape[-2], pixels.shape[-1])
        side = (self.image_size, self.image_size)
        # some rows at a time: as floats, a large photograph and its masks would not fit into the memory
        photo_bands = (to_float(pixels[..., rows, :]) for rows in bands(*size))
        small = resize_bands(photo_bands, side).to(self.device)
        # one pass for both where the masker reads the classifier's own features
        class_logits, mask_logits = self.masker.with_logits(small)
        probabilities = self.explanandum.probabilities(class_logits.float())[0]
        predicted = self._present(probabilities, threshold, top)
        mask_logits = mask_logits.float().cpu()
        mask_bands = (highest_rows(mask_logits, size, rows, predicted) for rows in bands(*size))
        # the mask that a person sees, shrunk again: not quite the one that the masker gave
        mask = resize_bands(mask_bands, side).to(self.device)
        colour = self.explanandum.mean_colour
        masked = composite(small, mask, colour)
        complement = composite(small, 1 - mask, colour)
        # one pass of two images in place of two
        logits = self.explanandum(torch.cat([masked, complement])).float()
        through_mask, through_complement = self.explanandum.probabilities(logits).cpu()
        return Explanation(
            pixels=pixels,
            classes=self.classes,
            probabilities=probabilities.cpu(),
            logits=mask_logits,
            predicted=tuple(predicted),
            through_mask=through_mask,
            through_complement=through_complement,
        )

    def save_pretrained(self, folder: str | Path, card: ModelCard | None = None) -> None:
        """Write a folder that `explainer.load` and `explainer.from_pretrained` read, as the Hugging Face Hub has it.

        Args:
            folder: Folder for model.safetensors, config.json and README.md, the model card; those that are there are
                replaced.
            card: What a reader should know of the networks; None says only what the networks themselves tell.

        Raises:
            OSError: Something cannot be written.
        """
        save_folder(folder, self.description(), self._weights(), card or ModelCard())

    def push_to_hub(
        self,
        repo_id: str,
        card: ModelCard | None = None,
        *,
        private: bool = False,
        token: str | None = None,
    ) -> str:
        """Upload what `save_pretrained` writes to the Hugging Face Hub.

        Args:
            repo_id: Name of the repository, owner/name; it is made when it is missing.
            card: What a reader should know of the networks.
            private: Whether a new repository is private.
            token: Token of the Hub; None takes that of `hf auth login`.

        Returns:
            Address of the upload.

        Raises:
            InputError: The name is none, or the Hub refuses it or cannot be reached.
        """
        check_name(repo_id)
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, replace(card or ModelCard(), repository=repo_id))
            return upload(folder, repo_id, private=private, token=token)

    def description(self) -> Explained:
        """Return what a checkpoint says of the networks, in plain values."""
        return {
            "version": __version__,
            "kind": "explainer",
            "image_size": self.image_size,
            "classes": list(self.classes),
            "multilabel": self.explanandum.multilabel,
            "explanandum": self.explanandum.spec,
            "masker": self.masker.spec,
        }

    def _weights(self) -> dict[str, Tensor]:
        """Return name → tensor of both networks, as a checkpoint names them."""
        weights = {f"explanandum.{name}": tensor for name, tensor in self.explanandum.state_dict().items()}
        return weights | {f"masker.{name}": tensor for name, tensor in self.masker.state_dict().items()}

    def _present(self, probabilities: Tensor, threshold: float, top: int) -> list[int]:
        """Return the classes that count as present, the most probable first."""
        order = probabilities.argsort(descending=True).tolist()
        # of a single-label classifier the likeliest class is the answer, however low its probability
        if self.explanandum.multilabel:
            reached = [index for index in order if probabilities[index] >= threshold]
            if reached:
                return reached
        return order[:top]


def check_images(images: Tensor, channels: int = 3) -> None:
    """Refuse what is not a batch of images in [0, 1].

    Args:
        images: Tensor that should be images, (B, C, H, W) in [0, 1].
        channels: Number C of channels that the classifier takes.

    Raises:
        InputError: Names the shape, the type or the range.

    Example:
        >>> check_images(torch.rand(2, 3, 8, 8))
    """
    if images.ndim != 4 or images.shape[1] != channels or 0 in images.shape:
        raise InputError(f"images must have shape (B, {channels}, H, W), got {tuple(images.shape)}")
    if not images.is_floating_point():
        raise InputError(f"images must be floating point in [0, 1], got {images.dtype}; divide by 255")
    low = float(images.min())
    high = float(images.max())
    # interpolation may go a little beyond; NaN fails both comparisons
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        raise InputError(f"images must lie in [0, 1], got {low:.3g} to {high:.3g}: do not normalise them")


def read_photo(photo: str | Path | Image.Image | Tensor, channels: int = 3) -> Tensor:
    """Read any photograph as (1, C, H, W) in [0, 1]: RGB as the data sets do, others as `explainer.files.bands`.

    Args:
        photo: Photograph: a file, a PIL image, or a tensor (C, H, W) or (1, C, H, W).
        channels: Number C of channels that the classifier takes.

    Returns:
        (1, C, H, W) in [0, 1].

    Raises:
        InputError: The file cannot be read, the tensor is no image, or either has another number of channels.

    Example:
        >>> read_photo(Image.new("L", (5, 4))).shape
        torch.Size([1, 3, 4, 5])
    """
    return to_float(read_pixels(photo, channels))


def read_pixels(photo: str | Path | Image.Image | Tensor, channels: int = 3) -> Tensor:
    """Read a photograph as `read_photo` does, but without turning the bytes of RGB into floats.

    Args:
        photo: Photograph: a file, a PIL image, or a tensor (C, H, W) or (1, C, H, W).
        channels: Number C of channels that the classifier takes.

    Returns:
        (1, C, H, W): uint8 of a picture in RGB, else float32 in [0, 1].

    Raises:
        InputError: The file cannot be read, the tensor is no image, or either has another number of channels.
    """
    if isinstance(photo, Tensor):
        if photo.ndim != 4:
            photo = photo[None]
        check_images(photo, channels)
        if len(photo) != 1:
            raise InputError(f"explain() takes one image, got {len(photo)}; use masks() for a batch")
        return photo.detach().float().cpu()
    is_array = isinstance(photo, str | Path) and Path(photo).suffix.lower() == ".npy"
    if channels != 3 or is_array:
        return torch.from_numpy(read_bands(photo, channels).copy())[None]
    return tvf.pil_to_tensor(read_picture(photo))[None]
