"""What a trained network expects where the mask is 0.

C.-H. Chang, E. Creager, A. Goldenberg, D. Duvenaud: Explaining Image Classifiers by Counterfactual Generation, ICLR
2019: CA, the contextual-attention network of Yu et al. 2018, and VAE, a completion network with a code in the middle.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from explainer.errors import InputError
from explainer.files import digest
from explainer.infill.base import Infill
from explainer.networks.restore import load_inpainter


class LearnedInfill(Infill):
    """A network of `train.py`; loaded from its checkpoint at once, moved to the images' device when it is used.

    Args:
        checkpoint: Checkpoint of the network, checkpoints/<config>.ckpt.
        batch_size: Largest number of images that are painted at once.
        foreign: Whether images of another size, and classifiers of another data set, than in training are accepted.
        side: Side of the square that images are shrunk to for a network that learned from small pictures; its picture
            is enlarged again. None shows it the images as they are.

    Raises:
        InputError: The checkpoint cannot be read or is of another kind, or the network does not take `side`.
    """

    sees_mask = True
    kind = "inpainter"

    def __init__(self, checkpoint: str, batch_size: int = 16, foreign: bool = False, side: int | None = None) -> None:
        if batch_size < 1:
            raise InputError(f"infill {type(self).__name__}: batch_size must be positive, got {batch_size}")
        self._network, self._spec = load_inpainter(checkpoint, self.kind)
        multiple = self._network.multiple
        if side is not None and (side < multiple or side % multiple):
            raise InputError(f"infill {type(self).__name__}: side must be a multiple of {multiple}, got {side}")
        self.checkpoint = str(checkpoint)
        self.foreign = foreign
        self.side = side
        self._batch_size = batch_size
        # stored results must not outlive the weights that they came from
        self.sha256 = digest(checkpoint)

    def check_classes(self, classes: Sequence[str]) -> None:
        """Refuse the classifier of another data set."""
        known = self._spec["classes"]
        if not self.foreign and tuple(classes) != tuple(known):
            trained = f"{len(known)} classes ({', '.join(known[:3])} …)"
            classified = f"{len(classes)} ({', '.join(classes[:3])} …)"
            raise InputError(
                f"{self.checkpoint} was trained on a data set of {trained}, the classifier on {classified}: "
                "set the in-fill's foreign to use it anyway"
            )

    @torch.no_grad()
    def __call__(self, image: Tensor, mask: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Complete the images where the mask is 0; no gradient goes through.

        Args:
            image: Images (B, 3, H, W) in [0, 1].
            mask: Masks (B, 1, H, W), 1 = keep, rounded; None keeps nothing.
            generator: Generator of stochastic infills; None takes PyTorch's own.

        Returns:
            Pictures (B, 3, H, W): the image, to the bit, where the mask is 1.

        Raises:
            InputError: The images have another size than in training, and the infill is not `foreign`.
        """
        side = self._spec["image_size"]
        height, width = image.shape[-2:]
        if not self.foreign and (height, width) != (side, side):
            raise InputError(
                f"{self.checkpoint} was trained on images of {side}×{side}, these are {height}×{width}: "
                "set the in-fill's foreign to use it anyway"
            )
        if mask is None:
            mask = torch.zeros_like(image[:, :1])
        self._network.to(image.device)
        seed = self._seed(generator)
        pictures = []
        images = image.float().split(self._batch_size)
        masks = mask.float().split(self._batch_size)
        for part, its_mask in zip(images, masks, strict=True):
            # seeded anew for each part: the images of a call share their noise, wherever they stand
            noise = None if seed is None else torch.Generator().manual_seed(seed)
            pictures.append(self._complete(part, its_mask, noise))
        painted = torch.cat(pictures).to(image.dtype)
        return torch.where(mask > 0.5, image, painted)

    def _complete(self, image: Tensor, mask: Tensor, noise: torch.Generator | None) -> Tensor:
        """Return the network's picture, at the images' own size or by way of `side`: (N, 3, H, W)."""
        if self.side is None:
            return self._network.complete(image, mask, noise)
        small = (self.side, self.side)
        known = (mask > 0.5).to(image)
        share = F.interpolate(known, small, mode="area")
        # the mean of what is known: what stands in the hole must not shine through
        total = F.interpolate(image * known, small, mode="area")
        visible = total / share.clamp_min(1e-6)
        mostly_known = (share >= 0.5).to(image)
        picture = self._network.complete(visible, mostly_known, noise)
        return F.interpolate(picture, image.shape[-2:], mode="bilinear", align_corners=False)

    def _seed(self, generator: torch.Generator | None) -> int | None:
        """Draw a seed of the noise that all images of a call share; None when there is no noise."""
        return None


class CAInfill(LearnedInfill):
    """The contextual-attention network's picture: one forward pass, always the same for the same image and mask.

    Args:
        checkpoint: Checkpoint of the module `Inpainting`.
        batch_size: Largest number of images that are painted at once.
        foreign: Whether images of another size, and classifiers of another data set, than in training are accepted.
        side: Side of the square that images are shrunk to for a network that learned from small pictures; its picture
            is enlarged again. None shows it the images as they are.
    """


class VAEInfill(LearnedInfill):
    """The completion VAE's picture.

    Args:
        checkpoint: Checkpoint of the module `Completion`.
        batch_size: Largest number of images that are painted at once.
        foreign: Whether images of another size, and classifiers of another data set, than in training are accepted.
        sample: Whether each call draws a code. By default the code's mean is decoded, which worked better in the paper.
        side: Side of the square that images are shrunk to for a network that learned from small pictures; its picture
            is enlarged again. None shows it the images as they are.
    """

    kind = "vae"

    def __init__(
        self,
        checkpoint: str,
        batch_size: int = 16,
        foreign: bool = False,
        sample: bool = False,
        side: int | None = None,
    ) -> None:
        super().__init__(checkpoint, batch_size, foreign, side)
        self.stochastic = sample

    def _seed(self, generator: torch.Generator | None) -> int | None:
        if not self.stochastic:
            return None
        device = "cpu" if generator is None else generator.device
        return int(torch.randint(2**62, (), generator=generator, device=device))
