"""Occlusion through captum.

M. D. Zeiler, R. Fergus: Visualizing and Understanding Convolutional Networks, ECCV 2014.
"""

import torch
from torch import Tensor

from explainer.attribution.base import Attribution
from explainer.attribution.masked_score import Score, positive, score_of
from explainer.errors import InputError
from explainer.networks import Explanandum


class Occlusion(Attribution):
    """How much the class's score falls when a window is covered with the mean colour, averaged over the windows.

    Args:
        window: Side of the window in pixels.
        stride: Distance between windows in pixels, at most the window's side.
        score: Kind of the class's score.
        batch_size: Largest number of occluded images that go through the classifier at once.

    Raises:
        InputError: A number is not positive, the stride is longer than the window, or an image smaller.
    """

    def __init__(self, window: int = 32, stride: int = 16, score: Score = "probability", batch_size: int = 16) -> None:
        positive(self, window=window, stride=stride, batch_size=batch_size)
        if stride > window:
            raise InputError(f"attribution Occlusion: stride {stride} would skip pixels between windows of {window}")
        self.window = window
        self.stride = stride
        self.score = score
        self.batch_size = batch_size

    @torch.no_grad()
    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """Slide the window over each image: (B, 1, H, W), signed."""
        # late: captum loads libraries of its own, for which other methods do not wait
        from captum.attr import Occlusion as CaptumOcclusion

        if self.window > min(image.shape[-2:]):
            raise InputError(
                f"attribution Occlusion: window {self.window} is larger than the image {tuple(image.shape[-2:])}"
            )
        # the mean colour is 0 after the classifier's normalisation
        baseline = explanandum.mean_colour
        maps = []
        for picture, its_class in zip(image.split(1), target.split(1), strict=True):
            # a default binds the class now: a closure would see that of the last image
            def scores(occluded: Tensor, its_class: Tensor = its_class) -> Tensor:
                logits = explanandum(occluded).float()
                return score_of(logits, its_class.expand(len(occluded)), explanandum.multilabel, self.score)

            # the window covers all channels, so all values of a pixel are the same
            values = CaptumOcclusion(scores).attribute(
                picture,
                sliding_window_shapes=(image.shape[1], self.window, self.window),
                strides=(image.shape[1], self.stride, self.stride),
                baselines=baseline.expand_as(picture),
                perturbations_per_eval=self.batch_size,
            )
            maps.append(values[:, :1])
        return torch.cat(maps).to(image.dtype)
