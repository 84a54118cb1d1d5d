"""The masker that reads the classifier: what it reads, what it begins from, and that it is a masker like any other."""

import copy

import pytest
import torch
from pytorch_lightning import Trainer
from torch import nn

import explainer
from explainer.data import Shapes
from explainer.errors import InputError
from explainer.functional.masking import enlarged
from explainer.networks import Explanandum, FeatureMasker
from explainer.networks.feature_masker import averaged_layer, evidence_at
from explainer.networks.restore import load_explainer
from explainer.training.modules import AmortizedExplainer, ExplainerObjective
from tests.support.small_checkpoints import SMALL


def attached(network="resnet18", classes=5, **options):
    explanandum = Explanandum(network, num_classes=classes, multilabel=True)
    masker = FeatureMasker(**({"width": 16, "scales": 3} | options))
    masker.attach(explanandum)
    masker.build(classes)
    return explanandum, masker


@pytest.mark.parametrize(("network", "layer"), [
    ("resnet18", "layer4"), ("timm/resnet10t", "layer4"), ("timm/tf_efficientnet_lite0", "bn2"),
    ("densenet121", "features"), ("squeezenet1_0", None), ("alexnet", None),
])  # fmt: skip
def test_the_layer_that_the_head_reads_the_mean_of(network, layer):
    explanandum = Explanandum(network, num_classes=3)
    found = averaged_layer(explanandum, torch.rand(1, 3, 96, 96))
    assert (found or "").removesuffix(".1") == (layer or "")


def test_the_heads_answer_at_each_place_has_the_logits_as_its_mean():
    explanandum = Explanandum("resnet18", num_classes=4, multilabel=True)
    features = torch.randn(2, 512, 3, 5)
    head = explanandum.network.fc
    answer = evidence_at(features, head, True)
    torch.testing.assert_close(answer.mean((2, 3)), head(features.mean((2, 3))))
    torch.testing.assert_close(evidence_at(features, head, False).exp().sum(1), torch.ones(2, 3, 5))


def test_it_begins_with_the_heads_answer():
    explanandum, masker = attached()
    image = torch.rand(2, 3, 64, 64)
    seen = {}
    explanandum.network.layer4.register_forward_hook(lambda m, i, o: seen.update(layer=o))
    logits, masks = masker.with_logits(image)
    torch.testing.assert_close(logits, explanandum(image))
    first = 0.5 * evidence_at(seen["layer"], explanandum.network.fc, True)
    small = nn.functional.interpolate(first, (8, 8), mode="bilinear", align_corners=False)
    want = nn.functional.interpolate(small, (64, 64), mode="bilinear", align_corners=False)
    torch.testing.assert_close(masks, want)


def test_its_coarse_masks_are_those_that_forward_enlarges():
    _, masker = attached()
    image = torch.rand(2, 3, 64, 64)
    nn.init.normal_(masker.network.head.weight)
    coarse = masker.coarse(image)
    assert coarse.shape == (2, 5, 8, 8)
    torch.testing.assert_close(enlarged(coarse, (64, 64)), masker(image))
    chosen = torch.tensor([3, 1])
    torch.testing.assert_close(masker.coarse(image, chosen)[:, 0], coarse[[0, 1], [3, 1]])


def test_the_loss_in_training_is_that_of_the_enlarged_masks():
    """With one label an image and masks that do not cross, the maximum of small masks is the small maximum."""
    explanandum, masker = attached(classes=2)
    module = AmortizedExplainer(explanandum, masker, ExplainerObjective())
    image, labels = torch.rand(2, 3, 64, 64), torch.tensor([[1.0, 0], [0, 1]])
    in_training = module.train().view(image, labels)
    in_validation = module.eval().view(image, labels)
    assert in_training.mask_logits.shape[-1] == 8
    assert in_validation.mask_logits.shape[-1] == 64
    for name in ("target", "non_target", "through_mask", "through_complement"):
        torch.testing.assert_close(getattr(in_training, name), getattr(in_validation, name), rtol=1e-4, atol=1e-5)
    nothing = module.train().view(image, torch.zeros(2, 2))
    assert not nothing.target.any()


@pytest.mark.parametrize("network", ["resnet18", "vgg11", "alexnet", "densenet121", "timm/convnext_atto"])
def test_any_convolutional_classifier_can_be_read(network):
    explanandum, masker = attached(network)
    for image in (torch.rand(2, 3, 96, 64), torch.rand(1, 3, 80, 80)):
        masks = masker(image)
        assert masks.shape == (len(image), 5, *image.shape[-2:])
        torch.testing.assert_close(masker(image, torch.tensor([3])), masks[:, 3:4])
        masks.sum().backward()
    assert all(parameter.grad is None for parameter in explanandum.parameters())
    assert all(parameter.grad is not None for parameter in masker.parameters())


def test_a_layer_of_tokens_is_read_as_maps():
    explanandum = Explanandum(
        "timm/vit_tiny_patch16_224", num_classes=2, multilabel=True, taps=["blocks.1", "blocks.3"]
    )
    masker = FeatureMasker(width=8, scales=2)
    masker.attach(explanandum)
    masker.build(2)
    masks = masker(torch.rand(2, 3, 224, 224))
    assert masks.shape == (2, 2, 224, 224)
    masks.sum().backward()
    assert all(parameter.grad is not None for parameter in masker.parameters())


def test_a_layer_without_places_is_refused():
    explanandum = Explanandum("timm/vit_tiny_patch16_224", num_classes=2, multilabel=True, taps=["blocks.1", "head"])
    masker = FeatureMasker(width=8, scales=2)
    masker.attach(explanandum)
    with pytest.raises(InputError, match="'head' gives nothing whose places can be told"):
        masker.build(2)


@pytest.mark.parametrize(("options", "words"), [
    ({"width": 12}, "multiple of 8"), ({"scales": 0}, "scales"), ({"depth": -1}, "depth"),
])  # fmt: skip
def test_numbers_that_cannot_be(options, words):
    with pytest.raises(InputError, match=words):
        FeatureMasker(**options)


def trained(tmp_path, **options):
    data = Shapes(image_size=32, batch_size=8, num_workers=0, train_images=16, val_images=8, test_images=4)
    explanandum = Explanandum(**SMALL, num_classes=6, multilabel=True)
    explanandum.describe_classes(data.classes, True, new_head=False)
    before = copy.deepcopy(explanandum.state_dict())
    module = AmortizedExplainer(explanandum, FeatureMasker(width=8, scales=2), ExplainerObjective(), **options)
    trainer = Trainer(max_epochs=2, accelerator="cpu", logger=False, enable_progress_bar=False,
                      default_root_dir=tmp_path, enable_checkpointing=False, enable_model_summary=False)  # fmt: skip
    trainer.fit(module, datamodule=data)
    after = explanandum.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    return module, trainer


def test_its_checkpoint_loads_like_any_other(tmp_path):
    module, trainer = trained(tmp_path)
    assert not any(name.startswith("masker.explanandum") for name in module.state_dict())
    image = torch.rand(2, 3, 32, 32)
    explanandum, masker, spec = load_explainer(tmp_path / "x.ckpt")
    assert spec["masker"] == {"width": 8, "scales": 2, "depth": 1}
    module.eval()
    torch.testing.assert_close(masker(image), module.masker(image))
    torch.testing.assert_close(explanandum(image), module.explanandum(image))
    loaded = explainer.load(tmp_path / "x.ckpt", "cpu")
    torch.testing.assert_close(loaded.masks(image), module(image))
    assert loaded.explain(image[0]).probabilities.shape == (6,)
    assert {"val/own", "val/others", "val/separation", "val/score"} <= set(trainer.callback_metrics)


@pytest.mark.parametrize("spec", [{"width": 10**9, "scales": 2, "depth": 1}, {"width": 8}, {"width": "8", "scales": 1,
                         "depth": 1}, {"width": 8, "scales": 2, "depth": 10**9}, {}])  # fmt: skip
def test_a_forged_description_is_refused(tmp_path, spec):
    trained(tmp_path)
    content = torch.load(tmp_path / "x.ckpt", weights_only=True)
    content["explainer"]["masker"] = spec
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(InputError):
        load_explainer(tmp_path / "x.ckpt")
