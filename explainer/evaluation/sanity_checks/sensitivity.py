"""How much a mask changes when the image hardly does.

C.-K. Yeh, C.-Y. Hsieh, A. S. Suggala, D. I. Inouye, P. Ravikumar: On the (In)fidelity and Sensitivity of Explanations,
NeurIPS 2019. As in the published code (and captum's), the ball is that of the largest difference of a value, and the
change counts relative to the map; unlike there, the images stay in [0, 1], and the same noise is drawn for all.
"""

import torch
from torch import Tensor

from explainer.errors import check_seed
from explainer.evaluation.sanity_checks.base import MethodRun, SanityCheck, check_setting
from explainer.metrics import Measured


def relative_change(mask: Tensor, other: Tensor) -> Tensor:
    """Compute the Euclidean norm of the difference, relative to that of the mask.

    Args:
        mask: Masks (B, 1, H, W), not 0 everywhere.
        other: Second mask or map, of the same shape.

    Returns:
        Change (B,), at least 0; lower is better.

    Example:
        >>> relative_change(torch.full((1, 1, 2, 2), 0.5), torch.ones(1, 1, 2, 2)).item()
        1.0
    """
    difference = (mask - other).flatten(1)
    return difference.norm(dim=1) / mask.flatten(1).norm(dim=1)


class Sensitivity(SanityCheck):
    """The largest relative change of the mask over some images near by; the method keeps its seed.

    Args:
        radius: Radius of the uniform noise on each value of the image, in units of its range [0, 1].
        samples: Number of images near by.
        seed: Seed of the noise, which is the same for every image.

    Raises:
        InputError: `radius` or `samples` is not positive.
    """

    higher_is_better = False
    paper = "Yeh et al., NeurIPS 2019"
    meaning = "Largest relative change of the map under small noise in the image."
    formula = r"\max_{\|\delta\|_\infty \le r} \|m(x + \delta) - m(x)\|_2 / \|m(x)\|_2"
    range = "[0, ∞)"

    def __init__(self, radius: float = 0.02, samples: int = 10, seed: int = 0) -> None:
        super().__init__()
        check_setting(self, radius > 0, f"radius must be positive, got {radius}")
        check_setting(self, samples >= 1, f"samples must be positive, got {samples}")
        check_seed(f"sanity check {type(self).__name__}: seed", seed)
        self.radius = radius
        self.samples = samples
        self.seed = seed

    def ask(self, run: MethodRun) -> Measured:
        """Take the largest change over the samples, one sample of all images at a time."""
        image = run.batch.image
        generator = torch.Generator().manual_seed(self.seed)
        worst = run.mask.new_zeros(len(image))
        for _ in range(self.samples):
            # one noise for all images: the value of an image does not depend on the others of its batch
            uniform = torch.rand(image.shape[1:], generator=generator)
            noise = self.radius * (2 * uniform - 1)
            # no classifier knows values outside the range of an image
            near = (image + noise.to(image)).clamp(0, 1)
            change = relative_change(run.mask, run.again(image=near))
            worst = worst.maximum(change)
        return Measured(worst)
