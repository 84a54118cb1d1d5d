"""LIME is that of captum; superpixels cover the image."""

import captum.attr
import pytest
import torch

from explainer.attribution import LIME, Occlusion
from explainer.attribution.lime import superpixels
from explainer.errors import InputError


@pytest.mark.parametrize("kernel", ["lime", "shap"])
def test_lime_is_that_of_captum(single, image, target, kernel):
    got = LIME(samples=20, segments=6, kernel=kernel, seed=3)(single, image[:1], target[:1])
    segments = superpixels(image[0], 6, 10.0)
    theirs = {"lime": captum.attr.Lime, "shap": captum.attr.KernelShap}[kernel]
    torch.manual_seed(3)
    want = theirs(lambda x: single(x).softmax(1)[:, target[0]]).attribute(
        image[:1], feature_mask=segments[None, None].expand(1, 3, 32, 32), n_samples=20,
        baselines=single.mean_colour.expand(1, 3, 32, 32),
    )  # fmt: skip
    torch.testing.assert_close(got, want[:, :1].to(image.dtype), atol=1e-5, rtol=1e-3)


def test_superpixels_cover_the_image():
    picture = torch.zeros(3, 40, 40)
    picture[:, :, 20:] = 1
    for shown in (picture, torch.rand(3, 40, 40)):
        segments = superpixels(shown, 9, 10.0)
        assert segments.shape == (40, 40)
        assert sorted(segments.unique().tolist()) == list(range(int(segments.max()) + 1))
        assert segments.max() > 0


@pytest.mark.parametrize(("build", "words"), [
    (lambda: Occlusion(window=8, stride=9), "stride 9 would skip pixels"), (lambda: LIME(samples=0), "samples must be"),
    (lambda: LIME(kernel="rbf"), "kernel must be lime or shap"),
    (lambda: Occlusion(window=0), "window must be positive"),
])  # fmt: skip
def test_settings_that_make_no_sense(build, words):
    with pytest.raises(InputError, match=words):
        build()
