"""An in-painting pipeline of the package diffusers.

R. Rombach et al.: High-Resolution Image Synthesis with Latent Diffusion Models, CVPR 2022.
"""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from explainer.errors import InputError, one_line
from explainer.infill.base import ForeignInfill


class DiffusionInfill(ForeignInfill):
    """A sample of a diffusion model, given what is around the hole; the images of a call share its noise.

    Args:
        model: Folder of a pipeline, or its name on the Hugging Face Hub, which diffusers then fetches.
        allow: Whether you trust it. A pipeline names the classes that are built, and diffusers imports them.
        prompt: Text that goes with every image. It must not name the class, which would write the evidence into the
            hole.
        steps: Number of denoising steps.
        side: Side of the square that images are resized to for the model, and back, in pixels; a multiple of 8.
        batch_size: Largest number of images that are painted at once.

    Raises:
        InputError: diffusers is not installed, the pipeline cannot be loaded or is not allowed, a number is out of
            range.
    """

    stochastic = True

    def __init__(
        self,
        model: str,
        allow: bool = False,
        prompt: str = "",
        steps: int = 50,
        side: int = 512,
        batch_size: int = 4,
    ) -> None:
        super().__init__(model, batch_size, allow)
        if steps < 1 or side < 8 or side % 8:
            raise InputError(f"infill DiffusionInfill: steps {steps} must be positive, and side {side} a multiple of 8")
        self.model = model
        self.prompt = prompt
        self.steps = steps
        self.side = side
        self.sha256 = digest(Path(model)) if Path(model).is_dir() else None
        self._pipeline = load_pipeline(model)

    @torch.no_grad()
    def __call__(self, image: Tensor, mask: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Paint the holes: (B, 3, H, W), the image, to the bit, where the mask is 1; no gradient goes through.

        Raises:
            InputError: The pipeline fails, or withholds a picture.
        """
        self._pipeline.to(image.device)
        device = "cpu" if generator is None else generator.device
        # one seed for all the images of a call: a picture does not depend on its place in the batch
        seed = int(torch.randint(2**62, (), generator=generator, device=device))

        def painted(part: Tensor, known: Tensor) -> Tensor:
            return self._painted(part, known, seed)

        return self.completed(image, mask, painted, self.model)

    def _painted(self, image: Tensor, known: Tensor, seed: int) -> Tensor:
        """Return the pipeline's picture, by way of its own size: (N, 3, H, W)."""
        size = (self.side, self.side)
        resized = F.interpolate(image, size, mode="bilinear", antialias=True)
        hole = F.interpolate(1 - known, size, mode="area").ceil()  # every cell that the hole touches
        # one an image, on the CPU: neither its place in the batch nor the device changes its noise
        generators = [torch.Generator().manual_seed(seed) for _ in range(len(image))]
        try:
            output = self._pipeline(
                prompt=[self.prompt] * len(image),
                image=resized,
                mask_image=hole,
                height=self.side,
                width=self.side,
                num_inference_steps=self.steps,
                output_type="pt",
                generator=generators,
            )
        except Exception as error:  # whatever a pipeline says of what it cannot do
            shape = tuple(image.shape)
            raise InputError(f"{self.model} fails on images {shape}: {one_line(error)}") from error
        withheld = getattr(output, "nsfw_content_detected", None) or []
        if any(withheld):
            raise InputError(f"{self.model} withheld a picture, which its safety checker made black")
        picture = torch.as_tensor(output.images).to(image)
        return F.interpolate(picture, image.shape[-2:], mode="bilinear", antialias=True)


def load_pipeline(model: str) -> Any:
    """Load an in-painting pipeline; weights that would have to be unpickled are refused.

    Args:
        model: Folder of a pipeline, or its name on the Hugging Face Hub.

    Returns:
        Pipeline of diffusers.

    Raises:
        InputError: diffusers is not installed, or it cannot load the model.
    """
    try:
        from diffusers import AutoPipelineForInpainting
    except ImportError as error:
        raise InputError("the infill DiffusionInfill wants diffusers: pip install '.[diffusion]'") from error
    try:
        pipeline = AutoPipelineForInpainting.from_pretrained(model, use_safetensors=True)
    except Exception as error:  # whatever diffusers says of what it cannot load
        raise InputError(f"{model} cannot be loaded as an in-painting pipeline: {one_line(error)}") from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def digest(folder: Path) -> str:
    """Compute the SHA-256 of the names and contents of all files of a folder.

    Args:
        folder: Folder of a pipeline.

    Returns:
        Digest of 64 hexadecimal digits.
    """
    total = hashlib.sha256()
    files = [path for path in folder.rglob("*") if path.is_file()]
    # in order: a file system lists its files in any
    for path in sorted(files):
        name = str(path.relative_to(folder))
        total.update(name.encode("utf-8", "surrogateescape"))
        with path.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()
