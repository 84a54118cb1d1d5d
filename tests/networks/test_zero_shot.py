"""Texts as classes: the logits are those of the network itself, with random weights and a tokenizer of a few lines."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from explainer.attribution import RISE, FastCAM, GradCAM
from explainer.errors import InputError
from explainer.networks import Explanandum, hugging_face
from explainer.networks.image_text import image_half
from explainer.networks.trust import check_network
from explainer.networks.zero_shot import zero_shot
from tests.support.small_checkpoints import save_explanandum

transformers = pytest.importorskip("transformers")

VISION = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32,
          "image_size": 32, "patch_size": 8}  # fmt: skip
TEXT = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 64,
        "max_position_embeddings": 16, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}  # fmt: skip
CLASSES = ["cat", "dog", "a black hen"]
PLAIN = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
LENGTH = 12


def clip():
    torch.manual_seed(0)
    config = transformers.CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=20)
    return transformers.CLIPModel(config).train()


def siglip():
    torch.manual_seed(0)
    config = transformers.SiglipConfig(text_config={**TEXT, "projection_size": 32}, vision_config=VISION)
    model = transformers.SiglipModel(config).train()
    with torch.no_grad():
        model.logit_scale.fill_(1.5)
        model.logit_bias.fill_(-2.0)
    return model


def tokenizer(text, padding, truncation, return_tensors):
    """A number a letter; filled up to the longest text, or to one length."""
    assert (truncation, return_tensors) == (True, "pt")
    rows = [[1, *(3 + ord(letter) % 60 for letter in words[::-1][: LENGTH - 2]), 2] for words in text]
    length = LENGTH if padding == "max_length" else max(map(len, rows))
    tokens = {"input_ids": torch.tensor([row + [0] * (length - len(row)) for row in rows])}
    if padding != "max_length":
        tokens["attention_mask"] = (tokens["input_ids"] != 0).long()
    return tokens


def own_logits(model, image, texts, padding):
    tokens = tokenizer(texts, padding, True, "pt")
    with torch.no_grad():
        return model.eval()(pixel_values=(image - 0.5) / 0.5, **tokens).logits_per_image


@pytest.mark.parametrize(("build", "padding", "multilabel"), [(clip, True, False), (siglip, "max_length", True)])
def test_logits_are_those_of_the_network_itself(build, padding, multilabel):
    model = build()
    explanandum = zero_shot(model, CLASSES, "a photo of a {}", tokenizer=tokenizer, **PLAIN)
    assert model.training  # left as it was
    assert model.text_model is not None
    image = torch.rand(2, 3, 32, 32)
    want = own_logits(model, image, [f"a photo of a {name}" for name in CLASSES], padding)
    with torch.no_grad():
        logits = explanandum(image)
    torch.testing.assert_close(logits, want)
    assert want.std(1).min() > 1e-5
    assert (explanandum.classes, explanandum.multilabel) == (tuple(CLASSES), multilabel)
    probabilities = want.sigmoid() if multilabel else want.softmax(1)
    torch.testing.assert_close(explanandum.probabilities(logits), probabilities)
    assert explanandum.num_classes == 3
    assert [name for name, _ in explanandum.heads] == ["texts"]
    assert not any(weight.requires_grad for weight in explanandum.parameters())
    assert not any("text_model" in name for name, _ in explanandum.named_modules())


def test_several_templates_are_averaged():
    model = clip()
    templates = ["a photo of a {}", "the {}!"]
    explanandum = zero_shot(model, CLASSES, templates, tokenizer=tokenizer, **PLAIN)
    single = [zero_shot(model, CLASSES, text, tokenizer=tokenizer, **PLAIN).network.texts.weight for text in templates]
    mean = (single[0] + single[1]) / 2
    torch.testing.assert_close(explanandum.network.texts.weight, mean / mean.norm(dim=1, keepdim=True))


@pytest.mark.parametrize("method", [GradCAM(), FastCAM(), RISE(masks=8)], ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("build", [clip, siglip])
def test_methods(build, method):
    explanandum = zero_shot(build(), CLASSES, tokenizer=tokenizer, **PLAIN)
    maps = method(explanandum, torch.rand(1, 3, 32, 32), 1)
    assert maps.shape == (1, 1, 32, 32)
    assert maps.isfinite().all()


def test_a_processor_has_the_tokenizer_and_the_normalisation():
    class Processor:
        image_processor = transformers.ViTImageProcessor(
            size={"height": 32, "width": 32}, image_mean=[0.4] * 3, image_std=[0.2] * 3
        )

        def __call__(self, **options):
            return tokenizer(**options)

    explanandum = zero_shot(clip(), CLASSES, tokenizer=Processor())
    assert explanandum.mean.flatten().tolist() == pytest.approx([0.4] * 3, abs=1e-5)
    assert explanandum.image_size == 32


def test_a_name_is_loaded_without_code(monkeypatch):
    asked = {}

    def loader(kind, answer):
        def from_pretrained(source, **options):
            asked[kind] = (source, options["trust_remote_code"], options.get("use_safetensors"))
            return answer

        return SimpleNamespace(from_pretrained=from_pretrained)

    monkeypatch.setattr(hugging_face, "library", lambda: SimpleNamespace(
        AutoModel=loader("model", (clip(), {"missing_keys": set()})),
        AutoTokenizer=loader("tokenizer", tokenizer),
        AutoImageProcessor=loader("processor", None),
    ))  # fmt: skip
    explanandum = zero_shot("hf/openai/clip-vit-base-patch32", CLASSES, **PLAIN)
    assert asked == {
        "model": ("openai/clip-vit-base-patch32", False, True),
        "tokenizer": ("openai/clip-vit-base-patch32", False, None),
        "processor": ("openai/clip-vit-base-patch32", False, None),
    }
    assert explanandum.classes == tuple(CLASSES)


@pytest.mark.parametrize("build", [clip, siglip])
def test_a_checkpoint_needs_no_tokenizer(tmp_path, build):
    explanandum = zero_shot(build(), CLASSES, tokenizer=tokenizer, **PLAIN)
    save_explanandum(explanandum, tmp_path / "x.ckpt", classes=CLASSES, multilabel=explanandum.multilabel)
    restored = Explanandum(str(tmp_path / "x.ckpt"))
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(restored(image), explanandum(image))
    assert restored.multilabel == explanandum.multilabel


@pytest.mark.parametrize("size", [[3], [0, 4], "3", [10**9, 10**9], [1.5, 2]])
def test_a_checkpoint_with_texts_of_no_size_is_refused(size):
    with pytest.raises(InputError, match="texts"):
        check_network("hf/CLIPModel", {"config": {}, "texts": size}, "x.ckpt")


@pytest.mark.parametrize(("options", "words"), [
    ({"classes": []}, "classes are a list of names"),
    ({"classes": "cat"}, "classes are a list of names"),
    ({"classes": ["cat", "cat"]}, "two classes have the name 'cat'"),
    ({"template": "a photo"}, "a template has {} once"),
    ({"template": "a {} and a {}"}, "a template has {} once"),
    ({"template": "a {name} {}"}, "a template has {} once"),
    ({"template": []}, "a template has {} once"),
    ({"tokenizer": None}, "wants its tokenizer"),
    ({"tokenizer": lambda **options: 1 / 0}, "the texts cannot be embedded: ZeroDivisionError"),
    ({"model": nn.Linear(1, 1)}, "Linear embeds no images and texts"),
])  # fmt: skip
def test_what_cannot_be_is_said_in_one_line(options, words):
    arguments = {"model": clip(), "classes": CLASSES, "tokenizer": tokenizer, **PLAIN, **options}
    with pytest.raises(InputError, match=words) as refused:
        zero_shot(**arguments)
    assert "\n" not in str(refused.value)


def test_without_a_network_the_name_stands_in_the_error(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="cannot load hf/nobody/nothing of Hugging Face") as refused:
        zero_shot("hf/nobody/nothing", CLASSES)
    assert "\n" not in str(refused.value)


def test_the_network_stays_whole():
    model = clip()
    half = image_half(model)
    assert not hasattr(half, "text_model")
    assert hasattr(model, "text_model")
    assert half.vision_model is model.vision_model
