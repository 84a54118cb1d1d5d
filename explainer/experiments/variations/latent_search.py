r"""Semantic in-painting: codes of a generator whose images agree with what is known around the box.

S. Thakur, S. Fischmeister: A Generalizable Saliency Map-Based Interpretation of Model Outcome, ICPR 2020 (section
III-B, Eq. 1 to 3), after R. A. Yeh, C. Chen, T. Y. Lim, A. G. Schwing, M. Hasegawa-Johnson, M. N. Do: Semantic Image
Inpainting with Deep Generative Models, CVPR 2017, whose settings stand in where the paper gives none (λ, steps,
learning rate, codes clipped to [−1, 1]).

Departures. Eq. 1 weighs by 1 − R with R the complement of the box, convolved; taken literally that weighs the missing
pixels most. Its factor is applied to the known pixels alone, as Yeh et al. do. The weighted errors are averaged, not
summed: a smaller box has fewer pixels around it, and its loss would be lower for that reason alone. Eq. 2 takes the
critic's confidence; here its logarithm, which has a slope where the critic is sure of a fake.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from explainer.errors import InputError
from explainer.experiments.variations.base import Patches, Variation
from explainer.experiments.variations.box import surroundings
from explainer.files import digest
from explainer.networks.generative.dcgan import DCGAN
from explainer.networks.modes import evaluation_mode
from explainer.networks.restore import load_generator

Context = Literal["l1", "squared"]


def reconstruction_mask(keep: Tensor, window: int = 15) -> Tensor:
    r"""Weigh each known pixel by how much of the box is near it.

    .. math:: w_u = m_u \sum_v \kappa(u - v) (1 - m_v), \quad \kappa(d) \propto 1 / \max(1, |d|)

    Args:
        keep: m, (B, 1, H, W) of 0 and 1, 0 in the box.
        window: Side of the kernel κ, odd; its weights add up to 1.

    Returns:
        (B, 1, H, W) in [0, 1], higher counts more; 0 in the box, and farther from it than half the window.

    Raises:
        InputError: The window has no middle.

    Example:
        >>> keep = torch.ones(1, 1, 1, 5)
        >>> keep[..., 2] = 0
        >>> reconstruction_mask(keep, 3).gt(0).flatten().tolist()
        [False, True, False, True, False]
    """
    if window < 1 or window % 2 == 0:
        raise InputError(f"the window of a reconstruction mask must be odd and positive, got {window}")
    reach = (torch.arange(window, device=keep.device) - window // 2).float()
    distances = torch.hypot(reach[:, None], reach[None, :])
    # the kernel's middle has distance 0: it counts like a neighbour
    kernel = 1 / distances.clamp_min(1)
    kernel = kernel / kernel.sum()
    box = 1 - keep
    near = F.conv2d(box, kernel.to(keep)[None, None], padding=window // 2)
    return keep * near


def context_loss(generated: Tensor, image: Tensor, weight: Tensor, kind: Context = "l1") -> Tensor:
    r"""Measure how far generated images are from the known pixels.

    .. math:: L_{cxt}(z) = \frac{\sum_u w_u \, |I_u - G(z)_u|^p}{\sum_u w_u} \quad (1)

    Args:
        generated: Images of the generator, (N, 3, S, S) in [0, 1].
        image: Image whose known pixels they should match, (N, 3, S, S) in [0, 1].
        weight: Weight of each pixel, (N, 1, S, S), at least 0.
        kind: "l1" (p = 1, as in Yeh et al., whose λ belongs to it) or "squared" (p = 2, as in the paper's text).

    Returns:
        (N,) in [0, 1], lower is better; 0 where no pixel has a weight.

    Example:
        >>> context_loss(torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2), torch.rand(1, 1, 2, 2)).round().item()
        1.0
    """
    difference = generated - image
    error = difference.abs() if kind == "l1" else difference.square()
    error_of_pixels = error.mean(1, keepdim=True)
    weighted = (weight * error_of_pixels).sum((1, 2, 3))
    # without any weight the sum above is 0 too: the loss is then 0, not NaN
    total = weight.sum((1, 2, 3)).clamp_min(1e-12)
    return weighted / total


def discriminative_loss(realism: Tensor) -> Tensor:
    r"""Measure how sure the critic is that images were generated.

    .. math:: L_{dis}(z) = -\log \sigma(D(G(z))) \quad (2)

    Args:
        realism: Critic's logits, (N,), higher is more real.

    Returns:
        (N,), at least 0, lower is better.

    Example:
        >>> discriminative_loss(torch.zeros(1)).exp().item()
        2.0
    """
    return F.softplus(-realism)


@dataclass(frozen=True)
class SearchSettings:
    """How codes are searched.

    Attributes:
        steps: Number of steps of Adam; 0 takes the codes as they are.
        learning_rate: Learning rate of Adam.
        realism: λ, the weight of the discriminative loss.
        context: Error of the known pixels, "l1" or "squared", as in `context_loss`.
        clip: Largest absolute value of a code; None leaves codes free.
    """

    steps: int = 1000
    learning_rate: float = 0.01
    realism: float = 0.003
    context: Context = "l1"
    clip: float | None = 1.0


class Found(NamedTuple):
    """Where a search ended.

    Attributes:
        codes: Codes, (N, latent).
        images: Images of the codes, (N, 3, S, S) in [0, 1].
        loss: Loss of each code, (N,), lower is better.
    """

    codes: Tensor
    images: Tensor
    loss: Tensor


def search(
    network: DCGAN,
    codes: Tensor,
    image: Tensor,
    weight: Tensor,
    labels: Tensor | None = None,
    settings: SearchSettings | None = None,
    tick: Callable[[], object] = lambda: None,
) -> Found:
    r"""Improve all codes at once by Adam; no code depends on the others.

    .. math:: z' = \arg\min_z L_{cxt}(z | I, R) + \lambda L_{dis}(z) \quad (3)

    Args:
        network: Generator with its critic.
        codes: Codes to start from, (N, latent).
        image: Image that each code should match, (N, 3, S, S) in [0, 1].
        weight: Weight of each pixel, (N, 1, S, S), at least 0; 0 where nothing is known.
        labels: Class of each image, (N,) long, for a generator of classes.
        settings: Settings of the search; None takes the defaults.
        tick: Function that is called after each step.

    Returns:
        Codes, images, and the loss of Eq. 3, in the order given.

    Example:
        >>> network, image = DCGAN(8, latent=4, width=2), torch.rand(2, 3, 8, 8)
        >>> search(network, torch.zeros(2, 4), image, image[:, :1], None, SearchSettings(steps=1)).images.shape
        torch.Size([2, 3, 8, 8])
    """
    settings = settings or SearchSettings()

    def objective(codes: Tensor) -> tuple[Tensor, Tensor]:
        images = network.generate(codes, labels)
        judged = discriminative_loss(network.realism(images, labels))
        loss = context_loss(images, image, weight, settings.context) + settings.realism * judged
        return images, loss

    # explanations are made under no_grad; evaluation mode, so that batch statistics do not tie the codes together
    with torch.enable_grad(), evaluation_mode(network):
        codes = codes.detach().clone().requires_grad_()
        optimizer = torch.optim.Adam([codes], lr=settings.learning_rate)
        for _ in range(settings.steps):
            _, loss = objective(codes)
            # the gradient of the codes alone: the network's own gradients stay as they are
            (codes.grad,) = torch.autograd.grad(loss.sum(), codes)
            optimizer.step()
            if settings.clip is not None:
                codes.data.clamp_(-settings.clip, settings.clip)
            tick()
        with torch.no_grad():
            images, loss = objective(codes)
    return Found(codes.detach(), images, loss)


class LatentSearch(Variation):
    """Images of a DCGAN that agree with what is around the box: one for each of k random codes, all in one batch.

    The generator makes images of one size S. It is shown the whole image, resized to S×S as in the paper, or with
    `zoom` a square around the box. What it makes is resized back. A pixel of the S×S is known when no pixel of the box
    went into it. The reconstruction mask is made at S×S. A generator of classes is asked for the target.

    Args:
        checkpoint: Checkpoint of a DCGAN, as train.py wrote it.
        count: Number k of variations of an image.
        steps: Number of steps of Adam. 0 gives samples of the generator as they are; only a generator of classes then
            keeps to the class.
        learning_rate: Learning rate of Adam.
        realism: λ, the weight of the discriminative loss.
        context: Error of the known pixels, "l1" or "squared", as in `context_loss`.
        window: Side of the kernel of the reconstruction mask, in pixels of the generator.
        clip: Largest absolute value of a code; None leaves codes free.
        zoom: Margin around the box that the generator sees on each side, as a part of the box's longer side: for
            generators of crops. None shows the whole image.
        blend: Whether the patch's colours are moved so that it joins the image without a seam.
        seed: Seed of the codes, from which every image starts.
        batch_size: Largest number of codes that are searched at once.

    Raises:
        InputError: The checkpoint is missing or of another kind, or a number is out of range.
    """

    def __init__(
        self,
        checkpoint: str,
        count: int = 64,
        steps: int = 1000,
        learning_rate: float = 0.01,
        realism: float = 0.003,
        context: Context = "l1",
        window: int = 15,
        clip: float | None = 1.0,
        zoom: float | None = None,
        blend: bool = True,
        seed: int = 0,
        batch_size: int = 64,
    ) -> None:
        super().__init__(count, blend, seed, batch_size)
        if steps < 0 or learning_rate <= 0 or realism < 0 or (clip is not None and clip <= 0):
            raise InputError("variation LatentSearch: steps and realism are at least 0, learning_rate and clip above 0")
        if zoom is not None and zoom <= 0:
            raise InputError(f"variation LatentSearch: zoom must be positive, got {zoom}; null shows the whole image")
        # for its check of the window alone: a wrong one is refused here, and not after the first image
        reconstruction_mask(torch.ones(1, 1, 1, 1), window)
        self.network = load_generator(checkpoint)
        self.checkpoint = checkpoint
        # all public attributes are part of the fingerprint of results: the digest tells another checkpoint of this name
        self.digest = digest(checkpoint)
        self.iterations = steps
        self.learning_rate = learning_rate
        self.realism = realism
        self.context: Context = context
        self.window = window
        self.clip = clip
        self.zoom = zoom

    @property
    def steps(self) -> int:
        """Number of steps of all parts in which the codes are searched."""
        parts = math.ceil(self.count / self.batch_size)
        return max(1, self.iterations * parts)

    def check(self, classes: Sequence[str]) -> None:
        """Refuse a generator of classes that are not the classifier's.

        Args:
            classes: Classes of the classifier.

        Raises:
            InputError: The classes differ.
        """
        generated = tuple(self.network.classes)
        if self.network.num_classes and generated != tuple(classes):
            first = ", ".join(generated[:3])
            asked = ", ".join(list(classes)[:3])
            raise InputError(
                f"{self.checkpoint} generates {len(generated)} classes ({first} …), the classifier knows "
                f"{len(classes)} ({asked} …): they must be the same"
            )

    def patches(
        self,
        image: Tensor,
        keep: Tensor,
        boxes: Tensor,
        target: Tensor | None,
        around: Tensor,
        tick: Callable[[], object],
    ) -> Patches:
        """Search for all images and codes, in parts of `batch_size`.

        Args:
            image: Images, (B, 3, H, W) in [0, 1].
            keep: Mask of what is known, (B, 1, H, W), 0 in the boxes.
            boxes: Boxes to fill, (B, 4) long.
            target: Classes, (B,) long, for a generator of classes.
            around: Boxes around which `zoom` looks, (B, 4) long.
            tick: Function that is called after each step.

        Returns:
            The images generated, with the loss of Eq. 3 and the reconstruction mask.

        Raises:
            InputError: A generator of classes got no target.
        """
        network = self.network.to(image.device)
        if network.num_classes and target is None:
            raise InputError(f"{self.checkpoint} generates classes: give a target (B,)")
        size = (image.shape[-2], image.shape[-1])
        views = self._views(around, size)
        seen = self._looked_at(image, views)
        # resized, a pixel that is 1 up to rounding has no part of the box in it
        known = self._looked_at(keep, views) > 1 - 1e-4
        weight = reconstruction_mask(known.to(image), self.window)
        start = self._start().to(image)
        settings = SearchSettings(self.iterations, self.learning_rate, self.realism, self.context, self.clip)
        images = []
        losses = []
        # code by code within image by image: entry i is code i mod k of image i div k
        entries = torch.arange(len(image) * self.count, device=image.device)
        for part in entries.split(self.batch_size):
            owner = part // self.count
            codes = start[part % self.count]
            labels = None
            if network.num_classes and target is not None:
                labels = target[owner]
            result = search(network, codes, seen[owner], weight[owner], labels, settings, tick)
            images.append(result.images)
            losses.append(result.loss)
        if not self.iterations:  # without a step, nothing has moved the progress bar yet
            tick()
        generated = torch.cat(images).unflatten(0, (len(image), self.count))
        loss = torch.cat(losses).view(len(image), self.count)
        matched = self._put_back(weight[:, None], views, size)[:, 0]
        return Patches(self._put_back(generated, views, size), loss, matched)

    def _start(self) -> Tensor:
        """Draw the codes (k, latent) from which every image's search starts."""
        generator = torch.Generator().manual_seed(self.seed)
        codes = self.network.codes(self.count, generator)
        if self.clip is None:
            return codes
        return codes.clamp(-self.clip, self.clip)

    def _views(self, around: Tensor, size: tuple[int, int]) -> list[list[int]]:
        """Return the part of each image that the generator sees: x0, y0, x1, y1."""
        if self.zoom:
            return surroundings(around, size, self.zoom).tolist()
        height, width = size
        return [[0, 0, width, height]] * len(around)

    def _looked_at(self, image: Tensor, views: list[list[int]]) -> Tensor:
        """Cut and resize each image's view: (B, C, H, W) → (B, C, S, S)."""
        side = self.network.image_size
        parts = []
        for n, (x0, y0, x1, y1) in enumerate(views):
            view = image[n : n + 1, :, y0:y1, x0:x1]
            parts.append(_resized(view, (side, side)))
        return torch.cat(parts)

    def _put_back(self, generated: Tensor, views: list[list[int]], size: tuple[int, int]) -> Tensor:
        """Resize images into their views: (B, k, C, S, S) → (B, k, C, H, W), 0 outside of the views."""
        placed = generated.new_zeros(*generated.shape[:3], *size)
        for n, (x0, y0, x1, y1) in enumerate(views):
            view = _resized(generated[n], (y1 - y0, x1 - x0))
            placed[n, ..., y0:y1, x0:x1] = view
        return placed


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize bilinearly; average where the image gets smaller."""
    if image.shape[-2:] == size:
        return image
    return F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)
