"""The critic of every adversarial training here: strided convolutions, then one number an image.

T. Miyato, T. Kataoka, M. Koyama, Y. Yoshida: Spectral Normalization for Generative Adversarial Networks, ICLR 2018.
T. Miyato, M. Koyama: cGANs with Projection Discriminator, ICLR 2018.
"""

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from explainer.errors import InputError


def check_labels(labels: Tensor | None, num_classes: int, count: int) -> None:
    """Refuse labels that a network of so many classes cannot take.

    Args:
        labels: Class indices (N,) long, or None.
        num_classes: Number K of classes; 0 for an unconditional network, which takes no labels.
        count: Number N of images.

    Raises:
        InputError: Labels for an unconditional network, of another length, or out of range.

    Example:
        >>> import torch
        >>> check_labels(torch.tensor([0, 2]), 3, 2)
    """
    if labels is None:
        return
    if not num_classes:
        raise InputError("an unconditional network takes no labels: leave them out, or train one with num_classes")
    if labels.shape != (count,):
        raise InputError(f"labels have shape {tuple(labels.shape)} for {count} images; wants ({count},) long")
    if not len(labels):
        return
    lowest = int(labels.min())
    highest = int(labels.max())
    if lowest < 0 or highest >= num_classes:
        raise InputError(f"labels from {lowest} to {highest}: there are {num_classes} classes")


class Critic(nn.Module):
    """A network that scores how real images look; no layer of it mixes the images of a batch.

    Args:
        channels: Channels of the input.
        width: Channels after the first convolution; doubled in each later one, up to eight times.
        stages: Number of convolutions, each of which halves the side.
        num_classes: Number K of classes; above 0, the score also says how well an image fits its label (projection).
        spectral: Whether every weight is divided by its largest singular value (for the hinge loss); off for a gradient
            penalty.

    Example:
        >>> import torch
        >>> Critic(width=4)(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2])
    """

    def __init__(
        self,
        channels: int = 3,
        width: int = 64,
        stages: int = 4,
        num_classes: int = 0,
        spectral: bool = True,
    ) -> None:
        super().__init__()
        normed = spectral_norm if spectral else lambda layer: layer
        layers: list[nn.Module] = []
        for index in range(stages):
            wider = width * min(2**index, 8)
            convolution = nn.Conv2d(channels, wider, 4, stride=2, padding=1)
            # leaky: a critic whose units are silent gives the generator no gradient to learn from
            layers += [normed(convolution), nn.LeakyReLU(0.2)]
            channels = wider
        # pooled to 4×4: the head has as many inputs whatever the size of the image
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten())
        self.head = normed(nn.Linear(16 * channels, 1))
        self.num_classes = num_classes
        self.projection: nn.Module | None = None
        if num_classes:
            # Miyato & Koyama 2018: the class's score is a projection of the features
            self.projection = normed(nn.Embedding(num_classes, 16 * channels))

    def forward(self, image: Tensor, labels: Tensor | None = None) -> Tensor:
        """Score images.

        Args:
            image: Images (N, C, H, W).
            labels: Class indices (N,) long; None leaves the classes out of the score.

        Returns:
            (N,) logits, higher = more real.
        """
        check_labels(labels, self.num_classes, len(image))
        features = self.features(image)
        score = self.head(features)[:, 0]
        if labels is None or self.projection is None:
            return score
        fit = self.projection(labels) * features
        return score + fit.sum(1)
