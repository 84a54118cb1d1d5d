"""What every network that outputs class masks shares: the explanandum that it is attached to, and how it is asked."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from explainer.networks.description import Reader, Segmenter
from explainer.networks.explanandum import Explanandum


class MaskNetwork(nn.Module, ABC):
    """Base of the networks that turn an image into one mask a class.

    Constructors take hyperparameters; `attach` names the explanandum, and `build` makes the layers once the number of
    classes is known.
    """

    def __init__(self) -> None:
        super().__init__()
        # in a list, which PyTorch does not look into: the explanandum's weights are not those of this network
        self._explanandum: list[Explanandum] = []

    def attach(self, explanandum: Explanandum) -> None:
        """Name the frozen classifier that the masks are of; it stays outside this network."""
        self._explanandum = [explanandum]

    @property
    def explanandum(self) -> Explanandum:
        """The classifier that the masks are of."""
        if not self._explanandum:
            raise RuntimeError("call attach(explanandum) first")
        return self._explanandum[0]

    @property
    @abstractmethod
    def spec(self) -> Segmenter | Reader:
        """Constructor arguments that a checkpoint keeps; the weights come from the checkpoint too."""

    @property
    @abstractmethod
    def encoder_network(self) -> nn.Module | None:
        """The part in training that looks at the image; None where no part in training does."""

    @abstractmethod
    def build(self, num_classes: int) -> None:
        """Make the layers, with `num_classes` output channels; a second call changes nothing."""

    @abstractmethod
    def normalised(self, image: Tensor) -> Tensor:
        """Turn images in [0, 1] into what the network that looks at them is fed."""

    @abstractmethod
    def forward(self, image: Tensor, only: Tensor | None = None) -> Tensor:
        """Return mask logits, whose sigmoid is the class masks.

        Args:
            image: Images (B, 3, H, W) in [0, 1], of any size.
            only: Class (B,) of each image, where no other mask is wanted.

        Returns:
            (B, K, H, W), or (B, 1, H, W) of the classes in `only`.
        """

    def coarse(self, image: Tensor, only: Tensor | None = None) -> Tensor:
        """Return mask logits as `forward` does; a network may leave them smaller than the image, (B, K, h, w)."""
        return self(image, only)

    def with_logits(self, image: Tensor, only: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the logits of the attached explanandum, (B, K), and the mask logits that `forward` gives."""
        return self.explanandum(image), self(image, only)

    def coarse_with_logits(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of the attached explanandum, (B, K), and the mask logits that `coarse` gives."""
        return self.explanandum(image), self.coarse(image)
