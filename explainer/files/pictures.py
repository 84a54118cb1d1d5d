"""One way to read a picture: upright, 8-bit RGB, transparency laid on white, whatever the file's mode."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from explainer.errors import InputError

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation → the operation that makes the picture upright."""
_SIDEWAYS = (5, 6, 7, 8)
"""Orientations that exchange width and height."""
_LARGE = 89_478_485
"""Pixels from which a file must be large as well; Pillow itself refuses twice as many."""
_PIXELS_A_BYTE = 50
"""A photograph holds a byte for at most some twenty pixels; what claims many more is a decompression bomb."""


class UnreadableError(InputError):
    """A picture's file is missing, damaged, or holds what cannot be shown."""


class Frame(NamedTuple):
    """What a file's header says of its picture.

    Attributes:
        width: Width as stored, in pixels.
        height: Height as stored, in pixels.
        orientation: EXIF orientation, 1 to 8; 1 where there is none.
    """

    width: int
    height: int
    orientation: int

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height of the upright picture."""
        if self.orientation in _SIDEWAYS:
            return self.height, self.width
        return self.width, self.height

    def turn_of(self, width: float, height: float) -> int:
        """Return the orientation from which annotations must be turned with the picture.

        Annotations whose size has the stored picture's format, and not the upright one's, were drawn on the stored
        picture. Where the size cannot tell (square, not given, an orientation that keeps width and height) they are
        taken to be drawn on the upright picture, which is what viewers and labelling tools show.

        Args:
            width: Width of the picture that the annotations were drawn on; 0 where it is not known.
            height: Height of that picture.

        Returns:
            1 where nothing must be turned.

        Example:
            >>> Frame(4000, 3000, 6).turn_of(4000, 3000), Frame(4000, 3000, 6).turn_of(3000, 4000)
            (6, 1)
        """
        # both wide, or both high
        like_stored = (width - height) * (self.width - self.height) > 0
        if like_stored and self.orientation in _SIDEWAYS:
            return self.orientation
        return 1


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """Turn a stored picture upright.

    Args:
        image: Picture as it is stored.
        orientation: EXIF orientation of the picture, 1 to 8.
    """
    if orientation == 1:
        return image
    return image.transpose(TURNS[orientation])


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation of a picture, 1 where it has none or a wrong one."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
        return value if value in TURNS else 1
    except Exception:  # damaged EXIF raises whatever its parser meets; the picture itself may be whole
        return 1


@contextlib.contextmanager
def opened(path: str | Path, what: str = "image") -> Iterator[Image.Image]:
    """Open a picture's file; every error of the decoder within the block names the file.

    Args:
        path: File of the picture.
        what: Word for the file in the error.

    Yields:
        The picture, of which only the header has been read.

    Raises:
        UnreadableError: The file is no regular file (reading a pipe would wait for ever), no picture, damaged, a
            decompression bomb, or too large for the memory.
    """
    path = Path(path)
    with readable(f"{what} {path}"):
        if path.exists() and not path.is_file():
            raise InputError("it is not a file")
        # not by its name: Pillow would map plain TIFFs into the memory, and then garbles those that lie sideways
        with path.open("rb") as content, decoded(content, path.stat().st_size) as file:
            yield file


@contextlib.contextmanager
def readable(name: str) -> Iterator[None]:
    """Turn every error of Pillow's decoders within the block into one that names the picture.

    Args:
        name: Words for the picture.

    Raises:
        UnreadableError: Says what is wrong with it.
    """
    try:
        yield
    except UnidentifiedImageError as error:
        raise UnreadableError(f"cannot read {name}: it is no picture, or its beginning is damaged") from error
    except MemoryError as error:
        raise UnreadableError(f"cannot read {name}: not enough memory") from error
    except Exception as error:  # Pillow's decoders raise anything on damaged files: struct, zlib, index errors
        words = str(error).strip() or type(error).__name__
        first_line = words.splitlines()[0]
        raise UnreadableError(f"cannot read {name}: {first_line[:300]}") from error


@contextlib.contextmanager
def decoded(content: BinaryIO, size: int) -> Iterator[Image.Image]:
    """Open a picture, and refuse a decompression bomb.

    Args:
        content: Stream of the picture.
        size: Number of its bytes.

    Yields:
        The picture, of which only the header has been read.

    Raises:
        InputError: It claims far more pixels than its bytes can hold.
    """
    with Image.open(content) as file:
        pixels = file.width * file.height
        if pixels > _LARGE and size * _PIXELS_A_BYTE < pixels:
            raise InputError(f"it claims {file.width} x {file.height} pixels in a small file")
        yield file


def read_frame(path: str | Path) -> Frame:
    """Read a picture's size and orientation from its header.

    Args:
        path: Image file.

    Returns:
        Size as stored, and orientation.

    Raises:
        UnreadableError: The file is missing, damaged, or no picture.
    """
    with opened(path) as file:
        orientation = orientation_of(file)
        width, height = file.size
        if file.format == "TIFF" and orientation in _SIDEWAYS:  # Pillow turns TIFFs itself, and says so beforehand
            width, height = height, width
        return Frame(width, height, orientation)


def read_picture(source: str | Path | Image.Image) -> Image.Image:
    """Read a picture of any mode as upright 8-bit RGB.

    A camera's orientation tag is obeyed, transparent pixels are laid on white, and of an animation the first frame is
    taken. For the range of 16-bit, 32-bit and float pixels see `to_rgb`.

    Args:
        source: Image file, or PIL image.

    Returns:
        The picture. It carries no EXIF any more, so that it is not turned twice.

    Raises:
        UnreadableError: The file is missing, damaged, or no picture; or `to_rgb` does not know the pixels' range.

    Example:
        >>> read_picture(Image.new("LA", (2, 1), (0, 0))).getpixel((0, 0))
        (255, 255, 255)
    """
    if isinstance(source, Image.Image):
        try:
            return _upright_rgb(source)
        except (InputError, OSError, SyntaxError) as error:
            raise UnreadableError(f"cannot read the image: {error}") from error
    with opened(source) as file:
        return _upright_rgb(file)


def read_content(content: bytes, name: str, side: int | None = None) -> Image.Image:
    """Read a picture that lies in the memory, as `read_picture` reads a file.

    Args:
        content: Content of an image file.
        name: Name of the picture, for errors.
        side: Side in pixels of the square that the picture is wanted for: a JPEG file that is at least twice as large
            is decoded at a half, a quarter or an eighth of its size. None decodes all of it.

    Returns:
        The picture, upright 8-bit RGB.

    Raises:
        UnreadableError: The content is damaged, or no picture.

    Example:
        >>> read_content(b"nothing", "a.jpg")
        Traceback (most recent call last):
        ...
        explainer.files.pictures.UnreadableError: cannot read image a.jpg: it is no picture, or its beginning is damaged
    """
    with readable(f"image {name}"), decoded(io.BytesIO(content), len(content)) as file:
        if side is not None and file.format == "JPEG":
            # the mode as it is: only the size is asked for, and the decoder halves it as often as it stays above
            file.draft(None, (side, side))  # type: ignore[arg-type]
        return _upright_rgb(file)


def _upright_rgb(image: Image.Image) -> Image.Image:
    """Return a picture upright, in RGB, without EXIF."""
    rgb = to_rgb(upright(image))
    rgb.info = {}
    return rgb


def upright(image: Image.Image) -> Image.Image:
    """Load a picture and turn it upright, in its own mode.

    Args:
        image: Picture of any mode.

    Raises:
        InputError: It has no pixels.
    """
    if 0 in image.size:
        raise InputError("it has no pixels")
    # loaded before its orientation is asked for: Pillow turns a TIFF while it loads, and then takes the tag away
    image.load()
    return turned(image, orientation_of(image))


def to_grey(image: Image.Image) -> NDArray[np.float32]:
    """Convert an image of any mode to grey values with all their bits; transparent pixels are laid on white.

    16-bit pixels are divided by 65535; of float and 32-bit pixels the range counts as for `to_rgb`. Colours become grey
    as Pillow makes them grey, with 8 bits.

    Args:
        image: Image of any mode.

    Returns:
        Grey values (H, W) in [0, 1].

    Raises:
        InputError: Pixels are negative, not finite, or above 65535: what they mean cannot be told.

    Example:
        >>> float(to_grey(Image.new("I;16", (1, 1), 257))[0, 0] * 65535)
        257.0
    """
    if image.mode[0] not in "IF":
        return np.asarray(to_rgb(image).convert("L"), np.float32) / np.float32(255)
    values = np.asarray(image)
    high = _highest(values)
    whole = 255
    if values.dtype.itemsize == 2 or image.format == "PPM" or high > 255:
        whole = 65535
    elif high <= 1 and values.dtype.kind == "f":
        whole = 1
    grey = (values.astype(np.float64) / whole).astype(np.float32)
    transparent = image.info.get("transparency")
    return grey if transparent is None else np.where(values == transparent, np.float32(1), grey)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to 8-bit RGB; transparent pixels are laid on white.

    16-bit pixels are divided by 257. Float pixels count as [0, 1] where they lie in it, else as [0, 255], else as 16
    bits. 32-bit integers count as [0, 255] where they lie in it, else as 16 bits.

    Args:
        image: Image of any mode.

    Returns:
        A new RGB image.

    Raises:
        InputError: Pixels are negative, not finite, or above 65535: what they mean cannot be told.

    Example:
        >>> to_rgb(Image.new("RGBA", (1, 1), (0, 0, 0, 0))).getpixel((0, 0))
        (255, 255, 255)
    """
    # whole numbers beyond 8 bits, and floats: Pillow's own conversion only cuts them off at 255
    if image.mode[0] in "IF":
        values = np.asarray(image)
        grey = Image.fromarray(_eight_bits(values, image.format == "PPM"))
        transparent = image.info.get("transparency")
        if transparent is not None:
            # before the pixels were scaled: the value is one of the file's
            alpha = np.where(values == transparent, 0, 255).astype(np.uint8)
            grey.putalpha(Image.fromarray(alpha))
        image = grey
    if image.mode == "La":  # Pillow converts it to nothing but LA
        image = image.convert("LA")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _eight_bits(values: NDArray, scaled_to_sixteen: bool) -> NDArray[np.uint8]:
    """Return values from 0 to 255; Pillow scales what a PPM file holds to 16 bits, and gives it as 32-bit integers."""
    sixteen = values.dtype.itemsize == 2 or scaled_to_sixteen
    high = _highest(values)
    # with a half added, the cut to whole numbers rounds; 16-bit pixels are cut without it
    scaled = values.astype(np.float64)
    if sixteen or high > 255:
        scaled = (scaled * (1 / 257)).astype(np.float32)
    elif high > 1 or values.dtype.kind != "f":
        scaled += 0.5
    else:
        scaled = scaled * 255 + 0.5
    return scaled.astype(np.uint8)


def _highest(values: NDArray) -> float:
    """Return the highest pixel; refuse pixels whose meaning cannot be told."""
    low = float(values.min())
    high = float(values.max())
    if not (low >= 0 and high <= 65535):  # NaN fails both
        raise InputError(f"its pixels lie between {low:g} and {high:g}; save it as 8 bit, 16 bit, or float in [0, 1]")
    return high
