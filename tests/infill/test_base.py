"""In-fills: what stands where a mask is 0."""

import json

import pytest
import torch

from explainer.attribution import BBMP, FIDO, IGOS, RISE, EmpiricalMask
from explainer.errors import InputError
from explainer.evaluation.storage.fingerprint import settings_of
from explainer.experiments.retraining.degraded import degrade
from explainer.infill import (
    Blur,
    BlurOrColour,
    CAInfill,
    Constant,
    Local,
    Noise,
    NoisyLinear,
    RandomColour,
    VAEInfill,
)
from explainer.metrics.insertion import removal_curve
from explainer.networks import Explanandum, Masker
from explainer.networks.restore import load_generator, load_inpainter
from explainer.training.modules import AmortizedExplainer, ExplainerObjective
from tests.support.small_checkpoints import CLASSES, SMALL, save_classifier, save_generative

ALL = {
    "Constant": lambda folder: Constant(),
    "Blur": lambda folder: Blur(2.0),
    "BlurOrColour": lambda folder: BlurOrColour(2.0),
    "RandomColour": lambda folder: RandomColour(),
    "Noise": lambda folder: Noise(),
    "Local": lambda folder: Local(5),
    "NoisyLinear": lambda folder: NoisyLinear(),
    "CAInfill": lambda folder: CAInfill(save_generative(folder / "i.ckpt"), batch_size=2, foreign=True),
    "VAEInfill": lambda folder: VAEInfill(save_generative(folder / "v.ckpt", "vae"), batch_size=2, foreign=True),
    "VAEInfill, sampled": lambda folder: VAEInfill(
        save_generative(folder / "v.ckpt", "vae"), batch_size=2, foreign=True, sample=True
    ),
}


@pytest.fixture(params=ALL)
def infill(request, tmp_path):
    return ALL[request.param](tmp_path)


def test_every_infill_is_a_picture_of_the_images_size(infill):
    image, mask = torch.rand(3, 3, 16, 24), torch.rand(3, 1, 16, 24).round()
    before = image.clone()
    found = infill(image, mask, torch.Generator().manual_seed(0)).expand_as(image)
    assert found.dtype == image.dtype
    assert ((found >= 0) & (found <= 1)).all()
    assert torch.equal(image, before)
    again = infill(image, mask, torch.Generator().manual_seed(0)).expand_as(image)
    assert torch.equal(found, again)
    if infill.stochastic and not isinstance(infill, BlurOrColour):
        assert not torch.equal(found, infill(image, mask, torch.Generator().manual_seed(1)).expand_as(image))
    if infill.stochastic and not infill.sees_mask and not isinstance(infill, BlurOrColour):
        assert torch.equal(found[0], found[2])  # a draw is shared, so that an image's map does not depend on the others
    if not infill.stochastic:
        alone = torch.cat([infill(image[n : n + 1], mask[n : n + 1]).expand(1, 3, 16, 24) for n in range(3)])
        torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)


LEARNED = {"CAInfill": (CAInfill, "inpainter"), "VAEInfill": (VAEInfill, "vae")}


@pytest.fixture(params=LEARNED)
def learned(request, tmp_path):
    cls, kind = LEARNED[request.param]
    return lambda **options: cls(save_generative(tmp_path / f"{kind}.ckpt", kind), **options)


def test_learned_infills_keep_what_is_known_and_do_not_see_the_rest(learned, device):
    infill = learned(batch_size=2)
    image = torch.rand(3, 3, 32, 32, device=device, dtype=torch.float64)
    mask = (torch.rand(3, 1, 32, 32, device=device) > 0.5).double()
    found, known = infill(image, mask), (mask > 0).expand_as(image)
    assert torch.equal(found[known], image[known])
    assert found.device == image.device
    assert torch.equal(infill(torch.where(known, image, 0.0), mask), found)
    assert torch.equal(infill(image, torch.ones_like(mask)), image)
    assert torch.equal(infill(image), infill(image, torch.zeros_like(mask)))
    assert infill(image[:0], mask[:0]).shape == (0, 3, 32, 32)


def test_learned_infills_hold_few_images_at_once(learned):
    infill, seen = learned(batch_size=2), []
    infill._network.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    filled = infill._network.filled
    infill._network.filled = lambda image, *rest: (seen.append(len(image)), filled(image, *rest))[1]
    infill(torch.rand(5, 3, 32, 32), torch.zeros(5, 1, 32, 32))
    assert max(seen) == 2
    assert sum(seen) >= 5


def test_learned_infills_use_the_average(tmp_path):
    path = save_generative(tmp_path / "i.ckpt")
    state = torch.load(path, weights_only=True)["state_dict"]
    name = "coarse.0.0.0.weight"
    assert torch.equal(CAInfill(path)._network.state_dict()[name], state[f"average.module.{name}"])
    assert not torch.equal(state[f"average.module.{name}"], state[f"network.{name}"])


METHODS = {
    "FIDO": lambda i: FIDO(samples=2, steps=2, grid=4, infill=i),
    "BBMP": lambda i: BBMP(steps=2, grid=4, infill=i),
    "RISE": lambda i: RISE(masks=4, grid=4, infill=i),
    "IGOS": lambda i: IGOS(iterations=1, integrated=2, infill=i),
    "EmpiricalMask": lambda i: EmpiricalMask(iterations=2, grid=4, infill=i),
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_take_learned_infills_of_their_data_set_only(name, learned, tmp_path):
    method, image, target = METHODS[name](learned()), torch.rand(2, 3, 32, 32), torch.tensor([0, 1])
    explanandum = Explanandum(save_classifier(tmp_path / "c.ckpt"))
    first = method(explanandum, image, target)
    assert torch.isfinite(first).all()
    assert torch.equal(first, method(explanandum, image, target))
    other = Explanandum(save_classifier(tmp_path / "o.ckpt", ("a", "b", "c")))
    with pytest.raises(
        InputError, match=r"trained on a data set of 3 classes \(cat, dog, cow …\), the classifier on 3"
    ):
        method(other, image, target)
    assert torch.isfinite(METHODS[name](learned(foreign=True))(other, image, target)).all()
    unnamed = Explanandum(**SMALL, num_classes=len(CLASSES))
    assert torch.isfinite(method(unnamed, image, target)).all()


def test_a_learned_infill_stands_where_roar_and_the_curves_remove(learned):
    infill, image = learned(), torch.rand(1, 3, 32, 32)
    rank = torch.arange(200).repeat(6)[:1024].view(32, 32).to(torch.uint8)
    kept = (rank >= 100).float()[None, None]
    degraded = degrade(image[0], rank, "remove", 0.5, infill(image, kept)[0])
    assert torch.equal(degraded, infill(image, kept)[0])
    probability = lambda seen, owner: seen.mean((1, 2, 3))  # noqa: E731
    curve = removal_curve(rank[None, None].float(), image, infill(image), probability, steps=4)
    assert torch.isfinite(curve).all()


def test_images_of_another_size(learned):
    with pytest.raises(InputError, match="was trained on images of 32×32, these are 64×64"):
        learned()(torch.rand(1, 3, 64, 64), torch.ones(1, 1, 64, 64))
    assert learned(foreign=True)(torch.rand(1, 3, 64, 40), torch.ones(1, 1, 64, 40)).shape == (1, 3, 64, 40)
    with pytest.raises(InputError, match="multiples of 8"):
        learned(foreign=True)(torch.rand(1, 3, 60, 40), torch.ones(1, 1, 60, 40))


def test_checkpoints_of_another_kind_size_or_data_set(tmp_path):
    vae, generator = (save_generative(tmp_path / f"{k}.ckpt", k) for k in ("vae", "generator"))
    with pytest.raises(InputError, match="is a checkpoint of kind 'vae', but 'inpainter' is needed here"):
        CAInfill(vae)
    with pytest.raises(InputError, match="is a checkpoint of kind 'classifier', but 'vae' is needed here"):
        VAEInfill(save_classifier(tmp_path / "c.ckpt"))
    with pytest.raises(InputError, match="no file"):
        CAInfill(str(tmp_path / "nothing.ckpt"))
    with pytest.raises(InputError, match="batch_size must be positive"):
        CAInfill(vae, batch_size=0)
    with pytest.raises(InputError, match="trained on images of 32 pixels a side, not 64"):
        load_generator(generator, image_size=64)
    with pytest.raises(InputError, match=r"data set of 3 classes \(cat, dog, cow …\); here there are 2 classes"):
        load_inpainter(vae, "vae", classes=("a", "b"))
    assert load_generator(generator, image_size=32, classes=CLASSES).latent == 8
    content = torch.load(vae, weights_only=True)
    content["explainer"] |= {"kind": "inpainter", "network": {"width": 4}}
    torch.save(content, tmp_path / "mixed.ckpt")
    with pytest.raises(InputError, match="lacks 'coarse"):
        CAInfill(str(tmp_path / "mixed.ckpt"))


def test_settings_of_a_method_name_the_weights(learned):
    found = settings_of({"FIDO": FIDO(infill=learned())})["FIDO"]["infill"]
    assert len(found["sha256"]) == 64
    assert found["checkpoint"].endswith(".ckpt")
    assert json.loads(json.dumps(found)) == found


def test_an_explainer_takes_an_infill_of_its_data_set(learned):
    module = AmortizedExplainer(
        Explanandum(**SMALL, num_classes=2), Masker("resnet18", arguments={"encoder_depth": 3}), ExplainerObjective(),
        infill=learned(),
    )  # fmt: skip
    with pytest.raises(InputError, match="trained on a data set of 3 classes"):
        module.build(("a", "b"), True)


def test_a_learned_infill_can_look_at_a_smaller_picture(learned):
    infill, seen = learned(foreign=True, side=32), []
    filled = infill._network.filled
    infill._network.filled = lambda image, *rest: (seen.append(image.shape[-2:]), filled(image, *rest))[1]
    image, mask = torch.rand(2, 3, 64, 80), (torch.rand(2, 1, 64, 80) > 0.5).float()
    found, known = infill(image, mask), (mask > 0).expand_as(image)
    assert set(seen) == {(32, 32)}
    assert torch.equal(found[known], image[known])
    assert torch.equal(infill(torch.where(known, image, 0.0), mask), found)  # nor is the hole seen by way of the means
    part = image[..., :32, :32], mask[..., :32, :32]
    shrunk, infill.side = infill(*part), None
    torch.testing.assert_close(infill(*part), shrunk)  # of that size already
    with pytest.raises(InputError, match=r"infill (CA|VAE)Infill: side must be a multiple of 8, got 30"):
        learned(side=30)
