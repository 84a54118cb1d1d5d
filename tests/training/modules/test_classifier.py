"""The classifier's module: it learns, and freezes and begins afresh what it is told to."""

import pytest
import torch

from explainer.attribution import Explainer
from explainer.errors import InputError
from explainer.infill import RandomColour
from explainer.networks import Explanandum
from explainer.training.modules import Classifier
from tests.support.small_checkpoints import CLASSES, SMALL, save_explainer
from tests.support.small_modules import eight, fit


def test_classifier_overfits_eight_images():
    network = Explanandum("explainer.networks.small.small_cnn", network_args={"width": 8})
    module, data = Classifier(network, lambda p: torch.optim.Adam(p, lr=1e-2)), eight()
    fit(module, data, 60)
    batch = next(iter(data.train_dataloader()))
    assert ((module.explanandum.eval()(batch.image) > 0).float() == batch.labels).all()


def vgg_like(**options):
    return Classifier(
        Explanandum("tests.support.small_networks.plain", num_classes=6),
        lambda p: torch.optim.Adam(p, lr=1e-3),
        trained=["classifier"],
        **options,
    )


def test_frozen_convolutions_and_fresh_layers_as_in_the_published_classifiers():
    module, data = vgg_like(fresh=["classifier"]), eight()
    network = module.explanandum.network
    features = [p.detach().clone() for p in network.features.parameters()]
    before = [p.detach().clone() for p in network.classifier.parameters()]
    module.build(data.classes, True)
    drawn = [p.detach().clone() for p in network.classifier.parameters()]
    assert not any(torch.equal(a, b) for a, b in zip(before, drawn, strict=True))
    assert (network.classifier.training, network.features.training) == (True, False)  # its dropout acts
    fit(module, data, 2)
    assert all(torch.equal(a, b) for a, b in zip(features, network.features.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(drawn, network.classifier.parameters(), strict=True))


def test_layers_begin_afresh_only_once():
    module, data = vgg_like(fresh=["classifier"]), eight()
    module.build(data.classes, True)
    drawn = module.explanandum.network.classifier[1].weight.detach().clone()
    module.build(data.classes, True)
    assert torch.equal(drawn, module.explanandum.network.classifier[1].weight)


def test_layers_that_are_not_there_are_named():
    module = Classifier(Explanandum("tests.support.small_networks.plain", num_classes=6), trained=["clasifier"])
    with pytest.raises(InputError, match="no layer 'clasifier' to train; there are"):
        module.build(eight().classes, True)
    with pytest.raises(InputError, match="not both"):
        Classifier(
            Explanandum("tests.support.small_networks.plain", num_classes=6), head_only=True, trained=["classifier"]
        )


def test_the_best_checkpoint_is_that_of_the_score_or_of_the_loss():
    by_loss = Classifier(Explanandum("tests.support.small_networks.plain", num_classes=6), best_by="loss")
    by_score = Classifier(Explanandum("tests.support.small_networks.plain", num_classes=6))
    assert (by_loss.monitor, by_loss.monitor_mode) == ("val/loss", "min")
    assert (by_score.monitor, by_score.monitor_mode) == ("val/score", "max")


def test_a_share_of_each_training_batch_is_seen_through_an_explainers_masks(tmp_path):
    path = save_explainer(tmp_path / "explainer.ckpt")
    module = Classifier(Explanandum(**SMALL), explained_by=path, explained_share=0.5, explained_infill=RandomColour())
    module.build(CLASSES, True)
    image, labels = torch.rand(4, 3, 32, 32), torch.tensor([[1.0, 0, 1], [0, 1, 0], [0, 0, 1], [1, 0, 0]])
    seen = module.explained(image, labels)
    mask = Explainer(path).target_mask(module.explanandum, image[:2], labels[:2])
    fill = RandomColour()(image, None, torch.Generator().manual_seed(0))
    torch.testing.assert_close(seen[:2], mask * image[:2] + (1 - mask) * fill, atol=1e-5, rtol=1e-4)
    assert torch.equal(seen[2:], image[2:])
    assert not any("masker" in name for name in module.state_dict())
    none = Classifier(Explanandum(**SMALL), explained_by=path, explained_share=0.0)
    none.build(CLASSES, True)
    assert none.explained(image, labels) is image
    with pytest.raises(InputError, match="masks of other classes"):
        Classifier(Explanandum(**SMALL), explained_by=path).build(("a", "b", "c"), True)
    with pytest.raises(InputError, match="explained_share"):
        Classifier(Explanandum(**SMALL), explained_share=1.5)
