"""A generator of small images from codes, and the critic it was trained against.

A. Radford, L. Metz, S. Chintala: Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks, ICLR 2016. Departures: the critic has spectral normalisation instead of BatchNorm, so that an image's score
does not depend on its batch; codes are Gaussian, as in Thakur et al. 2020. Conditional generators scale and shift their
normalised features by the class (V. Dumoulin et al.: A Learned Representation For Artistic Style, ICLR 2017).
"""

import torch
from torch import Tensor, nn

from explainer.errors import InputError
from explainer.networks.generative.critics import Critic, check_labels
from explainer.networks.generative.hyperparameters import GeneratorArguments


class ClassNorm(nn.Module):
    """BatchNorm whose gain and offset are those of each image's class, or plain BatchNorm without classes.

    Args:
        channels: Number C of channels.
        num_classes: Number K of classes; 0 for none.
    """

    def __init__(self, channels: int, num_classes: int = 0) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=not num_classes)
        self.gain: nn.Embedding | None = None
        if num_classes:
            self.gain = nn.Embedding(num_classes, channels)
            self.offset = nn.Embedding(num_classes, channels)
            nn.init.ones_(self.gain.weight)
            nn.init.zeros_(self.offset.weight)

    def forward(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """Normalise features (N, C, h, w) by the classes (N,) of their images."""
        normed = self.norm(features)
        if self.gain is None:
            return normed
        gain = self.gain(labels)[..., None, None]
        offset = self.offset(labels)[..., None, None]
        return normed * gain + offset


class Generator(nn.Module):
    """A network from codes to images: a linear layer to 4×4, then transposed convolutions that double the side.

    Args:
        latent: Length of a code.
        width: Channels before the last convolution; doubled in each earlier one, up to eight times.
        stages: Number of doublings.
        num_classes: Number K of classes; 0 for an unconditional generator.
    """

    def __init__(self, latent: int, width: int, stages: int, num_classes: int = 0) -> None:
        super().__init__()
        factors = [min(2**index, 8) for index in reversed(range(stages))]
        widths = [width * factor for factor in factors]
        self.first = nn.Linear(latent, 16 * widths[0])
        self.norms = nn.ModuleList(ClassNorm(channels, num_classes) for channels in widths)
        self.grow = nn.ModuleList()
        for inside, outside in zip(widths, [*widths[1:], 3], strict=True):
            # the stride divides the kernel: every pixel gets as many summands, which leaves no chessboard
            self.grow.append(nn.ConvTranspose2d(inside, outside, 4, stride=2, padding=1))

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Make images (N, 3, S, S) in [0, 1] from codes (N, latent) and classes (N,)."""
        features = self.first(codes).unflatten(1, (-1, 4, 4))
        for norm, grow in zip(self.norms, self.grow, strict=True):
            features = grow(norm(features, labels).relu())
        # Radford et al. end in tanh: images here lie in [0, 1]
        return features.sigmoid()


class DCGAN(nn.Module):
    """Generator and critic, unconditional or of K classes. For inference put it in evaluation mode.

    Args:
        image_size: Side S of the images in pixels: 8, 16, 32, 64, 128, …
        latent: Length of a code.
        width: Channels of the generator's last and of the critic's first convolution.
        num_classes: Number K of classes of a conditional network; 0 for an unconditional one.
        spectral: Whether the critic has spectral normalisation (for the hinge loss); off for a gradient penalty.

    Raises:
        InputError: The image size is none of these, or another argument is not positive.

    Example:
        >>> network = DCGAN(image_size=32, latent=8, width=4).eval()
        >>> images = network.generate(torch.randn(2, network.latent))
        >>> images.shape, network.realism(images).shape
        (torch.Size([2, 3, 32, 32]), torch.Size([2]))
    """

    def __init__(
        self,
        image_size: int = 64,
        latent: int = 100,
        width: int = 64,
        num_classes: int = 0,
        spectral: bool = True,
    ) -> None:
        super().__init__()
        stages = max(image_size // 4, 1).bit_length() - 1
        if stages < 1 or 4 * 2**stages != image_size:
            raise InputError(f"DCGAN makes images of 8, 16, 32, 64, 128, … pixels a side, not {image_size}")
        if latent < 1 or width < 1 or num_classes < 0:
            raise InputError(f"DCGAN: latent {latent}, width {width} and num_classes {num_classes} must be positive")
        self.image_size = image_size
        self.latent = latent
        self.num_classes = num_classes
        self.classes: tuple[str, ...] = ()
        self.spec: GeneratorArguments = {
            "image_size": image_size,
            "latent": latent,
            "width": width,
            "num_classes": num_classes,
            "spectral": spectral,
        }
        self.generator = Generator(latent, width, stages, num_classes)
        self.critic = Critic(3, width, stages, num_classes, spectral)

    def codes(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw codes.

        Args:
            count: Number N of codes.
            generator: Generator whose seed decides the codes; None takes PyTorch's own.

        Returns:
            (N, latent) from a normal distribution, on the network's device.
        """
        device = "cpu" if generator is None else generator.device  # a generator draws on its own device alone
        codes = torch.randn(count, self.latent, generator=generator, device=device)
        return codes.to(self.generator.first.weight)

    def generate(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Make images from codes.

        Args:
            codes: Codes (N, latent), of about zero mean and unit variance.
            labels: Class index (N,) long of each image; None for an unconditional network.

        Returns:
            (N, 3, S, S) in [0, 1].

        Raises:
            InputError: The codes have another length, or labels are missing, too many or out of range.
        """
        if codes.ndim != 2 or codes.shape[1] != self.latent:
            raise InputError(f"codes have shape {tuple(codes.shape)}; wants (N, {self.latent})")
        if self.num_classes and labels is None:
            raise InputError(f"a generator of {self.num_classes} classes needs labels (N,)")
        check_labels(labels, self.num_classes, len(codes))
        return self.generator(codes, labels)

    def realism(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Score how real images look to the critic.

        Args:
            images: Images (N, 3, S, S) in [0, 1].
            labels: Class indices (N,) long, for a conditional network; None leaves the class out of the score.

        Returns:
            (N,) logits, higher = more real.

        Raises:
            InputError: The images have another size, or the labels do not fit.
        """
        if images.shape[1:] != (3, self.image_size, self.image_size):
            side = self.image_size
            raise InputError(f"images have shape {tuple(images.shape)}; the critic wants (N, 3, {side}, {side})")
        return self.critic(2 * images - 1, labels)  # the critic is trained on colours in [-1, 1]
