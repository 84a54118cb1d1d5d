import numpy as np
import pytest
import torch
from PIL import Image, ImageChops, ImageDraw, ImageFont

from explainer import rendering
from explainer.rendering import Tile, gallery, heat_map, mask_image, overlay, strip, to_pil


def test_photograph_keeps_every_8_bit_value_and_clips_the_rest():
    levels = torch.arange(256) / 255
    image = torch.stack([levels, levels.flip(0), torch.full((256,), 2.0)])[:, None]
    pixels = np.asarray(to_pil(image))[0]
    assert pixels[:, 0].tolist() == list(range(256))
    assert pixels[:, 1].tolist() == list(range(255, -1, -1))
    assert set(pixels[:, 2].tolist()) == {255}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_pictures_of_any_float_type(dtype):
    image, mask = torch.rand(3, 6, 8).to(dtype).requires_grad_(), torch.rand(1, 6, 8).to(dtype)
    assert to_pil(image).size == heat_map(mask).size == mask_image(mask).size == overlay(image, mask).size == (8, 6)


def test_mask_in_grey_is_white_where_kept():
    assert np.asarray(mask_image(torch.tensor([[0.0, 0.5, 1.0, 7.0]]))).tolist() == [[0, 128, 255, 255]]


def test_heat_is_blue_below_and_red_above_and_nothing_for_nan():
    cold, hot, missing = np.asarray(heat_map(torch.tensor([[0.15, 0.95, float("nan")]])))[0].astype(int)
    assert cold[2] > cold[0]
    assert hot[0] > hot[2]
    assert missing.tolist() == list(heat_map(torch.zeros(1, 1)).getpixel((0, 0)))


def test_heat_distinguishes_all_levels():
    colours = np.asarray(heat_map(torch.linspace(0, 1, 64)[None]))[0]
    assert len(np.unique(colours, axis=0)) == 64


def test_overlay_blends_between_grey_photograph_and_heat():
    image, mask = torch.rand(3, 8, 8), torch.rand(1, 8, 8)
    grey = np.asarray(overlay(image, mask, 0.0))
    assert (grey[..., 0] == grey[..., 1]).all()
    assert ImageChops.difference(overlay(image, mask, 1.0), heat_map(mask)).getbbox() is None
    half = np.asarray(overlay(image, mask, 0.5)).astype(float)
    assert np.abs(half - (grey / 2 + np.asarray(heat_map(mask)) / 2)).max() <= 1


def blank(picture, box):
    return np.asarray(picture.crop(box)).min() == 255


def test_gallery_of_ragged_rows_leaves_missing_tiles_blank():
    black = Image.new("RGB", (8, 8))
    picture = gallery([[Tile(black)] * 3, [Tile(black)]], tile_size=100)
    width, height = picture.size
    assert not blank(picture, (0, 0, width, height // 2))
    assert blank(picture, (width // 3 + 2, height // 2 + 2, width, height))


def test_gallery_scales_small_pictures_up_and_large_ones_down_in_proportion():
    for size in ((8, 4), (2000, 1000)):
        pixels = np.asarray(gallery([[Tile(Image.new("RGB", size))]], tile_size=100)) == 0
        rows, columns = pixels.all(-1).any(1).sum(), pixels.all(-1).any(0).sum()
        assert (rows, columns) == (50, 100)


def test_one_pixel_pictures_and_extreme_proportions():
    tiles = [Tile(Image.new("L", (1, 1)), "a"), Tile(Image.new("RGBA", (500, 1)), "b")]
    assert gallery([tiles], header=["one", "two"], tile_size=64).mode == "RGB"


def test_long_captions_stay_under_their_tile():
    white = Image.new("RGB", (8, 8), "white")
    picture = gallery([[Tile(white, "a caption without end " * 20), Tile(white)]], ["words " * 50], tile_size=100)
    assert not blank(picture, (0, 0, 104, picture.height))
    assert blank(picture, (106, 0, *picture.size))


def test_a_caption_and_a_header_are_written():
    white = Tile(Image.new("RGB", (8, 8), "white"))
    assert not blank(gallery([[white._replace(caption="cat 0.97")]]), (0, 150, 176, 205))
    assert not blank(gallery([[white]], ["image"]), (0, 0, 176, 20))


def test_strip_breaks_into_rows():
    one, two = strip(torch.zeros(4, 3, 8, 8), columns=4), strip(torch.zeros(5, 3, 8, 8), columns=4)
    assert one.width == two.width
    assert two.height > 1.8 * one.height


def drawn(symbol):
    picture = Image.new("L", (30, 30))
    ImageDraw.Draw(picture).text((5, 5), symbol, fill=255, font=ImageFont.truetype(rendering.FONT, 14))
    return picture.tobytes()


@pytest.mark.parametrize("symbol", "×→↑↓·…−éß")
def test_the_font_has_the_symbols_that_captions_use(symbol):
    assert drawn(symbol) != drawn("\U0010fffe")
