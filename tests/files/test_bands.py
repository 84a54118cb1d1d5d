"""Images of any number of channels keep their bits; what cannot be read is said in one line."""

import numpy as np
import pytest
from PIL import Image

from explainer.errors import InputError
from explainer.files.bands import read_bands

tifffile = pytest.importorskip("tifffile")
SIXTEEN = np.array([[0, 1, 300], [257, 40000, 65535]], np.uint16)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_of_grey_are_kept(tmp_path, name):
    Image.fromarray(SIXTEEN).save(tmp_path / name)
    np.testing.assert_allclose(read_bands(tmp_path / name, 1)[0], SIXTEEN / 65535, atol=1e-7)
    # for three channels they are cut to eight, as the data sets read them
    assert read_bands(tmp_path / name, 3).shape == (3, 2, 3)


def test_other_pictures_become_grey(tmp_path):
    Image.new("RGB", (3, 2), (255, 0, 0)).save(tmp_path / "red.png")
    assert read_bands(tmp_path / "red.png", 1).shape == (1, 2, 3)
    assert read_bands(tmp_path / "red.png", 1)[0, 0, 0] == pytest.approx(76 / 255)  # 0.299 of red
    grey = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    np.testing.assert_allclose(read_bands(grey, 1)[0] * 255, np.arange(6).reshape(2, 3), atol=1e-5)
    assert read_bands(Image.new("RGBA", (1, 1), (0, 0, 0, 0)), 1).item() == 1.0  # transparent: white
    floats = Image.fromarray(np.array([[0.25, 0.5]], np.float32))
    np.testing.assert_allclose(read_bands(floats, 1)[0], [[0.25, 0.5]])
    assert read_bands(Image.fromarray(np.array([[0, 510]], np.int32)), 1).max() == pytest.approx(510 / 65535)


def test_a_grey_picture_lies_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (4, 2)).save(tmp_path / "a.jpg", exif=exif)
    assert read_bands(tmp_path / "a.jpg", 1).shape == (1, 4, 2)


@pytest.mark.parametrize(("array", "divisor"), [
    (np.arange(24, dtype=np.uint8).reshape(4, 2, 3), 255),
    (np.arange(24, dtype=np.uint16).reshape(4, 2, 3) * 2000, 65535),
    (np.linspace(0, 1, 24, dtype=np.float32).reshape(4, 2, 3), 1),
])  # fmt: skip
def test_arrays_and_tiffs_of_four_bands(tmp_path, array, divisor):
    want = array / divisor
    np.save(tmp_path / "a.npy", array)
    tifffile.imwrite(tmp_path / "planes.tif", array, photometric="minisblack", planarconfig="separate")
    tifffile.imwrite(tmp_path / "pixels.tif", array.transpose(1, 2, 0), photometric="minisblack", planarconfig="contig")
    for name in ("a.npy", "planes.tif", "pixels.tif"):
        values = read_bands(tmp_path / name, 4)
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, want, atol=1e-6, err_msg=name)


def test_thirteen_bands_and_one(tmp_path):
    array = np.random.default_rng(0).integers(0, 65535, (13, 5, 6)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tiff", array, photometric="minisblack")
    np.testing.assert_allclose(read_bands(tmp_path / "a.tiff", 13), array / 65535, atol=1e-6)
    np.save(tmp_path / "grey.npy", array[0])
    np.testing.assert_allclose(read_bands(tmp_path / "grey.npy", 1), array[:1] / 65535, atol=1e-6)


def test_four_bands_of_a_picture():
    picture = Image.new("RGBA", (2, 2), (1, 2, 3, 4))
    np.testing.assert_allclose(read_bands(picture, 4)[:, 0, 0] * 255, [1, 2, 3, 4], atol=1e-5)


def write(path, what):
    if isinstance(what, np.ndarray):
        np.save(path, what)
    elif what == "rgb":
        Image.new("RGB", (3, 2)).save(path)
    elif what == "damaged":
        path.write_bytes(b"x" * 40)
    else:
        np.save(path, np.array([{}]), allow_pickle=True)


@pytest.mark.parametrize(("name", "what", "channels", "words"), [
    ("a.png", "rgb", 13, "it has 3 channels, and the classifier takes 13"),
    ("a.png", "rgb", 4, "it has 3 channels, and the classifier takes 4"),
    ("a.npy", np.zeros((2, 4, 4)), 3, "it has 2 channels, and the classifier takes 3"),
    ("a.npy", np.zeros((1, 2, 4, 4)), 2, "wanted is"),
    ("a.npy", np.full((2, 4, 4), 7.0), 2, "float64 from 7 to 7; save 8 or 16 bits"),
    ("a.npy", np.full((2, 4, 4), np.nan), 2, "save 8 or 16 bits"),
    ("a.npy", np.zeros((2, 4, 4), np.int32), 2, "int32 from 0 to 0"),
    ("a.npy", np.zeros((2, 0, 4)), 2, "no pixels"),
    ("a.npy", "objects", 2, "cannot read array"),
    ("a.npy", "damaged", 2, "cannot read array"),
    ("a.tif", "damaged", 4, "cannot read image"),
    ("a.png", "damaged", 1, "no picture"),
])  # fmt: skip
def test_what_cannot_be_read_is_said_in_one_line(tmp_path, name, what, channels, words):
    write(tmp_path / name, what)
    with pytest.raises(InputError, match=words) as refused:
        read_bands(tmp_path / name, channels)
    assert "\n" not in str(refused.value)
    assert name in str(refused.value)


def test_without_tifffile_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    with pytest.raises(InputError, match=r"pip install 'saliency-explainer\[bands\]'"):
        read_bands(tmp_path / "a.tif", 13)
