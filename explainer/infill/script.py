"""An in-painter in a TorchScript file, such as the published one of LaMa.

R. Suvorov et al.: Resolution-robust Large Mask Inpainting with Fourier Convolutions, WACV 2022.
"""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from explainer.errors import InputError, one_line
from explainer.files import digest
from explainer.infill.base import ForeignInfill


class ScriptInfill(ForeignInfill):
    """The picture of `model(image, mask)`, where the mask is 1 in the hole, as LaMa's file has it.

    Args:
        file: TorchScript file.
        allow: Whether you trust the file. TorchScript is a program, and loading it lets it run.
        multiple: Number that must divide the sides of the model's images; images are padded to that, and cut again.
        batch_size: Largest number of images that are painted at once.

    Raises:
        InputError: The file is missing, is no TorchScript, or is not allowed; a number is not positive.
    """

    def __init__(self, file: str, allow: bool = False, multiple: int = 8, batch_size: int = 16) -> None:
        super().__init__(file, batch_size, allow)
        if multiple < 1:
            raise InputError(f"infill ScriptInfill: multiple must be positive, got {multiple}")
        if not Path(file).is_file():
            raise InputError(f"no file {file}: set file of the infill ScriptInfill to a TorchScript file")
        try:
            # a file that was saved on a GPU is read without one too; the model is moved when it is used
            self._model = torch.jit.load(file, map_location="cpu").eval()
        except Exception as error:  # whatever PyTorch says of a file that it cannot read
            raise InputError(f"{file} is no TorchScript file: {one_line(error)}") from error
        self.file = file
        self.multiple = multiple
        self.sha256 = digest(file)

    @torch.no_grad()
    def __call__(self, image: Tensor, mask: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Paint the holes: (B, 3, H, W), the image, to the bit, where the mask is 1; no gradient goes through.

        Raises:
            InputError: The model fails, or what it gives is no picture.
        """
        self._model.to(image.device)
        return self.completed(image, mask, self._painted, self.file)

    def _painted(self, image: Tensor, known: Tensor) -> Tensor:
        """Return the model's picture, by way of sides that it takes: (N, 3, H, W)."""
        height, width = image.shape[-2:]
        # at the right and the lower border alone, so that the picture is cut out from the corner again
        padding = (0, -width % self.multiple, 0, -height % self.multiple)
        padded = F.pad(image, padding, mode="replicate")
        hole = F.pad(1 - known, padding, mode="replicate")
        try:
            picture = self._model(padded, hole)
        except Exception as error:  # a script raises whatever it likes
            shape = tuple(padded.shape)
            raise InputError(f"{self.file} fails on images {shape}: {one_line(error)}") from error
        if not isinstance(picture, Tensor):
            raise InputError(f"{self.file} gives no tensor, but a {type(picture).__name__}")
        return picture[..., :height, :width].float()
