"""LIME on superpixels, through captum.

M. T. Ribeiro, S. Singh, C. Guestrin: "Why Should I Trust You?" Explaining the Predictions of Any Classifier, KDD 2016.
"""

import importlib.util

import torch
from torch import Tensor

from explainer.attribution.base import Attribution, random_state_restored
from explainer.attribution.masked_score import Score, positive, score_of
from explainer.errors import InputError, check_seed, missing_extra
from explainer.networks import Explanandum


def superpixels(image: Tensor, count: int, compactness: float) -> Tensor:
    """Cut a picture into superpixels by SLIC.

    Args:
        image: Picture (3, H, W) in [0, 1].
        count: Number of superpixels, about.
        compactness: Compactness of SLIC; higher is more square.

    Returns:
        Index of each pixel's superpixel, (H, W) long, from 0.

    Raises:
        InputError: scikit-image is not installed.
    """
    try:
        from skimage.segmentation import slic
    except ImportError as error:
        raise missing_extra("LIME cuts images into superpixels by scikit-image", "lime") from error
    pixels = image.detach().permute(1, 2, 0).double().cpu().numpy()
    labels = slic(pixels, n_segments=count, compactness=compactness, start_label=0)
    if labels.max() == 0:  # noise: colour joins everything; cut it into squares
        labels = slic(pixels, n_segments=count, compactness=1e4, start_label=0)
    return torch.from_numpy(labels).long()


class LIME(Attribution):
    """The weight of each superpixel in a linear model of the class's score, for images with superpixels covered.

    Args:
        samples: Number of perturbed images.
        segments: Number of superpixels, about.
        compactness: Compactness of SLIC; higher is more square.
        kernel: Weights of the samples: "lime" (lasso, weights by cosine similarity) or "shap" (the weighting of Shapley
            values).
        score: Kind of the class's score.
        seed: Seed of the perturbations.
        batch_size: Largest number of perturbed images that go through the classifier at once.

    Raises:
        InputError: A number is not positive, the kernel or the seed is none, or a library is missing.
    """

    budget = "samples"

    def __init__(
        self,
        samples: int = 1000,
        segments: int = 50,
        compactness: float = 10.0,
        kernel: str = "lime",
        score: Score = "probability",
        seed: int = 0,
        batch_size: int = 16,
    ) -> None:
        positive(self, samples=samples, segments=segments, batch_size=batch_size)
        if kernel not in ("lime", "shap"):
            raise InputError(f"attribution LIME: kernel must be lime or shap, got {kernel!r}")
        self.samples = samples
        self.segments = segments
        self.compactness = compactness
        self.kernel = kernel
        check_seed(f"attribution {type(self).__name__}: seed", seed)
        self.score = score
        self.seed = seed
        self.batch_size = batch_size

    @torch.no_grad()
    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """Fit a linear model for each image: (B, 1, H, W), signed; constant within a superpixel."""
        if importlib.util.find_spec("sklearn") is None:
            raise missing_extra("LIME fits its linear model by scikit-learn", "lime")
        # late: captum loads libraries of its own, for which other methods do not wait
        from captum.attr import KernelShap
        from captum.attr import Lime as CaptumLime

        regression = CaptumLime if self.kernel == "lime" else KernelShap
        maps = []
        for picture, its_class in zip(image.split(1), target.split(1), strict=True):
            # a default binds the class now: a closure would see that of the last image
            def scores(perturbed: Tensor, its_class: Tensor = its_class) -> Tensor:
                logits = explanandum(perturbed).float()
                return score_of(logits, its_class.expand(len(perturbed)), explanandum.multilabel, self.score)

            segments = superpixels(picture[0], self.segments, self.compactness).to(image.device)
            with random_state_restored(image):
                torch.manual_seed(self.seed)  # captum draws from the global generator
                weights = regression(scores).attribute(
                    picture,
                    feature_mask=segments[None, None].expand_as(picture),
                    n_samples=self.samples,
                    baselines=explanandum.mean_colour.expand_as(picture),
                    perturbations_per_eval=self.batch_size,
                )
            # a superpixel covers all channels: their three weights are the same
            maps.append(weights[:, :1])
        return torch.cat(maps).to(image.dtype)
