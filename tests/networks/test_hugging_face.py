"""Image classifiers of transformers, with random weights: described by themselves, read, explained, saved and loaded."""

import sys
import warnings
from types import SimpleNamespace

import pytest
import torch
from torchvision.transforms import v2

import explainer
from explainer.attribution import RISE, SMOE, FastCAM, GradCAM, Occlusion
from explainer.errors import InputError
from explainer.networks import Explanandum, hugging_face
from explainer.networks.build import build_network
from explainer.networks.hugging_face import class_names, measured
from explainer.networks.normalisation import IMAGENET_MEAN
from explainer.networks.trust import check_network
from tests.support.small_checkpoints import save_explanandum

transformers = pytest.importorskip("transformers")

NAMES = {0: "cat", 1: "dog", 2: "cat"}
TRANSFORMER = {
    "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32, "image_size": 32,
    "patch_size": 4,
}  # fmt: skip
STAGES = {"hidden_sizes": [8, 16, 24, 32], "depths": [2, 2, 2, 2]}


def vit(**options):
    config = transformers.ViTConfig(**TRANSFORMER, **{"num_labels": 3, **options})
    return transformers.ViTForImageClassification(config)


def swin():
    config = transformers.SwinConfig(
        image_size=64, embed_dim=8, depths=[2, 2, 2], num_heads=[1, 2, 4], window_size=4, num_labels=3
    )
    return transformers.SwinForImageClassification(config)


def resnet():
    return transformers.ResNetForImageClassification(
        transformers.ResNetConfig(embedding_size=8, num_labels=3, **STAGES)
    )


def siglip():
    return transformers.SiglipForImageClassification(transformers.SiglipConfig(vision_config=TRANSFORMER, num_labels=3))


FAMILIES = {
    "vit": (vit, ["classifier"], "vit.layers.2"),
    "swin": (swin, ["classifier"], "swin.encoder.layers.2.blocks.1"),
    "resnet": (resnet, ["classifier.1"], "resnet.encoder.stages.3.layers.1"),
    "convnext": (
        lambda: transformers.ConvNextForImageClassification(transformers.ConvNextConfig(num_labels=3, **STAGES)),
        ["classifier"], "convnext.encoder.stages.3",
    ),
    "dinov2": (
        lambda: transformers.Dinov2ForImageClassification(transformers.Dinov2Config(**TRANSFORMER, num_labels=3)),
        ["classifier"], "dinov2.encoder.layer.2",
    ),
    "siglip": (siglip, ["classifier"], "vision_model.encoder.layers.3"),
    "deit with a teacher": (
        lambda: transformers.DeiTForImageClassificationWithTeacher(
            transformers.DeiTConfig(**TRANSFORMER, num_labels=3)
        ),
        ["cls_classifier", "distillation_classifier"], "deit.layers.2",
    ),
    "timm": (
        lambda: transformers.TimmWrapperForImageClassification(
            transformers.TimmWrapperConfig(architecture="resnet10t", num_labels=3)
        ),
        ["timm_model.fc"], "timm_model.layer4.0",
    ),
}  # fmt: skip


def explanandum_of(network, **options):
    return Explanandum(network, **{"mean": (0.5,) * 3, "std": (0.5,) * 3, **options})


def side_of(name):
    return 32 if name in ("vit", "dinov2", "siglip", "deit with a teacher") else 64


@pytest.mark.parametrize("name", FAMILIES)
def test_families_are_read_and_built_again(name):
    torch.manual_seed(0)
    build, heads, last = FAMILIES[name]
    network = build().eval()
    explanandum = explanandum_of(network)
    image = torch.rand(2, 3, side_of(name), side_of(name))
    with torch.no_grad():
        torch.testing.assert_close(explanandum(image), network((image - 0.5) / 0.5).logits)
    assert [head for head, _ in explanandum.heads] == heads
    assert explanandum.num_classes == 3
    assert explanandum.taps[-1] == last
    assert len(explanandum.taps) > 2
    # what a checkpoint says: trusted as it is, and enough for the same network
    spec = explanandum.spec
    check_network(spec["network"], spec["network_args"], "x.ckpt")
    again = build_network(spec["network"], None, spec["network_args"]).eval()
    again.load_state_dict(network.state_dict())
    with torch.no_grad():
        assert torch.equal(again(image).logits, network(image).logits)


@pytest.mark.parametrize("name", ["vit", "swin", "resnet"])
@pytest.mark.parametrize("method", [GradCAM(), FastCAM(), SMOE(), RISE(masks=8)], ids=lambda m: type(m).__name__)
def test_methods(name, method):
    torch.manual_seed(0)
    explanandum = explanandum_of(FAMILIES[name][0]())
    image = torch.rand(1, 3, side_of(name), side_of(name))
    for target in range(3):
        maps = method(explanandum, image, target)
        assert maps.shape == (1, 1, *image.shape[-2:])
        assert maps.isfinite().all()
        if maps.std() > 0:  # a Grad-CAM of random weights may be below 0 everywhere
            return
    pytest.fail("all maps are constant")


def plant(network):
    """Make class 1 the redness of the patches; silent attention and silent perceptrons hand the tokens on as they are."""
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.endswith(("out_proj.weight", "out_proj.bias", "fc2.weight", "fc2.bias")) or "position" in name:
                weight.zero_()
        patches = network.vision_model.embeddings.patch_embedding
        area = patches.weight[0, 0].numel()
        patches.weight.zero_()
        patches.bias.zero_()
        patches.weight[0, 0], patches.weight[0, 1] = 1 / area, -1 / area
        network.classifier.weight.zero_()
        network.classifier.bias.zero_()
        network.classifier.weight[1, 0] = 4.0
    return network


@pytest.mark.parametrize(
    "method", [SMOE(), FastCAM(), GradCAM(), Occlusion(window=8, stride=4)], ids=lambda m: type(m).__name__
)
def test_evidence_at_a_known_place_is_found(method):
    explanandum = explanandum_of(plant(siglip()))
    image = torch.full((1, 3, 32, 32), 0.5)
    image[:, 0, 8:16, 20:28], image[:, 1:, 8:16, 20:28] = 1.0, 0.0
    row, column = divmod(int(method(explanandum, image, 1)[0, 0].argmax()), 32)
    assert 6 <= row < 18
    assert 18 <= column < 30


def test_classes_and_kind_are_those_of_the_configuration():
    explanandum = explanandum_of(vit(id2label=NAMES, problem_type="multi_label_classification"))
    assert explanandum.classes == ("cat", "dog", "cat (2)")
    assert explanandum.multilabel is True
    assert explanandum_of(vit()).classes == ()
    assert explanandum_of(vit()).multilabel is None
    # a new head has no names
    assert explanandum_of(vit(id2label=NAMES), num_classes=5).classes == ()
    synonyms = explanandum_of(vit(id2label={0: "tench, Tinca tinca", 1: "Great_white shark", 2: "hen"}))
    synonyms.describe_classes(["tench", "great white shark", "hen"], False, new_head=False)
    with pytest.raises(InputError, match="class 2 is 'hen' for the classifier and 'cock' in the data set"):
        synonyms.describe_classes(["tench", "great white shark", "cock"], False, new_head=False)


def test_one_photograph_in_one_line():
    result = explainer.explain(
        vit(id2label={0: "cat", 1: "dog", 2: "hen"}), torch.rand(3, 50, 40), "FastCAM", "dog",
        mean=(0.5,) * 3, std=(0.5,) * 3,
    )  # fmt: skip
    assert (result.label, result.saliency.shape) == ("dog", (1, 1, 50, 40))


PROCESSORS = {
    "plain": ({"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)),
    "without normalisation": ({"do_normalize": False}, (0.0,) * 3, (1.0,) * 3),
    "to [-1, 1]": ({"rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3, "image_std": [1.0] * 3},
                   (0.5,) * 3, (0.5,) * 3),
}  # fmt: skip


@pytest.mark.parametrize("name", PROCESSORS)
def test_the_normalisation_is_measured_on_the_processor(name):
    options, mean, std = PROCESSORS[name]
    processor = transformers.ViTImageProcessor(size={"height": 48, "width": 48}, **options)
    preprocessing = measured(processor)
    assert preprocessing.mean == pytest.approx(mean, abs=1e-5)
    assert preprocessing.std == pytest.approx(std, abs=1e-5)
    assert (preprocessing.side, preprocessing.reversed) == (48, False)
    explanandum = Explanandum(vit(), preprocessor=processor)
    assert explanandum.mean.flatten().tolist() == pytest.approx(mean, abs=1e-5)
    assert explanandum.image_size == 48


def test_a_processor_that_normalises_twice_or_turns_the_colours_round():
    twice = transformers.EfficientNetImageProcessor(include_top=True, image_std=[0.5] * 3, image_mean=[0.5] * 3)
    assert measured(twice).std == pytest.approx((0.25,) * 3, abs=1e-5)
    turned = transformers.MobileViTImageProcessor(crop_size={"height": 32, "width": 32})
    assert measured(turned).reversed
    with pytest.raises(InputError, match="takes blue first"):
        Explanandum(vit(), preprocessor=turned)


def test_a_transform_of_torchvision_is_a_preprocessor():
    transform = v2.Compose([v2.Resize((40, 40)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True),
                            v2.Normalize((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))])  # fmt: skip
    explanandum = Explanandum(vit(), preprocessor=transform)
    assert explanandum.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3], abs=1e-5)
    assert explanandum.std.flatten().tolist() == pytest.approx([0.5, 0.6, 0.7], abs=1e-5)


@pytest.mark.parametrize(("preprocessor", "words"), [
    (lambda picture: 1 / 0, "does not take a picture: ZeroDivisionError"),
    (lambda picture: torch.zeros(1, 8, 8), r"gives no image \(3, H, W\)"),
    (lambda picture: torch.zeros(3, 8, 8), "same for black and white"),
    (v2.Compose([v2.ToImage(), v2.Grayscale(3), v2.ToDtype(torch.float32, scale=True)]), "more than to normalise"),
])  # fmt: skip
def test_what_is_no_preprocessor_is_refused_in_one_line(preprocessor, words):
    with pytest.raises(InputError, match=words) as refused:
        measured(preprocessor)
    assert "\n" not in str(refused.value)


def test_without_a_processor_a_warning_says_what_is_taken():
    with pytest.warns(UserWarning, match="ViTForImageClassification does not say how its images are normalised"):
        assert Explanandum(vit()).mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])


def test_a_folder_of_save_pretrained_is_a_name(tmp_path):
    network = vit(id2label={0: "a", 1: "b", 2: "c"}).eval()
    network.save_pretrained(tmp_path)
    transformers.ViTImageProcessor(
        size={"height": 32, "width": 32}, image_mean=[0.4] * 3, image_std=[0.2] * 3
    ).save_pretrained(tmp_path)
    explanandum = Explanandum(f"hf/{tmp_path}")
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(explanandum(image), network((image - 0.4) / 0.2).logits)
    assert explanandum.classes == ("a", "b", "c")
    assert explainer.explain(f"hf/{tmp_path}", torch.rand(3, 40, 40), "SMOE").classes == ("a", "b", "c")
    # a checkpoint needs neither the folder nor the network
    save_explanandum(explanandum, tmp_path / "x.ckpt")
    (tmp_path / "model.safetensors").unlink()
    restored = Explanandum(str(tmp_path / "x.ckpt"))
    assert torch.equal(restored(image), explanandum(image))
    assert restored.spec == explanandum.spec


def test_colours_are_turned_round_in_the_weights_of_a_network_of_ones_own(tmp_path):
    config = transformers.MobileViTConfig(
        num_labels=2, image_size=64, hidden_sizes=[16, 16, 16], neck_hidden_sizes=[8, 8, 8, 8, 8, 8, 16],
        num_attention_heads=2,
    )  # fmt: skip
    network = transformers.MobileViTForImageClassification(config).eval()
    network.save_pretrained(tmp_path)
    transformers.MobileViTImageProcessor(
        size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}
    ).save_pretrained(tmp_path)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(Explanandum(f"hf/{tmp_path}")(image), network(image.flip(1)).logits)


def test_a_head_without_weights_gets_a_warning(tmp_path):
    vit().vit.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="no weights for 'classifier.bias'"):
        Explanandum(f"hf/{tmp_path}")


def test_a_name_without_an_image_processor_gets_a_warning(tmp_path):
    vit().save_pretrained(tmp_path)
    with pytest.warns(
        UserWarning, match="ViTForImageClassification does not say .* ImageNet's .* give mean and std"
    ) as said:
        explanandum = Explanandum(f"hf/{tmp_path}")
    assert said[0].filename == __file__
    assert explanandum.mean.flatten().tolist() == pytest.approx(IMAGENET_MEAN)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Explanandum(f"hf/{tmp_path}", mean=[0.5] * 3, std=[0.5] * 3)
        transformers.ViTImageProcessor(size={"height": 48, "width": 48}).save_pretrained(tmp_path)
        Explanandum(f"hf/{tmp_path}")


def test_weights_that_are_no_safetensors_are_refused(tmp_path):
    network = vit()
    network.config.save_pretrained(tmp_path)
    torch.save(network.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"config\.json and model\.safetensors") as refused:
        Explanandum(f"hf/{tmp_path}")
    assert "\n" not in str(refused.value)


def test_without_a_network_the_name_stands_in_the_error(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(InputError, match="cannot load hf/nobody/nothing of Hugging Face: check the name") as refused:
        Explanandum("hf/nobody/nothing")
    assert "\n" not in str(refused.value)
    with pytest.raises(InputError, match="comes with its own"):
        Explanandum("hf/nobody/nothing", weights="IMAGENET1K_V1")


def test_code_of_a_repository_is_never_run(monkeypatch):
    asked = {}

    class Loader:
        @staticmethod
        def from_pretrained(source, **options):
            asked.update(options, source=source)
            return vit(), {"missing_keys": set()}

    monkeypatch.setattr(hugging_face, "library", lambda: SimpleNamespace(AutoModelForImageClassification=Loader))
    monkeypatch.setattr(hugging_face, "read_preprocessor", lambda name: None)
    Explanandum("hf/some/vit", network_args={"revision": "main"})
    assert asked["source"] == "some/vit"
    assert asked["use_safetensors"] is True
    assert asked["trust_remote_code"] is False
    assert asked["revision"] == "main"


def test_without_transformers_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match=r"pip install 'saliency-explainer\[huggingface\]'"):
        Explanandum("hf/google/vit-base-patch16-224")


@pytest.mark.parametrize(("arguments", "words"), [
    ({}, "built of its configuration alone"),
    ({"config": {}, "revision": "main"}, "built of its configuration alone"),
    ({"config": {"backbone": "a/b"}}, "names a file or an address"),
    ({"config": {"use_pretrained_backbone": True}}, "names no others"),
    ({"config": {"vision_config": {"cache_dir": "x"}}}, "names no others"),
    ({"config": {"hidden_size": 10**9}}, "absurdly large"),
    ({"config": {"sizes": [{"a": 1}]}}, "is a dict"),
])  # fmt: skip
def test_a_checkpoint_with_another_configuration_is_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        check_network("hf/x", arguments, "x.ckpt")


@pytest.mark.parametrize("architecture", ["AutoModel", "PreTrainedModel", "pipeline", "os", None])
def test_only_networks_of_transformers_are_built(architecture):
    with pytest.raises(InputError, match="transformers has no network"):
        build_network("hf/x", None, {"config": {"architectures": [architecture]}})


def test_labels_that_are_not_numbered_through_are_none():
    network = vit()
    network.config.id2label = {1: "a", 2: "b", 3: "c"}
    assert class_names(network) == ()
