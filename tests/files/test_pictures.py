"""One way to read a picture: every mode, every orientation; nothing hangs, floods the memory, or turns black."""

import io
import os

import numpy as np
import pytest
import torch
from PIL import Image

from explainer.data.base import open_rgb, pixels
from explainer.errors import InputError
from explainer.files.pictures import Frame, read_frame, read_picture, to_rgb
from explainer.inference.explain import read_photo

UPRIGHT = np.arange(6 * 4, dtype=np.uint8).reshape(4, 6) * 10
STORED = {  # by NumPy, from the EXIF standard: row 0 and column 0 are top left, top right, ...
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.T,
    6: np.rot90(UPRIGHT),
    7: UPRIGHT[::-1, ::-1].T,
    8: np.rot90(UPRIGHT, -1),
}


def save(path, array, orientation=None):
    image = Image.fromarray(np.ascontiguousarray(array))
    exif = image.getexif()
    if orientation is not None:
        exif[0x0112] = orientation
    image.save(path, exif=exif)
    return path


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright_once(tmp_path, orientation, suffix):
    path = save(tmp_path / f"x.{suffix}", STORED[orientation], orientation)
    picture = read_picture(path)
    assert np.array_equal(np.asarray(picture)[..., 0], UPRIGHT)
    assert np.array_equal(np.asarray(read_picture(picture)), np.asarray(picture))
    for seen in (pixels(open_rgb(path), 8), read_photo(path)[0]):
        assert seen.shape[0] == 3
    assert torch.equal((read_photo(path)[0, 0] * 255).round(), torch.from_numpy(UPRIGHT).float())
    assert read_frame(path) == Frame(*STORED[orientation].shape[::-1], orientation)
    assert read_frame(path).upright == (6, 4)


@pytest.mark.parametrize("orientation", [0, 9, 99])
def test_a_wrong_orientation_is_none(tmp_path, orientation):
    path = save(tmp_path / "x.png", UPRIGHT, orientation)
    assert np.array_equal(np.asarray(read_picture(path))[..., 0], UPRIGHT)


def test_damaged_exif_does_not_hide_the_picture(tmp_path):
    Image.fromarray(UPRIGHT).save(tmp_path / "x.png", exif=b"Exif\0\0II*\0\xff\xff\xff\xff\xff")
    assert read_picture(tmp_path / "x.png").size == (6, 4)


def test_the_frame_of_annotations_is_told_by_their_size():
    for orientation in (5, 6, 7, 8):
        frame = Frame(40, 30, orientation)
        assert frame.turn_of(40, 30) == frame.turn_of(80, 60) == orientation
        assert frame.turn_of(30, 40) == 1
        assert frame.turn_of(0, 0) == frame.turn_of(35, 35) == 1
    for orientation in (1, 2, 3, 4):
        assert Frame(40, 30, orientation).turn_of(40, 30) == 1


@pytest.mark.parametrize(
    "mode", ["L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "1", "HSV", "YCbCr", "LAB", "La"]
)
def test_every_mode_gives_the_colour(mode):
    grey = Image.new("L", (3, 2), 255)
    image = grey.convert("LA").convert("La") if mode == "La" else None
    if mode == "LAB":
        image = Image.merge("LAB", [grey, *[Image.new("L", (3, 2), 128)] * 2])
    if mode == "HSV":
        image = Image.merge("HSV", [Image.new("L", (3, 2), 0)] * 2 + [grey])
    image = image or (grey.convert("RGB").convert(mode) if mode != "PA" else grey.convert("P").convert("PA"))
    assert image.mode == mode
    found = np.asarray(to_rgb(image))
    assert found.shape == (2, 3, 3)
    assert found.min() >= 250


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P", "L", "RGB", "1", "I;16"])
def test_transparent_pixels_are_laid_on_white(tmp_path, mode):
    image = Image.new("L", (4, 4), 0)
    options = {}
    if mode in ("RGBA", "LA"):
        image = image.convert(mode)
        image.putalpha(0)
    elif mode == "PA":
        image = Image.new("PA", (4, 4), (0, 0))
    elif mode == "I;16":
        image = Image.fromarray(np.zeros((4, 4), np.uint16))
        options = {"transparency": 0}
    else:
        image = image.convert(mode)
        options = {"transparency": (0, 0, 0) if mode == "RGB" else 0}
    if mode == "PA":
        found = read_picture(image)
    else:
        image.save(tmp_path / "x.png", **options)
        found = read_picture(tmp_path / "x.png")
    assert np.asarray(found).min() == 255


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_sixteen_bits_are_divided_by_their_range(dtype):
    values = np.array([[0, 257, 32768, 65535]], dtype)
    image = Image.fromarray(values.astype("<u2"))
    if dtype == ">u2":
        image = Image.frombytes("I;16B", (4, 1), values.tobytes())
    assert np.asarray(to_rgb(image))[0, :, 0].tolist() == [0, 1, 127, 255]
    assert np.asarray(to_rgb(Image.fromarray(values.astype(np.int32))))[0, :, 0].tolist() == [0, 1, 127, 255]


@pytest.mark.parametrize(("largest", "want"), [(1.0, [0, 128, 255]), (255.0, [0, 128, 255]), (65535.0, [0, 127, 255])])
def test_float_pixels_are_taken_by_their_range(tmp_path, largest, want):
    Image.fromarray(np.array([[0, largest / 2, largest]], np.float32)).save(tmp_path / "x.tif")
    assert np.asarray(read_picture(tmp_path / "x.tif"))[0, :, 0].tolist() == want


@pytest.mark.parametrize("worst", [-1.0, np.nan, np.inf, 65536.0])
def test_pixels_whose_range_cannot_be_told_are_refused_by_name(tmp_path, worst):
    Image.fromarray(np.array([[0.5, worst]], np.float32)).save(tmp_path / "x.tif")
    with pytest.raises(InputError, match=r"x\.tif: its pixels lie between"):
        read_picture(tmp_path / "x.tif")


def test_integers_of_thirty_two_bits_are_taken_by_their_range(tmp_path):
    for largest, want in ((255, [0, 1, 127, 255]), (65535, [0, 0, 127, 255]), (1, [0, 1, 0, 1])):
        values = np.array([[0, 1, largest // 2, largest]], np.int32)
        Image.fromarray(values).save(tmp_path / "x.tif")
        assert np.asarray(read_picture(tmp_path / "x.tif"))[0, :, 0].tolist() == want
    (tmp_path / "dark.pgm").write_bytes(b"P5 2 1 65535\n" + np.array([0, 255], ">u2").tobytes())  # dark, of 16 bits
    assert np.asarray(read_picture(tmp_path / "dark.pgm")).max() == 0


def test_integers_beyond_sixteen_bits_are_refused():
    for worst in (-1, 65536):
        with pytest.raises(InputError, match="its pixels lie between"):
            read_picture(Image.fromarray(np.array([[0, worst]], np.int32)))


def test_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    for name in ("x.gif", "x.png", "x.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert np.abs(np.asarray(read_picture(tmp_path / name))[0, 0].astype(int) - (255, 0, 0)).max() < 8


def test_what_is_no_picture_is_refused_in_one_line(tmp_path):
    good = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)).save(good, "PNG")
    contents = {"empty.png": b"", "text.jpg": b"hello\n", "zeros.png": bytes(100), "torn.png": good.getvalue()[:3000]}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    for name in (*contents, "pipe.png", "folder.png", "missing.png"):
        with pytest.raises(InputError, match=name) as caught:
            read_picture(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_bomb_below_pillows_limit_is_refused_without_decoding(tmp_path, monkeypatch):
    monkeypatch.setattr("explainer.files.pictures._LARGE", 10_000)
    Image.new("RGB", (400, 400)).save(tmp_path / "bomb.png")
    with pytest.raises(InputError, match=r"bomb\.png: it claims 400 x 400 pixels in a small file"):
        read_picture(tmp_path / "bomb.png")
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    assert read_picture(tmp_path / "large.png").size == (400, 400)
