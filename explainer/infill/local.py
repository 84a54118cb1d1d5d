"""The average of the pixels around that are still visible.

C.-H. Chang, E. Creager, A. Goldenberg, D. Duvenaud: Explaining Image Classifiers by Counterfactual Generation, ICLR
2019.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from explainer.errors import InputError
from explainer.infill.base import Infill


class Local(Infill):
    r"""Mean of the visible pixels in a window around each pixel; differentiable with respect to the mask.

    .. math:: \hat x_u = \frac{\sum_{v \in W(u)} z_v x_v}{\sum_{v \in W(u)} z_v}

    Where a window shows nothing, the mean of all visible pixels stands, and the image's own mean if there are none.

    Args:
        window: Side of the window in pixels, odd (15 in the paper, at 224×224).
    """

    sees_mask = True

    def __init__(self, window: int = 15) -> None:
        if window < 1 or window % 2 == 0:
            raise InputError(f"infill Local: window must be odd and positive, got {window}")
        self.window = window

    def __call__(self, image: Tensor, mask: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Average what is visible around each pixel: (B, 3, H, W)."""
        if mask is None:
            mask = torch.ones_like(image[:, :1])
        # where() computes both branches, and passes NaN on to the gradient: hence the lower bounds of the denominators
        visible = mask.sum((2, 3), keepdim=True)
        total = (mask * image).sum((2, 3), keepdim=True)
        visible_mean = total / visible.clamp_min(1e-6)
        image_mean = image.mean((2, 3), keepdim=True)
        everywhere = torch.where(visible > 0, visible_mean, image_mean)
        weight = self._box(mask)
        around = self._box(mask * image) / weight.clamp_min(1e-6)
        # clamped: the ratio of two rounded means may lie a little outside
        average = torch.where(weight > 1e-6, around, everywhere)
        return average.clamp(0, 1)

    def _box(self, values: Tensor) -> Tensor:
        """Average over the window; what lies outside the image counts as 0."""
        return F.avg_pool2d(values, self.window, 1, self.window // 2)
