"""Occlusion through captum.

M. D. Zeiler, R. Fergus: Visualizing and Understanding Convolutional Networks, ECCV 2014.
"""

import torch
from captum.attr import Occlusion as CaptumOcclusion
from torch import Tensor

from explainer.attribution.base import Attribution
from explainer.attribution.masked_score import Score, positive, score_of
from explainer.errors import InputError
from explainer.networks import Explanandum


class Occlusion(Attribution):
    """How much the class's score falls when a window is covered with the mean colour, averaged over the windows.

    Args:
        window: Side in pixels.
        stride: In pixels, at most the window.
        score: Of the class.
        batch_size: At most so many occluded images at once.
    """

    def __init__(self, window: int = 32, stride: int = 16, score: Score = "probability", batch_size: int = 16) -> None:
        positive(self, window=window, stride=stride, batch_size=batch_size)
        if stride > window:
            raise InputError(f"attribution Occlusion: stride {stride} would skip pixels between windows of {window}")
        self.window, self.stride, self.score, self.batch_size = window, stride, score, batch_size

    @torch.no_grad()
    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """(B, 1, H, W), signed."""
        if self.window > min(image.shape[-2:]):
            raise InputError(
                f"attribution Occlusion: window {self.window} is larger than the image {tuple(image.shape[-2:])}"
            )
        baseline = explanandum.mean_colour
        found = []
        for one, its in zip(image.split(1), target.split(1), strict=True):

            def scores(seen: Tensor, its: Tensor = its) -> Tensor:
                return score_of(explanandum(seen).float(), its.expand(len(seen)), explanandum.multilabel, self.score)

            found.append(
                CaptumOcclusion(scores).attribute(
                    one,
                    sliding_window_shapes=(3, self.window, self.window),
                    strides=(3, self.stride, self.stride),
                    baselines=baseline.expand_as(one),
                    perturbations_per_eval=self.batch_size,
                )[:, :1]
            )
        return torch.cat(found).to(image.dtype)
