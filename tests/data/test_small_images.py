"""Small images of torchvision: blank images."""

import pytest

from explainer.data.small_images import SmallImages
from explainer.errors import InputError


def test_blank_images_are_refused_where_every_image_has_one_label():
    data = SmallImages(blank=0.1)
    with pytest.raises(InputError, match=r"data\.init_args\.blank"):
        data.options("train")
