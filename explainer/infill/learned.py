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
        checkpoint: checkpoints/<config>.ckpt.
        batch_size: At most so many images at once.
        foreign: Accept images of another size and classifiers of another data set than it was trained on.
        side: Images, and what is known of them, are shrunk to this square for the network, and its picture is enlarged
            again: for one that learned from small pictures. None: they are seen as they are.

    Raises:
        InputError: The checkpoint cannot be read, or is of another kind; `side` is none that the network takes.
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
        self.checkpoint, self.foreign, self.side, self._batch_size = str(checkpoint), foreign, side, batch_size
        # stored results must not outlive the weights that they came from
        self.sha256 = digest(checkpoint)

    def check_classes(self, classes: Sequence[str]) -> None:
        """Refuse the classifier of another data set."""
        own = self._spec["classes"]
        if not self.foreign and tuple(classes) != tuple(own):
            raise InputError(
                f"{self.checkpoint} was trained on a data set of {len(own)} classes ({', '.join(own[:3])} …), the "
                f"classifier on {len(classes)} ({', '.join(classes[:3])} …): set the in-fill's foreign to use it anyway"
            )

    @torch.no_grad()
    def __call__(self, image: Tensor, mask: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """(B, 3, H, W): the image, to the bit, where the mask is 1; no gradient goes through.

        Args:
            image: (B, 3, H, W) in [0, 1].
            mask: (B, 1, H, W), 1 = keep, rounded; None keeps nothing.
            generator: Of stochastic infills; None takes PyTorch's own.

        Raises:
            InputError: Images of another size than it was trained on, unless `foreign`.
        """
        side = self._spec["image_size"]
        if not self.foreign and image.shape[-2:] != (side, side):
            raise InputError(
                f"{self.checkpoint} was trained on images of {side}×{side}, these are {image.shape[-2]}×"
                f"{image.shape[-1]}: set the in-fill's foreign to use it anyway"
            )
        mask = torch.zeros_like(image[:, :1]) if mask is None else mask
        self._network.to(image.device)
        seed = self._seed(generator)
        filled = [
            self._complete(*part, None if seed is None else torch.Generator().manual_seed(seed))
            for part in zip(image.float().split(self._batch_size), mask.float().split(self._batch_size), strict=True)
        ]
        return torch.where(mask > 0.5, image, torch.cat(filled).to(image.dtype)) if filled else image.clone()

    def _complete(self, image: Tensor, mask: Tensor, noise: torch.Generator | None) -> Tensor:
        """The network's picture, at the images' own size or by way of `side`."""
        if self.side is None:
            return self._network.complete(image, mask, noise)
        small = (self.side, self.side)
        known = (mask > 0.5).to(image)
        share = F.interpolate(known, small, mode="area")
        seen = F.interpolate(image * known, small, mode="area") / share.clamp_min(1e-6)  # the mean of what is known
        made = self._network.complete(seen, (share >= 0.5).to(image), noise)
        return F.interpolate(made, image.shape[-2:], mode="bilinear", align_corners=False)

    def _seed(self, generator: torch.Generator | None) -> int | None:
        """Of the noise that all images of a call share; None when there is none."""
        return None


class CAInfill(LearnedInfill):
    """The contextual-attention network's picture: one forward pass, always the same for the same image and mask.

    Args:
        checkpoint: Of the module `Inpainting`.
        batch_size: At most so many images at once.
        foreign: Accept images of another size and classifiers of another data set than it was trained on.
        side: Images, and what is known of them, are shrunk to this square for the network, and its picture is enlarged
            again: for one that learned from small pictures. None: they are seen as they are.
    """


class VAEInfill(LearnedInfill):
    """The completion VAE's picture.

    Args:
        checkpoint: Of the module `Completion`.
        batch_size: At most so many images at once.
        foreign: Accept images of another size and classifiers of another data set than it was trained on.
        side: Images, and what is known of them, are shrunk to this square for the network, and its picture is enlarged
            again: for one that learned from small pictures. None: they are seen as they are.
        sample: Draw a code for each call, instead of decoding the code's mean, which worked better in the paper.
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
