"""Any function of the network's output as a target, by every method."""

import pytest
import torch
from torch import nn

from explainer.attribution import (
    BBMP,
    FIDO,
    IGOS,
    LIME,
    RISE,
    SMOE,
    AblationCAM,
    Explainer,
    ExtremalPerturbation,
    FastCAM,
    GradCAM,
    GradCAMPlusPlus,
    Gradient,
    GuidedBackprop,
    IntegratedGradients,
    Occlusion,
    ScoreCAM,
    SmoothGrad,
)
from explainer.errors import InputError
from explainer.networks import Explanandum
from explainer.networks.scored import Scored
from tests.support.small_checkpoints import save_explainer

SIDE = 32


class Colours(nn.Module):
    """How red, how green and how blue the picture is, each place for itself; and an embedding."""

    def __init__(self, output="logits"):
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 4, 4, bias=False)
        self.act = nn.ReLU()
        self.output = output
        with torch.no_grad():
            self.layer.weight.zero_()
            for colour in range(3):
                self.layer.weight[colour] = -1 / 16
                self.layer.weight[colour, colour] = 1 / 16

    def forward(self, image):
        logits = 8 * self.act(self.layer(image)).mean((2, 3))
        return {"logits": logits, "dict": {"embedding": logits}, "tuple": (logits, image)}[self.output]


@pytest.fixture(params=["logits", "dict", "tuple"])
def colours(request):
    return Explanandum(Colours(request.param), mean=(0.0,) * 3, std=(1.0,) * 3)


def embedding(output):
    return output if torch.is_tensor(output) else output[0] if isinstance(output, tuple) else output["embedding"]


def red_rather_than_green(output):
    return embedding(output)[:, 0] - embedding(output)[:, 1]


def likeness(output):
    """Cosine of the embedding and that of a blue picture."""
    return nn.functional.cosine_similarity(embedding(output), torch.tensor([[0.0, 0.0, 1.0, 0.0]]))


def picture():
    """Dark, with a red, a green and a blue square."""
    image = torch.full((1, 3, SIDE, SIDE), 0.1)
    for colour, (row, column) in enumerate(((0, 0), (0, 16), (16, 8))):
        image[0, :, row : row + 12, column : column + 12] = 0.0
        image[0, colour, row : row + 12, column : column + 12] = 1.0
    return image


PLACES = {"red": (slice(0, 12), slice(0, 12)), "green": (slice(0, 12), slice(16, 28)),
          "blue": (slice(16, 28), slice(8, 20))}  # fmt: skip
METHODS = {
    "Grad-CAM": GradCAM("act"), "Grad-CAM++": GradCAMPlusPlus("act"), "Score-CAM": ScoreCAM("act"),
    "Ablation-CAM": AblationCAM("act"), "Occlusion": Occlusion(window=8, stride=4), "RISE": RISE(masks=600, grid=8),
    "Integrated Gradients": IntegratedGradients(channels="sum"), "FIDO": FIDO(grid=8, steps=40, samples=4),
    "BBMP": BBMP(grid=8, steps=60, sparsity=1e-4), "iGOS++": IGOS(iterations=6, integrated=4, grid=8), "LIME": LIME(samples=150),
}  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_red_rather_than_green_is_explained_by_the_red_square(method):
    explanandum = Explanandum(Colours(), mean=(0.0,) * 3, std=(1.0,) * 3)
    saliency = METHODS[method](explanandum, picture(), red_rather_than_green)[0, 0]
    means = {name: float(saliency[place].mean()) for name, place in PLACES.items()}
    assert means["red"] > means["green"]
    assert means["red"] > means["blue"]


def test_a_likeness_is_explained_whatever_the_network_returns(colours):
    saliency = Occlusion(window=12, stride=4)(colours, picture(), likeness)[0, 0]
    means = {name: float(saliency[place].mean()) for name, place in PLACES.items()}
    assert max(means, key=means.get) == "blue"


@pytest.mark.parametrize("method", [
    Gradient(), SmoothGrad(samples=2), GuidedBackprop(), FastCAM(), SMOE(), ExtremalPerturbation(areas=(0.2,), steps=2),
])  # fmt: skip
def test_other_methods_take_functions_too(method):
    explanandum = Explanandum("alexnet", num_classes=3)
    maps = method(explanandum, torch.rand(2, 3, 64, 64), lambda logits: logits[:, 0] - logits[:, 1])
    assert maps.shape == (2, 1, 64, 64)
    assert maps.isfinite().all()


def test_one_class_as_a_function_is_that_class(colours):
    image = torch.rand(2, 3, SIDE, SIDE)
    if colours.network.output == "logits":
        by_function = Gradient()(colours, image, lambda logits: logits[:, 2])
        torch.testing.assert_close(by_function, Gradient()(colours, image, 2))


def test_the_classifier_stays_as_it_was():
    explanandum = Explanandum(Colours(), mean=(0.0,) * 3, std=(1.0,) * 3)
    before = {name: value for name, value in vars(explanandum).items() if name != "_modules"}
    scored = Scored(explanandum, red_rather_than_green)
    assert scored.network is explanandum.network
    assert scored.classes == ("red_rather_than_green",)
    assert {name: value for name, value in vars(explanandum).items() if name != "_modules"} == before
    assert explanandum(picture()).shape == (1, 4)


@pytest.mark.parametrize(("score", "words"), [
    (lambda logits: logits, r"one number an image, \(1,\); <lambda> gave \(1, 4\)"),
    (lambda logits: logits.sum(), r"gave \(\)"),
    (lambda logits: 3.0, "gave float"),
    (lambda logits: logits.argmax(1), "floats that have a gradient"),
])  # fmt: skip
def test_a_function_that_gives_something_else_is_refused_in_one_line(score, words):
    explanandum = Explanandum(Colours(), mean=(0.0,) * 3, std=(1.0,) * 3)
    with pytest.raises(InputError, match=words) as refused:
        Gradient()(explanandum, picture(), score)
    assert "\n" not in str(refused.value)


def test_an_explainer_has_no_mask_of_a_function(tmp_path):
    method = Explainer(str(save_explainer(tmp_path / "x.ckpt")))
    explanandum = Explanandum(str(tmp_path / "x.ckpt"))
    with pytest.raises(InputError, match="none for a function"):
        method(explanandum, torch.rand(1, 3, 32, 32), lambda logits: logits[:, 0])
