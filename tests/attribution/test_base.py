import inspect
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from explainer import attribution
from explainer.attribution import Attribution, CentredBox, Constant, Explainer, GradCAM, Reference
from explainer.errors import InputError
from explainer.networks import Explanandum
from tests.support.small_checkpoints import CLASSES, SMALL, save_explainer

METHODS = {
    "Constant": {}, "CentredBox": {}, "CentredGaussian": {}, "Random": {}, "GradCAM": {},
    "GradCAMPlusPlus": {}, "ScoreCAM": {}, "AblationCAM": {}, "Explainer": {}, "SMOE": {},
    "FastCAM": {}, "Gradient": {}, "InputXGradient": {}, "GuidedBackprop": {}, "Deconvnet": {},
    "IntegratedGradients": {}, "SmoothGrad": {}, "Occlusion": {"window": 16, "stride": 8},
    "LIME": {"samples": 12, "segments": 6}, "RISE": {"masks": 6, "grid": 4, "batch_size": 4},
    "FIDO": {"samples": 2, "steps": 3, "grid": 8}, "BBMP": {"steps": 3, "grid": 8},
    "ExtremalPerturbation": {"steps": 3, "areas": [0.1, 0.4]},
    "IGOS": {"iterations": 2, "integrated": 2, "grid": 8}, "EmpiricalMask": {"iterations": 5, "grid": 6},
    "AttentionRollout": {}, "AttentionRelevance": {}, "LeGrad": {},
    "Captum": {"method": "IntegratedGradients", "arguments": {"n_steps": 4}, "baseline": True},
}  # fmt: skip
"""Every method, with a budget for a small network."""
ANY = SimpleNamespace(channels=3)
"""A classifier of which nothing is asked but its channels."""
OF_TRANSFORMERS = {"AttentionRollout", "AttentionRelevance", "LeGrad"}


@cache
def classifier(transformer, multilabel, device):
    """A classifier of three classes. No method may change it, so that one is enough for all tests."""
    network = {"network": "tests.support.small_vit.small_vit"} if transformer else SMALL
    with torch.random.fork_rng():
        torch.manual_seed(1)
        built = Explanandum(**network, num_classes=3, multilabel=multilabel)
    built.describe_classes(CLASSES, multilabel, new_head=False)
    return built.to(device)


@pytest.fixture(params=[True, False], ids=["multilabel", "single"])
def explanandum(device, request):
    transformer = request.node.callspec.params.get("method") in OF_TRANSFORMERS
    return classifier(transformer, request.param, device)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_explainer(tmp_path_factory.mktemp("explainer") / "explainer.ckpt")


@pytest.fixture(scope="module")
def explainer(checkpoint):
    """The method that reads a checkpoint, which takes longer than all others together."""
    return Explainer(checkpoint)


@pytest.fixture
def method(request, explainer):
    kind = getattr(attribution, request.param)
    return explainer if kind is Explainer else kind(**METHODS[request.param])


@pytest.fixture
def image(device):
    return torch.rand(3, 3, 32, 32, device=device)


@pytest.fixture
def labels(device):
    return torch.tensor([[1.0, 0, 1], [0, 0, 0], [0, 1, 0]], device=device)


def test_the_contracts_below_are_asked_of_every_method():
    found = {n for n, c in vars(attribution).items() if inspect.isclass(c) and issubclass(c, Attribution)}
    assert found - {"Attribution", "Reference"} == set(METHODS)


@pytest.mark.parametrize("method", METHODS, indirect=True)
class TestEveryMethod:
    def test_shape_type_and_device_of_a_finite_map(self, method, explanandum, image):
        before = image.clone()
        found = method(explanandum, image, torch.tensor([0, 1, 2], device=image.device))
        assert found.shape == (3, 1, 32, 32)
        assert (found.dtype, found.device) == (image.dtype, image.device)
        assert found.isfinite().all()
        assert not found.requires_grad
        assert torch.equal(image, before)

    def test_a_batch_equals_its_images_one_by_one(self, method, explanandum, image, labels):
        target = torch.tensor([2, 0, 1], device=image.device)
        together = method(explanandum, image, target)
        single = [method(explanandum, image[n : n + 1], target[n : n + 1]) for n in range(3)]
        torch.testing.assert_close(together, torch.cat(single), atol=1e-5, rtol=1e-4)
        masks = method.target_mask(explanandum, image, labels)
        single = [method.target_mask(explanandum, image[n : n + 1], labels[n : n + 1]) for n in (0, 2)]
        torch.testing.assert_close(masks[[0, 2]], torch.cat(single), atol=1e-4, rtol=1e-3)

    def test_the_same_call_gives_the_same_map(self, method, explanandum, image, labels):
        first = method.target_mask(explanandum, image, labels)
        assert torch.equal(first, method.target_mask(explanandum, image, labels))

    def test_the_explanandum_is_left_as_it_was(self, method, explanandum, image, labels):
        modules = list(explanandum.modules())
        state = {k: v.clone() for k, v in explanandum.state_dict().items()}
        hooks = [(len(m._forward_hooks), len(m._backward_hooks), len(m._forward_pre_hooks)) for m in modules]
        method.target_mask(explanandum, image, labels)
        assert all(torch.equal(v, explanandum.state_dict()[k]) for k, v in state.items())
        assert hooks == [(len(m._forward_hooks), len(m._backward_hooks), len(m._forward_pre_hooks)) for m in modules]
        assert not any(m.training for m in modules)
        assert all(p.grad is None and not p.requires_grad for p in explanandum.parameters())
        assert torch.is_grad_enabled()

    def test_target_masks_lie_in_0_to_1(self, method, explanandum, image, labels):
        mask = method.target_mask(explanandum, image, labels)
        assert mask.shape == (3, 1, 32, 32)
        assert ((mask >= 0) & (mask <= 1)).all()
        if not isinstance(method, Reference):
            assert (mask[1] == 0).all()  # no class, nothing to keep

    def test_works_where_gradients_are_off(self, method, explanandum, image, labels):
        wanted = method.target_mask(explanandum, image, labels)
        with torch.no_grad():
            torch.testing.assert_close(method.target_mask(explanandum, image, labels), wanted)

    def test_several_classes_in_one_call(self, method, explanandum, image, labels):
        found = method(explanandum, image, labels.bool())
        owner, target = labels.nonzero().unbind(1)
        torch.testing.assert_close(found, method(explanandum, image[owner], target), atol=1e-5, rtol=1e-4)
        assert method(explanandum, image, torch.zeros_like(labels).bool()).shape == (0, 1, 32, 32)

    def test_bad_input_is_refused_in_words(self, method, explanandum, image):
        target = torch.tensor([0, 1, 2], device=image.device)
        for wrong in (-1, 3):
            with pytest.raises(ValueError, match=f"target {wrong} is out of range: the classifier has 3 classes"):
                method(explanandum, image, torch.tensor([0, wrong, 0], device=image.device))
        broken = image.clone()
        broken[1, 0, 3, 4] = float("nan")
        with pytest.raises(InputError, match="image 1 of the batch has 1 values that are NaN or infinite"):
            method(explanandum, broken, target)
        with pytest.raises(InputError, match=r"target has shape \(2,\) for 3 images"):
            method(explanandum, image, target[:2])
        with pytest.raises(InputError, match=r"bool matrix \(3, 2\); wants \(3, 3\)"):
            method(explanandum, image, torch.ones(3, 2, dtype=torch.bool, device=image.device))
        with pytest.raises(InputError, match=r"\(B, 3, H, W\) in \[0, 1\], got torch.float32 \(3, 1, 32, 32\)"):
            method(explanandum, image[:, :1], target)
        if method.needs_target:
            with pytest.raises(InputError, match="needs a target"):
                method(explanandum, image)

    def test_other_proportions_than_a_square(self, method, explanandum):
        image = torch.rand(1, 3, 48, 32, device=explanandum.mean.device)
        assert method(explanandum, image, torch.tensor([1], device=image.device)).shape == (1, 1, 48, 32)


class Fixed(Attribution):
    """Stored maps, one a class."""

    def __init__(self, maps, batch_size=16):
        self.stored, self.batch_size, self.sizes = maps, batch_size, []

    def maps(self, explanandum, image, target):
        self.sizes.append(len(image))
        return self.stored[target][:, None] * image[:, :1].mean((1, 2, 3), keepdim=True)


def aggregated(maps, labels):
    """Min-max scale each class's map, then the maximum over the classes present, in plain loops."""
    mask = np.zeros(maps.shape[1:])
    for c in np.flatnonzero(labels):
        low, high = maps[c].min(), maps[c].max()
        if high > low:
            mask = np.maximum(mask, (maps[c] - low) / (high - low))
    return mask


@pytest.mark.parametrize("batch_size", [1, 2, 3, 16])
def test_target_mask_scales_each_class_and_takes_the_maximum(batch_size):
    maps = torch.randn(5, 6, 4, dtype=torch.float64) * torch.tensor([1e-8, 1e8, 1.0, 0.0, 1.0]).view(5, 1, 1)
    maps[2] -= 100  # negative everywhere
    labels = (torch.rand(7, 5) > 0.5).double()
    labels[0], labels[1] = 0, 1
    method = Fixed(maps, batch_size)
    image = torch.ones(7, 3, 6, 4, dtype=torch.float64)
    got = method.target_mask(ANY, image, labels)
    want = [aggregated(maps.numpy(), row.numpy()) for row in labels]
    torch.testing.assert_close(got[:, 0], torch.tensor(np.stack(want)))
    assert max(method.sizes) <= batch_size


def test_a_constant_map_is_an_empty_mask():
    mask = Fixed(torch.full((1, 4, 4), 7.0)).target_mask(ANY, torch.ones(1, 3, 4, 4), torch.ones(1, 1))
    assert (mask == 0).all()


def test_constants_are_constant_whatever_the_labels(explanandum, image, labels):
    assert (Constant(0.25).target_mask(explanandum, image, labels) == 0.25).all()


@pytest.mark.parametrize("area", [0.01, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("size", [(64, 64), (224, 100)])
def test_the_centred_box_has_its_area_and_is_centred(area, size):
    mask = CentredBox(area).mask(torch.rand(2, 3, *size))
    assert mask.mean().item() == pytest.approx(area, abs=0.02)
    for profile in (mask[0, 0].amax(0), mask[0, 0].amax(1)):
        inside = profile.nonzero().flatten()
        assert abs(inside[0] - (len(profile) - 1 - inside[-1])) <= 1


def by_hand(explanandum, image, target, layer):
    """Eq. 1 and 2 of Grad-CAM, an image and a channel at a time."""
    features = {}
    handle = layer.register_forward_hook(
        lambda m, i, o: features.update(a=o.detach().requires_grad_()) or features["a"]
    )
    maps = []
    for x, c in zip(image, target.tolist(), strict=True):
        score = explanandum(x[None])[0, c]
        gradient = torch.autograd.grad(score, features["a"])[0][0].cpu().numpy().astype(np.float64)
        a = features["a"].detach()[0].cpu().numpy().astype(np.float64)
        weights = [gradient[k].sum() / gradient[k].size for k in range(len(a))]
        coarse = np.maximum(sum(w * f for w, f in zip(weights, a, strict=True)), 0)
        maps.append(F.interpolate(torch.tensor(coarse)[None, None], x.shape[1:], mode="bilinear")[0])
    handle.remove()
    return torch.stack(maps)


@pytest.mark.parametrize("layer", [None, "stages.2"])
def test_grad_cam_agrees_with_its_equations(explanandum, image, layer):
    target = torch.tensor([0, 2, 1], device=image.device)
    module = explanandum.network.get_submodule(layer or explanandum.taps[-1])
    wanted = by_hand(explanandum, image, target, module)
    assert wanted.amax() > 0
    got = GradCAM(layer)(explanandum, image, target)
    torch.testing.assert_close(got.double().cpu(), wanted, atol=1e-6, rtol=1e-4)


def test_grad_cam_depends_on_the_class(explanandum, image):
    maps = [GradCAM("stages.1")(explanandum, image, torch.full((3,), c, device=image.device)) for c in range(3)]
    assert not torch.allclose(maps[0], maps[1])
    assert not torch.allclose(maps[1], maps[2])


@pytest.mark.parametrize("name", ["alexnet", "densenet121", "mobilenet_v2", "resnet18", "squeezenet1_1"])
def test_grad_cam_of_the_usual_families(name):
    explanandum = Explanandum(name, num_classes=3, multilabel=True)
    found = GradCAM()(explanandum, torch.rand(1, 3, 64, 64), torch.tensor([1]))
    assert found.shape == (1, 1, 64, 64)
    assert found.isfinite().all()


def test_grad_cam_refuses_a_layer_that_is_not_there(explanandum, image):
    with pytest.raises(InputError, match="no layer 'stages\\.9'"):
        GradCAM("stages.9")(explanandum, image, torch.zeros(3, dtype=torch.long, device=image.device))


@pytest.mark.parametrize("method", ["GradCAM", "Explainer"], indirect=True)
@pytest.mark.parametrize("target", [3, -1])
def test_a_target_that_is_no_class_is_refused(method, explanandum, image, target):
    with pytest.raises(ValueError, match=f"target {target}"):
        method(explanandum, image, torch.tensor([0, target, 0], device=image.device))


def test_explainer_gives_the_masks_of_its_checkpoint(checkpoint, explanandum, image, labels, device):
    from explainer.networks.restore import load_explainer

    _, masker, _ = load_explainer(checkpoint, device)
    with torch.no_grad():
        masks = masker(image).sigmoid()
    method = Explainer(checkpoint)
    target = torch.tensor([2, 1, 0], device=device)
    for n, c in enumerate(target.tolist()):
        torch.testing.assert_close(method(explanandum, image, target)[n, 0], masks[n, c], atol=1e-5, rtol=1e-4)
    wanted = torch.stack([torch.maximum(masks[0, 0], masks[0, 2]), torch.zeros_like(masks[0, 0]), masks[2, 1]])
    got = method.target_mask(explanandum, image, labels)[:, 0]
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-4)


def test_explainer_needs_the_checkpoint_of_an_explainer(tmp_path):
    with pytest.raises(InputError, match="no file"):
        Explainer(str(tmp_path / "none.ckpt"))
    torch.save({"state_dict": {}, "explainer": {"kind": "classifier"}}, tmp_path / "classifier.ckpt")
    with pytest.raises(InputError, match="classifier"):
        Explainer(str(tmp_path / "classifier.ckpt"))


# What goes wrong, and must not take the evaluation with it.


def test_a_batch_without_any_class_is_empty_masks(explanandum, image, labels):
    for method in (GradCAM(), GradCAM("stages.0", batch_size=1)):
        assert (method.target_mask(explanandum, image, torch.zeros_like(labels)) == 0).all()


@pytest.mark.parametrize("broken", [[float("nan")], [float("inf")], [-float("inf")], [float("inf"), -float("inf")]])
def test_a_map_that_is_not_finite_counts_as_nothing(broken):
    maps = torch.rand(2, 4, 4)
    maps[0, 0, : len(broken)] = torch.tensor(broken)
    image = torch.ones(3, 3, 4, 4)
    got = Fixed(maps).target_mask(ANY, image, torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
    assert (got[0] == 0).all()
    torch.testing.assert_close(got[1], got[2])
    assert got[1].max() == 1


def test_many_classes_do_not_need_a_map_each_at_once():
    class Ramp(Attribution):
        def maps(self, explanandum, image, target):
            return torch.arange(64.0).view(1, 1, 8, 8).expand(len(image), -1, -1, -1)

    labels = torch.zeros(2, 10_000_000)  # (B, K, H, W) would be 5 GB
    labels[:, 7] = 1
    assert Ramp().target_mask(ANY, torch.ones(2, 3, 8, 8), labels).amax() == 1


def test_grad_cam_works_in_inference_mode(explanandum, image):
    target = torch.zeros(3, dtype=torch.long, device=image.device)
    wanted = GradCAM()(explanandum, image, target)
    with torch.inference_mode():
        torch.testing.assert_close(GradCAM()(explanandum, image.clone(), target.clone()), wanted)


def test_grad_cam_refuses_a_layer_without_feature_maps(explanandum, image):
    with pytest.raises(InputError, match="no feature maps"):
        GradCAM("classifier")(explanandum, image, torch.zeros(3, dtype=torch.long, device=image.device))


@pytest.mark.parametrize("build", [lambda: Constant(1.5), lambda: Constant(-0.1), lambda: CentredBox(0.0),
                                   lambda: CentredBox(2.0)])  # fmt: skip
def test_values_out_of_range_are_refused(build):
    with pytest.raises(InputError, match="must lie in"):
        build()


def test_a_box_smaller_than_a_pixel_is_one_pixel():
    assert CentredBox(1e-6).mask(torch.rand(1, 3, 9, 9)).sum() == 1


def test_explainer_refuses_a_classifier_of_other_classes(checkpoint, explanandum, image, labels, monkeypatch):
    monkeypatch.setattr(explanandum, "classes", ("cat", "dog", "horse"))
    with pytest.raises(InputError, match="other classes"):
        Explainer(checkpoint).target_mask(explanandum, image, labels)
