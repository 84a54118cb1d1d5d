"""What every method that perturbs images shares: scores of masked images, their gradients, masks from coarse grids.

Noise and random in-fills are drawn once for all the images of a batch, so that an image's map does not depend on
which others it was computed with.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Literal, NamedTuple

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.nn import functional as F

from explainer.attribution.targets import one_target
from explainer.errors import InputError
from explainer.functional.masking import composite
from explainer.infill import Constant, Infill
from explainer.networks import Explanandum
from explainer.networks.folding import faster

Score = Literal["log_odds", "probability", "log_probability", "logit", "contrast"]
SHOW_FROM = 20
"""Loops of at least so many steps have a progress bar."""
BARS: ContextVar[bool] = ContextVar("BARS", default=True)
"""Whether methods show progress bars of their own."""


class Explained(NamedTuple):
    """What a method that searches for a mask found.

    Attributes:
        map: (B, 1, H, W), higher is more important.
        history: Name → (steps, B): how the search went.
        uncertainty: (B, 1, H, W), or None: standard deviation over mask samples.
    """

    map: Tensor
    history: dict[str, Tensor]
    uncertainty: Tensor | None = None


def score_of(logits: Tensor, target: Tensor, multilabel: bool | None, kind: Score) -> Tensor:
    r"""A class's score.

    .. math:: s(c|x) = \log p(c|x) - \log(1 - p(c|x))

    is FIDO's Eq. 3 (log-odds); of a softmax it is the logit less the log-sum-exp of the others, of a sigmoid the logit.

    Args:
        logits: (N, K).
        target: (N,) long.
        multilabel: Whether the classifier ends in sigmoids (else softmax; with one class in a sigmoid anyway).
        kind: "log_odds", "probability" (in [0, 1]), "log_probability", "logit", or "contrast": the logit less the
            highest of the other classes (of one class alone, the logit).

    Returns:
        (N,), higher: the classifier is surer.

    Example:
        >>> score_of(torch.zeros(1, 2), torch.tensor([0]), False, "log_odds").item()
        0.0
    """
    own = logits.gather(1, target[:, None])
    if kind == "contrast" and logits.shape[1] > 1:
        return (own - logits.scatter(1, target[:, None], -torch.inf).amax(1, keepdim=True))[:, 0]
    if kind == "contrast":
        return own[:, 0]
    sigmoids = multilabel or logits.shape[1] == 1
    if kind == "logit" or (kind == "log_odds" and sigmoids):
        return own[:, 0]
    if kind == "log_odds":
        return (own - logits.scatter(1, target[:, None], -torch.inf).logsumexp(1, keepdim=True))[:, 0]
    log_probability = F.logsigmoid(own) if sigmoids else own - logits.logsumexp(1, keepdim=True)
    return (log_probability if kind == "log_probability" else log_probability.exp())[:, 0]


class MaskedScore:
    """Scores of images seen through masks, for so many masks an image, with or without gradients.

    Args:
        explanandum: The frozen classifier.
        image: (B, 3, H, W).
        target: (B,) long, or what `one_target` makes that of.
        infill: What stands where a mask is 0; it sees the binary mask and is not differentiated. None is the
            explanandum's mean colour.
        kind: Of score.
        batch_size: At most so many composites at once.
        generator: Of stochastic in-fills and of the noise.
        noise: Standard deviation of Gaussian noise on what the classifier sees.
        threshold: The in-fill sees the pixels whose mask is above it.
    """

    def __init__(
        self,
        explanandum: Explanandum,
        image: Tensor,
        target: Tensor,
        infill: Infill | None,
        kind: Score,
        batch_size: int,
        generator: torch.Generator | None = None,
        noise: float = 0.0,
        threshold: float = 0.5,
    ) -> None:
        self.explanandum = faster(explanandum, image)  # hundreds of passes follow
        self.threshold = threshold
        with torch.inference_mode(False):
            self.image = image.detach().clone()
            self.target = one_target(target, image, explanandum.num_classes).clone()
        self.infill = infill or Constant(explanandum.mean_colour.flatten().tolist())
        if explanandum.classes:
            self.infill.check_classes(explanandum.classes)
        self.kind, self.batch_size, self.generator, self.noise = kind, batch_size, generator, noise
        moving = self.infill.sees_mask or self.infill.stochastic
        self.fixed = None if moving else self.infill(self.image).detach()
        self.half = image.is_cuda and torch.cuda.is_bf16_supported()

    def __call__(self, masks: Tensor) -> Tensor:
        """Scores only: masks (S, B, 1, H, W) in [0, 1] → (S, B)."""
        with torch.no_grad():
            return torch.cat([self._score(*part) for part in self._parts(masks)]).view(masks.shape[:2])

    def with_gradient(self, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (S, B), and their gradients to the masks (S, B, 1, H, W)."""
        scores, gradients = [], []
        with torch.inference_mode(False), torch.enable_grad():
            for owner, part, fill, grain in self._parts(masks):
                part = part.detach().clone().requires_grad_()
                score = self._score(owner, part, fill, grain)
                gradients.append(torch.autograd.grad(score.sum(), part)[0])
                scores.append(score.detach())
        return torch.cat(scores).view(masks.shape[:2]), torch.cat(gradients).view(masks.shape)

    def _parts(self, masks: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor | None, Tensor | None]]:
        """Which images, their masks, in-fills and noise, at most `batch_size` at once."""
        samples, count = masks.shape[:2]
        flat, drawn = masks.flatten(0, 1), self._drawn(masks)
        grain = None
        if self.noise:
            shape = (samples, *self.image.shape[1:])
            grain = self.noise * torch.randn(shape, generator=self.generator, device=masks.device, dtype=masks.dtype)
        for start in range(0, len(flat), self.batch_size):
            index = torch.arange(start, min(start + self.batch_size, len(flat)), device=masks.device)
            owner, sample = index % count, index // count
            part = flat[start : start + self.batch_size]
            fill = drawn[index] if drawn is not None else self._fill(owner, part)
            yield owner, part, fill, None if grain is None else grain[sample]

    def _fill(self, owner: Tensor, mask: Tensor) -> Tensor:
        if self.fixed is not None:
            return self.fixed if len(self.fixed) == 1 else self.fixed[owner]
        return self.infill(self.image[owner], self._binary(mask), self.generator).detach()

    def _drawn(self, masks: Tensor) -> Tensor | None:
        """Of a stochastic in-fill a draw for each sample, the same for all images: (S · B, 3, H, W)."""
        if not self.infill.stochastic:
            return None
        binary = self._binary(masks)
        return torch.cat(
            [self.infill(self.image, own, self.generator).detach().expand_as(self.image) for own in binary]
        )

    def _binary(self, masks: Tensor) -> Tensor:
        return (masks.detach() > self.threshold).to(masks)

    def _score(self, owner: Tensor, mask: Tensor, fill: Tensor | None, grain: Tensor | None) -> Tensor:
        with torch.autocast("cuda", torch.bfloat16) if self.half else nullcontext():
            seen = self.look(owner, mask, fill)
            logits = self.explanandum(seen if grain is None else seen + grain)
        return score_of(logits.float(), self.target[owner], self.explanandum.multilabel, self.kind)

    def look(self, owner: Tensor, mask: Tensor, fill: Tensor | None) -> Tensor:
        """What the classifier sees: (N,) indices of images and (N, 1, H, W) masks → (N, 3, H, W)."""
        assert fill is not None
        return composite(self.image[owner], mask, fill)


def upsampled(grid: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, over any leading dimensions: (..., 1, h, w) → (..., 1, H, W).

    As two matrix products: on a CPU five times as fast, gradient included, as `F.interpolate` of many coarse masks.

    Example:
        >>> upsampled(torch.rand(4, 2, 1, 7, 7), (28, 28)).shape
        torch.Size([4, 2, 1, 28, 28])
    """
    rows, columns = (
        F.interpolate(torch.eye(few).to(grid)[None], many, mode="linear", align_corners=False)[0].T
        for few, many in zip(grid.shape[-2:], size, strict=True)
    )
    return rows @ grid @ columns.T


def squared_differences(mask: Tensor) -> Tensor:
    """Sum of the squared differences of neighbours: (..., 1, H, W) → (...).

    Example:
        >>> squared_differences(torch.eye(2)[None]).item()
        4.0
    """
    return mask.diff(dim=-1).square().sum((-3, -2, -1)) + mask.diff(dim=-2).square().sum((-3, -2, -1))


def steps(count: int, title: str) -> Iterator[int]:
    """Count up with a progress bar, where a person is looking and the loop is long.

    Example:
        >>> list(steps(3, "short"))
        [0, 1, 2]
    """
    console = Console(stderr=True)
    hidden = count < SHOW_FROM or not console.is_terminal or not BARS.get()
    return iter(track(range(count), title, console=console, transient=True, disable=hidden))


@contextmanager
def no_bars() -> Iterator[None]:
    """While open, methods show no progress bars: the harness shows its own.

    Example:
        >>> with no_bars(): BARS.get()
        False
    """
    token = BARS.set(False)
    try:
        yield
    finally:
        BARS.reset(token)


def positive(method: object, **values: float) -> None:
    """Refuse a hyperparameter that must be above 0.

    Args:
        method: Named in the error.
        values: Name → value.

    Raises:
        InputError: Names the first that is not.

    Example:
        >>> positive("FIDO", steps=300)
    """
    for name, value in values.items():
        if not 0 < value < math.inf:
            owner = method if isinstance(method, str) else type(method).__name__
            raise InputError(f"attribution {owner}: {name} must be positive, got {value}")
