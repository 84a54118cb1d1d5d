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

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from explainer.errors import InputError
from explainer.experiments.variations.base import Patches, Variation
from explainer.experiments.variations.box import surroundings
from explainer.networks.generative.dcgan import DCGAN
from explainer.networks.modes import evaluation_mode
from explainer.networks.restore import load_generator

Context = Literal["l1", "squared"]


def reconstruction_mask(keep: Tensor, window: int = 15) -> Tensor:
    r"""How much each known pixel counts: the more, the more of the box is near.

    .. math:: w_u = m_u \sum_v \kappa(u - v) (1 - m_v), \quad \kappa(d) \propto 1 / \max(1, |d|)

    Args:
        keep: m, (B, 1, H, W) of 0 and 1, 0 in the box.
        window: Side of the kernel κ, odd; its weights add up to 1.

    Returns:
        (B, 1, H, W) in [0, 1]; 0 in the box, and farther from it than half the window.

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
    reach = torch.arange(window, device=keep.device) - window // 2
    kernel = 1 / torch.hypot(reach[:, None].float(), reach[None, :].float()).clamp_min(1)
    kernel = (kernel / kernel.sum()).to(keep)[None, None]
    return keep * F.conv2d(1 - keep, kernel, padding=window // 2)


def context_loss(generated: Tensor, image: Tensor, weight: Tensor, kind: Context = "l1") -> Tensor:
    r"""How far generated images are from the known pixels.

    .. math:: L_{cxt}(z) = \frac{\sum_u w_u \, |I_u - G(z)_u|^p}{\sum_u w_u} \quad (1)

    Args:
        generated: (N, 3, S, S) in [0, 1].
        image: The same shape.
        weight: (N, 1, S, S), at least 0.
        kind: "l1" (p = 1, Yeh et al., whose λ goes with it) or "squared" (p = 2, the paper's text).

    Returns:
        (N,) in [0, 1], lower is better; 0 where no pixel has a weight.

    Example:
        >>> context_loss(torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2), torch.rand(1, 1, 2, 2)).round().item()
        1.0
    """
    error = generated - image
    error = error.abs() if kind == "l1" else error.square()
    return (weight * error.mean(1, keepdim=True)).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp_min(1e-12)


def discriminative_loss(realism: Tensor) -> Tensor:
    r"""How surely the critic takes generated images for made up.

    .. math:: L_{dis}(z) = -\log \sigma(D(G(z))) \quad (2)

    Args:
        realism: (N,) logits, higher is more real.

    Returns:
        (N,), at least 0, lower is better.

    Example:
        >>> discriminative_loss(torch.zeros(1)).exp().item()
        2.0
    """
    return F.softplus(-realism)


class Found(NamedTuple):
    """Where a search ended: codes (N, latent), images (N, 3, S, S), and the loss (N,) of each."""

    codes: Tensor
    images: Tensor
    loss: Tensor


def search(
    network: DCGAN,
    codes: Tensor,
    image: Tensor,
    weight: Tensor,
    labels: Tensor | None = None,
    *,
    steps: int = 1000,
    learning_rate: float = 0.01,
    realism: float = 0.003,
    context: Context = "l1",
    clip: float | None = 1.0,
    tick: Callable[[], object] = lambda: None,
) -> Found:
    r"""Adam on all codes at once; each goes its own way, whatever the others do.

    .. math:: z' = \arg\min_z L_{cxt}(z | I, R) + \lambda L_{dis}(z) \quad (3)

    Args:
        network: The generator with its critic.
        codes: (N, latent), the start.
        image: (N, 3, S, S) in [0, 1], what is known of each.
        weight: (N, 1, S, S), at least 0; 0 where nothing is known.
        labels: (N,) long, for a generator of classes.
        steps: Of Adam; 0 takes the codes as they are.
        learning_rate: Of Adam.
        realism: λ.
        context: As in `context_loss`.
        clip: Codes stay within ± this; None leaves them free.
        tick: Called after each step.

    Returns:
        Codes, images, and the loss of Eq. 3, in the order given.

    Example:
        >>> network, image = DCGAN(8, latent=4, width=2), torch.rand(2, 3, 8, 8)
        >>> search(network, torch.zeros(2, 4), image, image[:, :1], steps=1).images.shape
        torch.Size([2, 3, 8, 8])
    """

    def objective(codes: Tensor) -> tuple[Tensor, Tensor]:
        images = network.generate(codes, labels)
        judged = discriminative_loss(network.realism(images, labels))
        return images, context_loss(images, image, weight, context) + realism * judged

    with torch.enable_grad(), evaluation_mode(network):
        codes = codes.detach().clone().requires_grad_()
        optimizer = torch.optim.Adam([codes], lr=learning_rate)
        for _ in range(steps):
            (codes.grad,) = torch.autograd.grad(objective(codes)[1].sum(), codes)
            optimizer.step()
            if clip is not None:
                codes.data.clamp_(-clip, clip)
            tick()
        with torch.no_grad():
            return Found(codes.detach(), *objective(codes))


class LatentSearch(Variation):
    """Images of a DCGAN that agree with what is around the box, from k random codes, all in one batch.

    The generator makes images of one size S. It is shown the whole image, resized to S×S as in the paper, or with
    `zoom` a square around the box: what it makes is resized back. Known are those of the S×S pixels into which no
    pixel of the box went. The reconstruction mask is made at S×S. A generator of classes is asked for the target.

    Args:
        checkpoint: Of a DCGAN, as train.py wrote it.
        count: k, as are the others of `Variation`.
        steps: Of Adam; 0 gives samples of the generator as they are, which only one of classes confines to the class.
        learning_rate: Of Adam.
        realism: λ, the weight of the discriminative loss.
        context: As in `context_loss`.
        window: Side of the kernel of the reconstruction mask, in pixels of the generator.
        clip: Codes stay within ± this; None leaves them free.
        zoom: None shows the whole image; a number a square around the box, with this part of the box's longer side on
            each side of it. For generators of crops.
        blend: As in `Variation`.
        seed: Of the codes, which every image starts from.
        batch_size: At most so many codes at once.

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
        reconstruction_mask(torch.ones(1, 1, 1, 1), window)
        self.network = load_generator(checkpoint)
        self.checkpoint, self.digest = checkpoint, hashlib.sha256(Path(checkpoint).read_bytes()).hexdigest()
        self.iterations, self.learning_rate, self.realism, self.context = steps, learning_rate, realism, context
        self.window, self.clip, self.zoom = window, clip, zoom

    @property
    def steps(self) -> int:
        """Steps of all parts that the codes are searched in."""
        return max(1, self.iterations * -(-self.count // self.batch_size))

    def check(self, classes: Sequence[str]) -> None:
        """A generator of classes must know the classifier's."""
        own = tuple(self.network.classes)
        if self.network.num_classes and own != tuple(classes):
            raise InputError(
                f"{self.checkpoint} generates {len(own)} classes ({', '.join(own[:3])} …), the classifier knows "
                f"{len(classes)} ({', '.join(list(classes)[:3])} …): they must be the same"
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
        """Search for all images and codes, in parts of `batch_size`."""
        network = self.network.to(image.device)
        if network.num_classes and target is None:
            raise InputError(f"{self.checkpoint} generates classes: give a target (B,)")
        size = (image.shape[-2], image.shape[-1])
        views = surroundings(around, size, self.zoom).tolist() if self.zoom else [[0, 0, size[1], size[0]]] * len(image)
        seen, known = self._looked_at(image, views), self._looked_at(keep, views)
        weight = reconstruction_mask((known > 1 - 1e-4).to(image), self.window)
        start = network.codes(self.count, torch.Generator().manual_seed(self.seed)).to(image)
        start = start if self.clip is None else start.clamp(-self.clip, self.clip)
        images, losses = [], []
        for index in torch.arange(len(image) * self.count, device=image.device).split(self.batch_size):
            owner = index // self.count
            labels = target[owner] if network.num_classes and target is not None else None
            found = search(
                network,
                start[index % self.count],
                seen[owner],
                weight[owner],
                labels,
                steps=self.iterations,
                learning_rate=self.learning_rate,
                realism=self.realism,
                context=self.context,
                clip=self.clip,
                tick=tick,
            )
            images.append(found.images)
            losses.append(found.loss)
        if not self.iterations:
            tick()
        made = torch.cat(images).unflatten(0, (len(image), self.count))
        return Patches(
            self._put_back(made, views, size),
            torch.cat(losses).view(len(image), self.count),
            self._put_back(weight[:, None], views, size)[:, 0],
        )

    def _looked_at(self, image: Tensor, views: list[list[int]]) -> Tensor:
        """(B, C, H, W) → (B, C, S, S), each image's view."""
        side = (self.network.image_size,) * 2
        return torch.cat(
            [_resized(image[n : n + 1, :, y0:y1, x0:x1], side) for n, (x0, y0, x1, y1) in enumerate(views)]
        )

    def _put_back(self, made: Tensor, views: list[list[int]], size: tuple[int, int]) -> Tensor:
        """(B, k, C, S, S) → (B, k, C, H, W), 0 outside of the views."""
        placed = made.new_zeros(*made.shape[:3], *size)
        for n, (x0, y0, x1, y1) in enumerate(views):
            placed[n, ..., y0:y1, x0:x1] = _resized(made[n], (y1 - y0, x1 - x0))
        return placed


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, averaging where it gets smaller."""
    if image.shape[-2:] == size:
        return image
    return F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)
