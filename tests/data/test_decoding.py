"""Fast decoding: nearly the pixels of the exact way, and the same where it cannot be faster."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from explainer.data import Folder, decoding
from explainer.data.decoding import fast_pixels, file_content
from explainer.data.sample import pixels
from explainer.errors import InputError
from explainer.files.pictures import UnreadableError, read_content

LEVEL = 1 / 255


def smooth(width=300, height=200, mode="RGB"):
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    colours = np.stack([x / width, y / height, (x + y) / (width + height)], 2)
    return Image.fromarray((colours * 255).astype(np.uint8)).convert(mode)


def saved(picture, kind="JPEG", **options):
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def exact(content, size):
    return pixels(read_content(content, "a"), size)


@pytest.mark.parametrize("size", [120, 250, 400])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pixels_differ_by_a_level_at_most(size, mode):
    noise = Image.effect_noise((300, 200), 60).convert(mode)
    for picture in (smooth(mode=mode), noise):
        content = saved(picture, quality=90)
        fast = fast_pixels(content, "a", size)
        assert fast.shape == (3, size, size)
        assert fast.dtype == torch.float32
        assert (fast - exact(content, size)).abs().max() <= 1.01 * LEVEL


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_obeyed(orientation):
    picture = smooth()
    exif = picture.getexif()
    exif[0x0112] = orientation
    for size in (64, 150):  # by a fraction, and by torchvision
        content = saved(picture, exif=exif, quality=95)
        assert (fast_pixels(content, "a", size) - exact(content, size)).abs().max() < 4 * LEVEL


def test_a_large_file_is_decoded_at_a_fraction_of_its_size():
    content = saved(smooth(1200, 900), quality=95)
    fast = fast_pixels(content, "a", 64)
    assert not torch.equal(fast, exact(content, 64))
    assert (fast - exact(content, 64)).abs().max() < 4 * LEVEL
    assert read_content(content, "a", side=64).size == (150, 113)
    assert read_content(content, "a", side=450).size == (600, 450)
    assert read_content(content, "a", side=451).size == (1200, 900)


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGB"), ("PNG", "RGBA"), ("JPEG", "CMYK"), ("WEBP", "RGB")])
def test_all_other_files_are_decoded_exactly(kind, mode):
    content = saved(smooth(mode=mode), kind)
    assert torch.equal(fast_pixels(content, "a", 150), exact(content, 150))


def test_without_torchvisions_decoder_it_is_the_exact_way(monkeypatch):
    content = saved(Image.effect_noise((100, 80), 60).convert("RGB"))
    assert not torch.equal(fast_pixels(content, "a", 64), exact(content, 64))
    monkeypatch.setattr(decoding, "decode_jpeg", None)
    assert torch.equal(fast_pixels(content, "a", 64), exact(content, 64))


def test_damaged_files_are_named_as_everywhere(tmp_path):
    content = saved(smooth(), quality=95)
    for wrong in (content[: len(content) // 2], b"", b"\xff\xd8\xff nothing"):
        with pytest.raises(UnreadableError, match="cannot read image a: ") as fast:
            fast_pixels(wrong, "a", 150)
        with pytest.raises(UnreadableError) as slow:
            exact(wrong, 150)
        assert str(fast.value) == str(slow.value)
    with pytest.raises(UnreadableError, match=r"cannot read image .*none\.jpg"):
        file_content(tmp_path / "none.jpg")
    with pytest.raises(UnreadableError, match="it is not a file"):
        file_content(tmp_path)


def test_a_data_set_reads_so_when_it_is_told_to(tmp_path):
    for name in ("a", "b"):
        path = tmp_path / "cat" / f"{name}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(saved(Image.effect_noise((100, 80), 60).convert("RGB")))
    settings = {"root": str(tmp_path), "image_size": 64, "batch_size": 1, "num_workers": 0}
    of_exact = Folder(**settings).build("train")[0].image
    of_fast = Folder(decoding="fast", **settings).build("train")[0].image
    name = Folder(**settings).build("train").ids[0]
    content = (tmp_path / name).read_bytes()
    assert torch.equal(of_exact, exact(content, 64))
    assert torch.equal(of_fast, fast_pixels(content, name, 64))
    broken = Folder(decoding="fast", strict=True, **settings).build("train")
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match="cannot read image"):
        _ = broken[0]
