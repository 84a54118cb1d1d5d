"""What every method that perturbs images shares: scores of masked images, their gradients, masks from coarse grids.

Noise and random in-fills are drawn once for all the images of a batch, so that an image's map does not depend on
which others it was computed with.
"""

import math
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Literal, NamedTuple

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.nn import functional as F

from explainer.attribution.base import Attribution
from explainer.attribution.targets import one_target
from explainer.errors import InputError
from explainer.functional.masking import composite
from explainer.infill import Constant, Infill
from explainer.networks import Explanandum
from explainer.networks.folding import faster

Score = Literal["log_odds", "probability", "log_probability", "logit", "contrast"]
SHOW_FROM = 20
"""Loops of at least so many steps have a progress bar."""


class Explained(NamedTuple):
    """Result of a method that searches for a mask.

    Attributes:
        map: Map (B, 1, H, W), higher is more important.
        history: Course of the search: name → (steps, B).
        uncertainty: Standard deviation over mask samples, (B, 1, H, W), or None.
    """

    map: Tensor
    history: dict[str, Tensor]
    uncertainty: Tensor | None = None


class MaskSearch(Attribution):
    """A method that searches for a mask step by step, and has more to tell than the map."""

    @abstractmethod
    def explain(self, explanandum: Explanandum, image: Tensor, target: Tensor, progress: bool = True) -> Explained:
        """Search for the masks.

        Args:
            explanandum: Frozen classifier.
            image: Images (B, 3, H, W) in [0, 1].
            target: Classes (B,) long.
            progress: Whether a long search shows a progress bar, where a person is at a terminal.

        Returns:
            Map, with the history of the search.
        """

    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """Search for the masks, and return the maps alone."""
        return self.explain(explanandum, image, target, progress=False).map

    def maps_with_progress(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """Search for the masks under a progress bar, and return the maps alone."""
        return self.explain(explanandum, image, target).map


def score_of(logits: Tensor, target: Tensor, multilabel: bool | None, kind: Score) -> Tensor:
    r"""Compute the score of a class.

    .. math:: s(c|x) = \log p(c|x) - \log(1 - p(c|x))

    is FIDO's Eq. 3 (log-odds). For a softmax it is the logit less the log-sum-exp of the others, for a sigmoid the
    logit.

    Args:
        logits: Logits (N, K).
        target: Classes (N,) long.
        multilabel: Whether the classifier ends in sigmoids, else in a softmax; with one class it is always a sigmoid.
        kind: Kind of score: "log_odds", "probability" (in [0, 1]), "log_probability", "logit", or "contrast": the
            logit less the highest of the other classes (of one class alone, the logit).

    Returns:
        Scores (N,); the higher, the surer the classifier.

    Example:
        >>> score_of(torch.zeros(1, 2), torch.tensor([0]), False, "log_odds").item()
        0.0
    """
    single = logits.shape[1] == 1
    sigmoids = multilabel or single
    column = target[:, None]
    logit = logits.gather(1, column)[:, 0]
    # one class alone has no others to compare with, and the log-odds of a sigmoid are its logit
    if kind == "logit" or (kind == "contrast" and single) or (kind == "log_odds" and sigmoids):
        return logit
    if kind == "contrast":
        others = logits.scatter(1, column, -torch.inf)
        return logit - others.amax(1)
    if kind == "log_odds":
        others = logits.scatter(1, column, -torch.inf)
        return logit - others.logsumexp(1)
    log_probability = F.logsigmoid(logit) if sigmoids else logit - logits.logsumexp(1)
    if kind == "log_probability":
        return log_probability
    return log_probability.exp()


class MaskedScore:
    """Scores of images seen through masks, any number of masks an image, with or without gradients.

    Args:
        explanandum: Frozen classifier.
        image: Images (B, 3, H, W) in [0, 1].
        target: Classes (B,) long, or what `one_target` makes into that.
        infill: In-fill where a mask is 0; it sees the binary mask and is not differentiated. None is the explanandum's
            mean colour.
        kind: Kind of score.
        batch_size: Largest number of composites that go through the classifier at once.
        generator: Generator of stochastic in-fills and of the noise.
        noise: Standard deviation of Gaussian noise on what the classifier sees.
        threshold: Value of the mask above which the in-fill sees a pixel.
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
        # what was made in inference mode can have no gradient; its clone can
        with torch.inference_mode(False):
            self.image = image.detach().clone()
            self.target = one_target(target, image, explanandum.num_classes).clone()
        self.infill = infill or Constant(explanandum.mean_colour.flatten().tolist())
        if explanandum.classes:
            self.infill.check_classes(explanandum.classes)
        self.kind = kind
        self.batch_size = batch_size
        self.generator = generator
        self.noise = noise
        # an in-fill that never changes is computed once, not at every pass
        changing = self.infill.sees_mask or self.infill.stochastic
        self.fixed: Tensor | None = None
        if not changing:
            self.fixed = self.infill(self.image).detach()
        # bfloat16 has the range of float32, so that gradients need no scaling
        self.half = image.is_cuda and torch.cuda.is_bf16_supported()

    def __call__(self, masks: Tensor) -> Tensor:
        """Compute scores only: masks (S, B, 1, H, W) in [0, 1] → (S, B)."""
        with torch.no_grad():
            scores = [self._score(*part) for part in self._parts(masks)]
        return torch.cat(scores).view(masks.shape[:2])

    def with_gradient(self, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Compute scores (S, B), and their gradients to the masks (S, B, 1, H, W)."""
        scores = []
        gradients = []
        with torch.inference_mode(False), torch.enable_grad():
            for owner, part, fill, grain in self._parts(masks):
                # one backward pass a part: its graph is freed before the next one is built
                leaf = part.detach().clone().requires_grad_()
                score = self._score(owner, leaf, fill, grain)
                (gradient,) = torch.autograd.grad(score.sum(), leaf)
                gradients.append(gradient)
                scores.append(score.detach())
        all_scores = torch.cat(scores).view(masks.shape[:2])
        all_gradients = torch.cat(gradients).view(masks.shape)
        return all_scores, all_gradients

    def _parts(self, masks: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor | None, Tensor | None]]:
        """Yield indices of images, their masks, in-fills and noise, at most `batch_size` at once."""
        samples, count = masks.shape[:2]
        flat = masks.flatten(0, 1)
        drawn = self._drawn(masks)
        noise = None
        if self.noise:
            # one grain a sample, the same for all images
            shape = (samples, *self.image.shape[1:])
            noise = self.noise * torch.randn(shape, generator=self.generator, device=masks.device, dtype=masks.dtype)
        for start in range(0, len(flat), self.batch_size):
            part = flat[start : start + self.batch_size]
            index = torch.arange(start, start + len(part), device=masks.device)
            owner = index % count
            sample = index // count
            fill = self._fill(owner, part) if drawn is None else drawn[index]
            grain = None if noise is None else noise[sample]
            yield owner, part, fill, grain

    def _fill(self, owner: Tensor, mask: Tensor) -> Tensor:
        """Return the in-fill of some images, (N, 3, H, W) or, where one stands for all, (1, 3, 1 or H, 1 or W)."""
        if self.fixed is None:
            return self.infill(self.image[owner], self._binary(mask), self.generator).detach()
        if len(self.fixed) == 1:
            return self.fixed
        return self.fixed[owner]

    def _drawn(self, masks: Tensor) -> Tensor | None:
        """Draw from a stochastic in-fill once a sample, the same for all images: (S · B, 3, H, W)."""
        if not self.infill.stochastic:
            return None
        draws = []
        for mask in self._binary(masks):
            draw = self.infill(self.image, mask, self.generator).detach()
            draws.append(draw.expand_as(self.image))
        return torch.cat(draws)

    def _binary(self, masks: Tensor) -> Tensor:
        """Return 1 where a mask is above the threshold, else 0, in the masks' type."""
        return (masks.detach() > self.threshold).to(masks)

    def _score(self, owner: Tensor, mask: Tensor, fill: Tensor | None, grain: Tensor | None) -> Tensor:
        """Score some images, (N,) indices, each seen through a mask: (N,)."""
        with torch.autocast("cuda", torch.bfloat16) if self.half else nullcontext():
            pictures = self.look(owner, mask, fill)
            if grain is not None:
                pictures = pictures + grain
            logits = self.explanandum(pictures)
        return score_of(logits.float(), self.target[owner], self.explanandum.multilabel, self.kind)

    def look(self, owner: Tensor, mask: Tensor, fill: Tensor | None) -> Tensor:
        """Show images through masks: (N,) indices of images and (N, 1, H, W) masks → (N, 3, H, W)."""
        assert fill is not None
        return composite(self.image[owner], mask, fill)


def upsampled(grid: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarge grids bilinearly, with any leading dimensions: (..., 1, h, w) → (..., 1, H, W).

    It takes two matrix products: on a CPU, with many coarse masks, five times as fast as `F.interpolate`, gradient
    included.

    Args:
        grid: Grids (..., 1, h, w).
        size: H and W.

    Returns:
        Masks (..., 1, H, W).

    Example:
        >>> upsampled(torch.rand(4, 2, 1, 7, 7), (28, 28)).shape
        torch.Size([4, 2, 1, 28, 28])
    """
    rows = _interpolation(grid.shape[-2], size[0], grid)
    columns = _interpolation(grid.shape[-1], size[1], grid)
    return rows @ grid @ columns.T


def _interpolation(few: int, many: int, like: Tensor) -> Tensor:
    """Return the matrix of linear interpolation from few values to many, (many, few), of a tensor's type and device."""
    # interpolation is linear: what it makes of the unit vectors are the columns of its matrix
    unit_vectors = torch.eye(few).to(like)[None]
    return F.interpolate(unit_vectors, many, mode="linear", align_corners=False)[0].T


def squared_differences(mask: Tensor) -> Tensor:
    """Sum the squared differences of neighbouring pixels: (..., 1, H, W) → (...).

    Example:
        >>> squared_differences(torch.eye(2)[None]).item()
        4.0
    """
    across = mask.diff(dim=-1).square().sum((-3, -2, -1))
    down = mask.diff(dim=-2).square().sum((-3, -2, -1))
    return across + down


def steps(count: int, title: str, progress: bool) -> Iterator[int]:
    """Count up, with a progress bar where one is wanted, the loop is long, and a person is at a terminal.

    Args:
        count: Number of steps.
        title: Words beside the bar.
        progress: Whether a bar is wanted; a caller that shows one of its own wants none.

    Example:
        >>> list(steps(3, "short", progress=True))
        [0, 1, 2]
    """
    console = Console(stderr=True)
    shown = progress and count >= SHOW_FROM and console.is_terminal
    return iter(track(range(count), title, console=console, transient=True, disable=not shown))


def positive(method: object, **values: float) -> None:
    """Refuse a hyperparameter that must be above 0.

    Args:
        method: Method, or its name, for the error.
        values: Values by their names.

    Raises:
        InputError: Names the first that is not.

    Example:
        >>> positive("FIDO", steps=300)
    """
    for name, value in values.items():
        if not 0 < value < math.inf:
            owner = method if isinstance(method, str) else type(method).__name__
            raise InputError(f"attribution {owner}: {name} must be positive, got {value}")
