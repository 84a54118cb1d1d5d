"""Put what was made for a box into the image, with or without a seam.

S. Thakur, S. Fischmeister: A Generalizable Saliency Map-Based Interpretation of Model Outcome, ICPR 2020 (Eq. 4).
P. Pérez, M. Gangnet, A. Blake: Poisson Image Editing, SIGGRAPH 2003, as R. A. Yeh et al. end with in Semantic Image
Inpainting with Deep Generative Models, CVPR 2017.
"""

import torch
from torch import Tensor


def paste(image: Tensor, patch: Tensor, keep: Tensor) -> Tensor:
    r"""The image outside of the box, and the patch in it.

    .. math:: I_{rec} = I \odot (1 - B) + B \odot G(z') \quad (4)

    Args:
        image: (B, 3, H, W) in [0, 1].
        patch: (B, k, 3, H, W) in [0, 1].
        keep: (B, 1, H, W) of 0 and 1: 1 − B.

    Returns:
        (B, k, 3, H, W); where `keep` is 1 the image's own pixels, to the bit.

    Example:
        >>> image = torch.rand(1, 3, 4, 4)
        >>> torch.equal(paste(image, torch.rand(1, 2, 3, 4, 4), torch.ones(1, 1, 4, 4))[:, 1], image)
        True
    """
    return torch.where(keep[:, None] > 0, image[:, None], patch)


def seamless(image: Tensor, patch: Tensor, box: tuple[int, int, int, int]) -> Tensor:
    r"""The patch with its differences of neighbours kept and its colours at the box's border those of the image.

    .. math:: \Delta f = \Delta g \text{ in the box}, \quad f = I \text{ around it}

    The correction f − g is harmonic in the box and I − g around it. On a rectangle the discrete Laplacian is a sum of
    one matrix a side, so that their eigenvectors solve it exactly. A side of the box that lies on the image's border
    has no pixels to agree with: there the correction has no slope.

    Args:
        image: (3, H, W) in [0, 1].
        patch: (k, 3, H, W), in the box and, one pixel wide, around it.
        box: x0, y0, x1, y1, not the whole image.

    Returns:
        (k, 3, H, W): the patch, corrected in the box and clipped to [0, 1] there.

    Example:
        >>> image = 0.5 * torch.rand(3, 6, 6)
        >>> bool(torch.allclose(seamless(image, image[None] + 0.2, (1, 2, 4, 6))[0, :, 2:, 1:4], image[:, 2:, 1:4]))
        True
    """
    x0, y0, x1, y1 = box
    height, width = image.shape[-2:]
    gap = (image - patch).double()
    known = gap.new_zeros(*patch.shape[:2], y1 - y0, x1 - x0)
    if y0 > 0:
        known[..., 0, :] += gap[..., y0 - 1, x0:x1]
    if y1 < height:
        known[..., -1, :] += gap[..., y1, x0:x1]
    if x0 > 0:
        known[..., :, 0] += gap[..., y0:y1, x0 - 1]
    if x1 < width:
        known[..., :, -1] += gap[..., y0:y1, x1]
    rows, across = torch.linalg.eigh(_laplacian(known.shape[-2], y0 == 0, y1 == height).to(known))
    columns, along = torch.linalg.eigh(_laplacian(known.shape[-1], x0 == 0, x1 == width).to(known))
    inner = across.T @ known @ along / (rows[:, None] + columns[None, :])
    result = patch.clone()
    corrected = patch[..., y0:y1, x0:x1] + across @ inner @ along.T
    result[..., y0:y1, x0:x1] = corrected.clamp(0, 1).to(patch.dtype)
    return result


def _laplacian(count: int, free_start: bool, free_end: bool) -> Tensor:
    """Minus second differences along one side, (count, count); a free end has no neighbour beyond it."""
    matrix = 2 * torch.eye(count, dtype=torch.float64)
    matrix -= torch.diag(torch.ones(count - 1, dtype=torch.float64), 1)
    matrix -= torch.diag(torch.ones(count - 1, dtype=torch.float64), -1)
    matrix[0, 0] -= float(free_start)
    matrix[-1, -1] -= float(free_end)
    return matrix
