"""The classifier's module: it learns, and freezes and begins afresh what it is told to."""

import pytest
import torch

from explainer.errors import InputError
from explainer.networks import Explanandum
from explainer.training.modules import Classifier
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
