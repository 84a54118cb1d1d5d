"""Put what was made for a box into the image, with or without a seam.

S. Thakur, S. Fischmeister: A Generalizable Saliency Map-Based Interpretation of Model Outcome, ICPR 2020 (Eq. 4).
P. Pérez, M. Gangnet, A. Blake: Poisson Image Editing, SIGGRAPH 2003, as R. A. Yeh et al. end with in Semantic Image
Inpainting with Deep Generative Models, CVPR 2017.
"""

import torch
from torch import Tensor


def paste(image: Tensor, patch: Tensor, keep: Tensor) -> Tensor:
    r"""Put the patch into the box; outside of it the image stays.

    .. math:: I_{rec} = I \odot (1 - B) + B \odot G(z') \quad (4)

    Args:
        image: Images, (B, 3, H, W) in [0, 1].
        patch: Contents of the boxes, (B, k, 3, H, W) in [0, 1].
        keep: Mask 1 − B, (B, 1, H, W) of 0 and 1, 1 = keep.

    Returns:
        (B, k, 3, H, W); where `keep` is 1 the image's own pixels, to the bit.

    Example:
        >>> image = torch.rand(1, 3, 4, 4)
        >>> torch.equal(paste(image, torch.rand(1, 2, 3, 4, 4), torch.ones(1, 1, 4, 4))[:, 1], image)
        True
    """
    # selected, not multiplied: the image's own pixels come back to the bit
    known = keep[:, None] > 0
    return torch.where(known, image[:, None], patch)


def seamless(image: Tensor, patch: Tensor, box: tuple[int, int, int, int]) -> Tensor:
    r"""Move the patch's colours to those of the image at the box's border; differences of neighbours stay.

    .. math:: \Delta f = \Delta g \text{ in the box}, \quad f = I \text{ around it}

    The correction f − g is harmonic in the box and equals I − g around it. On a rectangle the discrete Laplacian is the
    sum of one matrix a side, so that the eigenvectors of these two solve the equation exactly. A side of the box that
    lies on the image's border has no pixels to agree with: there the correction has no slope.

    Args:
        image: Image, (3, H, W) in [0, 1].
        patch: Patches, (k, 3, H, W), defined in the box and, one pixel wide, around it.
        box: Corners x0, y0, x1, y1 of the box; not the whole image.

    Returns:
        (k, 3, H, W): the patch, corrected in the box and clipped to [0, 1] there.

    Example:
        >>> image = 0.5 * torch.rand(3, 6, 6)
        >>> bool(torch.allclose(seamless(image, image[None] + 0.2, (1, 2, 4, 6))[0, :, 2:, 1:4], image[:, 2:, 1:4]))
        True
    """
    x0, y0, x1, y1 = box
    height, width = image.shape[-2:]
    # double precision: the eigenvalues of a large box span several orders of magnitude
    gap = (image - patch).double()
    # right-hand side of the equation: what the pixels just outside of the box prescribe
    known = gap.new_zeros(*patch.shape[:2], y1 - y0, x1 - x0)
    if y0 > 0:
        known[..., 0, :] += gap[..., y0 - 1, x0:x1]
    if y1 < height:
        known[..., -1, :] += gap[..., y1, x0:x1]
    if x0 > 0:
        known[..., :, 0] += gap[..., y0:y1, x0 - 1]
    if x1 < width:
        known[..., :, -1] += gap[..., y0:y1, x1]
    vertical = _laplacian(y1 - y0, y0 == 0, y1 == height).to(known)
    horizontal = _laplacian(x1 - x0, x0 == 0, x1 == width).to(known)
    rows, across = torch.linalg.eigh(vertical)
    columns, along = torch.linalg.eigh(horizontal)
    # in the eigenvectors' coordinates the Laplacian is a product with the sums of eigenvalues
    eigenvalues = rows[:, None] + columns[None, :]
    inner = across.T @ known @ along / eigenvalues
    correction = across @ inner @ along.T
    corrected = patch[..., y0:y1, x0:x1] + correction
    clipped = corrected.clamp(0, 1).to(patch.dtype)
    result = patch.clone()
    result[..., y0:y1, x0:x1] = clipped
    return result


def _laplacian(count: int, free_start: bool, free_end: bool) -> Tensor:
    """Return minus the second differences along one side, (count, count); a free end has no neighbour beyond it."""
    neighbours = torch.ones(count - 1, dtype=torch.float64)
    matrix = 2 * torch.eye(count, dtype=torch.float64)
    matrix -= torch.diag(neighbours, 1)
    matrix -= torch.diag(neighbours, -1)
    matrix[0, 0] -= float(free_start)
    matrix[-1, -1] -= float(free_end)
    return matrix
