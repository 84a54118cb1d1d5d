import pytest
import pytorch_lightning as pl
import torch
from test_explanandum import tiny

from explainer.data import Shapes
from explainer.errors import InputError
from explainer.infill import Blur, BlurOrColour, Constant, gaussian_blur
from explainer.networks import Explanandum, Masker
from explainer.training.modules import (
    AmortizedExplainer,
    Classifier,
    ExplainerObjective,
    NonFiniteLossError,
    RTISObjective,
)
from explainer.training.modules.base import require_finite

MASKER = {"encoder_depth": 3, "decoder_channels": 16, "decoder_atrous_rates": [1, 2, 3], "decoder_aspp_dropout": 0.0}
assert tiny  # the dotted path below


def eight(**options):
    return Shapes(
        **({"image_size": 32, "batch_size": 8, "num_workers": 0, "train_images": 8, "val_images": 8} | options)
    )


def fit(module, data, steps, **options):
    trainer = pl.Trainer(
        accelerator="cpu", max_steps=steps, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, limit_val_batches=0, **options,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    return trainer


def explainer(objective=None, infill=None, mode="eval", **options):
    network = Explanandum("explainer.networks.small.small_cnn", network_args={"width": 4})
    objective = objective or ExplainerObjective()
    optimizer = lambda p: torch.optim.Adam(p, lr=3e-3)  # noqa: E731
    return AmortizedExplainer(
        network,
        Masker("resnet18", arguments=MASKER),
        objective,
        optimizer,
        infill=infill,
        explanandum_mode=mode,
        **options,
    )


def test_classifier_overfits_eight_images():
    network = Explanandum("explainer.networks.small.small_cnn", network_args={"width": 8})
    module, data = Classifier(network, lambda p: torch.optim.Adam(p, lr=1e-2)), eight()
    fit(module, data, 60)
    batch = next(iter(data.train_dataloader()))
    assert ((module.explanandum.eval()(batch.image) > 0).float() == batch.labels).all()


def vgg_like(**options):
    return Classifier(
        Explanandum("alexnet", num_classes=6), lambda p: torch.optim.Adam(p, lr=1e-3), trained=["classifier"], **options
    )


def test_frozen_convolutions_and_fresh_layers_as_in_the_published_classifiers():
    module, data = vgg_like(fresh=["classifier"]), eight(image_size=64)
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
    module, data = vgg_like(fresh=["classifier"]), eight(image_size=64)
    module.build(data.classes, True)
    drawn = module.explanandum.network.classifier[1].weight.detach().clone()
    module.build(data.classes, True)
    assert torch.equal(drawn, module.explanandum.network.classifier[1].weight)


def test_layers_that_are_not_there_are_named():
    module = Classifier(Explanandum("alexnet", num_classes=6), trained=["clasifier"])
    with pytest.raises(InputError, match="no layer 'clasifier' to train; there are"):
        module.build(eight().classes, True)
    with pytest.raises(InputError, match="not both"):
        Classifier(Explanandum("alexnet", num_classes=6), head_only=True, trained=["classifier"])


def test_the_best_checkpoint_is_that_of_the_score_or_of_the_loss():
    by_loss = Classifier(Explanandum("alexnet", num_classes=6), best_by="loss")
    by_score = Classifier(Explanandum("alexnet", num_classes=6))
    assert (by_loss.monitor, by_loss.monitor_mode) == ("val/loss", "min")
    assert (by_score.monitor, by_score.monitor_mode) == ("val/score", "max")


@pytest.mark.parametrize(
    ("multilabel", "threshold", "classes"), [(True, 0.5, [0, 2]), (True, 0.99, []), (False, 0.5, [2])]
)
def test_target_classes_can_be_those_that_the_explanandum_predicts(multilabel, threshold, classes):
    module = explainer(targets="predicted", target_threshold=threshold)
    module.build(tuple("abcdef"), multilabel)
    module.explanandum.forward = lambda image: torch.tensor([[1.0, -1.0, 3.0, -2.0, -2.0, -2.0]]).expand(len(image), -1)
    labels = torch.eye(6)[1:2]
    chosen = module.chosen(torch.rand(1, 3, 32, 32), labels)
    assert chosen[0].nonzero().flatten().tolist() == classes
    assert explainer().chosen(torch.rand(1, 3, 32, 32), labels) is labels
    view = module.view(torch.rand(1, 3, 32, 32), labels)
    assert torch.equal(view.labels, chosen)
    assert torch.isfinite(module.objective.total(module.objective.terms(view)))


@pytest.mark.parametrize("objective", [ExplainerObjective(), RTISObjective()])
def test_explainer_lowers_its_loss_on_eight_images_and_leaves_the_classifier_alone(objective):
    module, data = explainer(objective), eight()
    before = {k: v.clone() for k, v in module.explanandum.state_dict().items()}
    batch = next(iter(data.train_dataloader()))
    data.setup("fit")
    module.build(data.classes, True)
    first = float(objective.total(objective.terms(module.view(batch.image, batch.labels))))
    fit(module, data, 40)
    last = float(objective.total(objective.terms(module.view(batch.image, batch.labels))))
    assert last < first - 0.1
    assert all(torch.equal(v, before[k]) for k, v in module.explanandum.state_dict().items())
    assert not module.explanandum.network.training


def test_rtis_with_one_label_an_image_computes_that_classs_mask_alone():
    """Loss and gradients are those of all class masks."""
    image, labels, found = torch.rand(3, 3, 32, 32), torch.eye(6)[[4, 0, 4]], []
    for one in (True, False):
        torch.manual_seed(1)
        module = explainer(RTISObjective())
        module.objective.target_only = one
        module.build(Shapes().classes, True)
        view = module.view(image, labels)
        assert view.mask_logits.shape[1] == (1 if one else 6)
        loss = module.objective.total(module.objective.terms(view))
        loss.backward()
        found.append((loss, [p.grad for p in module.masker.parameters()]))
    torch.testing.assert_close(found[0], found[1])
    assert module.view(image, torch.ones(3, 6)).mask_logits.shape[1] == 6


def test_published_code_left_the_classifier_in_train_mode():
    module, data = explainer(mode="train"), eight()
    before = module.explanandum.network.stages[0][1].running_mean.clone()
    fit(module, data, 2)
    assert not torch.equal(before, module.explanandum.network.stages[0][1].running_mean)


def test_both_composites_go_through_in_one_pass():
    module = explainer()
    module.build(Shapes().classes, True)
    seen = []
    image, labels = torch.rand(3, 3, 32, 32), torch.eye(6)[:3]
    module.eval()
    module.explanandum.network.register_forward_hook(lambda m, i, o: seen.append(i[0].shape))
    view = module.view(image, labels)
    assert seen == [(6, 3, 32, 32)]
    target = view.target
    kept = module.explanandum(target * image + (1 - target) * module.explanandum.mean_colour)
    removed = module.explanandum((1 - target) * image + target * module.explanandum.mean_colour)
    torch.testing.assert_close(view.kept, kept)
    torch.testing.assert_close(view.removed, removed)


def test_images_without_label_train():
    module = explainer()
    module.build(Shapes().classes, True)
    terms = module.objective.terms(module.view(torch.rand(2, 3, 32, 32), torch.zeros(2, 6)))
    module.objective.total(terms).backward()
    assert terms["bound"] == 0
    assert all(torch.isfinite(p.grad).all() for p in module.masker.parameters() if p.grad is not None)


def test_batch_size_of_one_trains():
    module = explainer()
    module.build(eight().classes, True)
    before = {k: v.clone() for k, v in module.masker.state_dict().items()}
    assert fit(module, eight(batch_size=1), 2).global_step == 2
    assert any(not torch.equal(v, before[k]) for k, v in module.masker.state_dict().items())


def test_single_label_data_trains_by_cross_entropy(tmp_path):
    import trees

    from explainer.data import Folder

    data = Folder(root=str(trees.folder_tree(tmp_path)), image_size=32, batch_size=4, num_workers=0)
    network = Explanandum("explainer.networks.small.small_cnn", network_args={"width": 4, "num_classes": 2})
    module = AmortizedExplainer(network, Masker("resnet18", arguments=MASKER), ExplainerObjective())
    fit(module, data, 2)
    assert module.explanandum.multilabel is False
    logits, labels = torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    view = module.view(torch.rand(1, 3, 32, 32), labels)._replace(kept=logits)
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([0]))
    torch.testing.assert_close(module.objective.terms(view)["classification"], expected)


def test_nan_loss_stops_and_names_the_term():
    with pytest.raises(NonFiniteLossError, match="'tv' is nan at step 7"):
        require_finite({"area": torch.tensor(1.0), "tv": torch.tensor(torch.nan)}, 7)


def test_nan_loss_keeps_the_weights():
    module, data = explainer(), eight()
    data.setup("fit")
    module.build(data.classes, True)
    before = {k: v.clone() for k, v in module.masker.named_parameters()}
    terms = module.objective.terms
    module.objective.terms = lambda view: terms(view) | {"entropy": torch.tensor(torch.nan)}
    with pytest.raises(NonFiniteLossError, match="entropy"):
        fit(module, data, 2)
    assert all(torch.equal(v, before[k]) for k, v in module.masker.named_parameters())


def test_infills():
    image = torch.rand(2, 3, 16, 16)
    assert torch.equal(Constant((0.1, 0.2, 0.3))(image).flatten(), torch.tensor([0.1, 0.2, 0.3]))
    blurred = Blur(2.0)(image)
    assert blurred.shape == image.shape
    assert blurred.var() < image.var() / 4
    step = torch.zeros(1, 1, 1, 41)
    step[..., 20:] = 1
    expected = 0.5 * (1 + torch.erf((torch.arange(41) - 19.5) / (3 * 2**0.5)))
    torch.testing.assert_close(gaussian_blur(step, 3.0)[0, 0, 0], expected, atol=0.01, rtol=0)


def test_each_image_has_a_colour_of_its_own_in_the_units_of_the_published_code():
    image = torch.rand(64, 3, 16, 16)
    found = BlurOrColour(shared=False, noise=0.0)(image, generator=torch.Generator().manual_seed(1))
    colours = found[:, :, 0, 0]
    assert torch.equal(found, colours[:, :, None, None].expand_as(found))  # this seed draws colours, not the blur
    assert len(colours.unique(dim=0)) == 64
    published = 2 * colours - 1  # there images lie in [-1, 1]
    assert 0.3 < float(published.abs().max()) <= 0.33 + 1e-6
    grain = BlurOrColour(shared=False, colour=0.0)(image, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert float(grain.std()) == pytest.approx(0.11, abs=2e-3)
    assert not torch.equal(grain[0], grain[1])


def test_random_infill_is_a_function_of_its_generator():
    image, fills = torch.rand(1, 3, 16, 16), []
    state = torch.get_rng_state()
    for seed in (0, 0, 1, 2, 3, 4):
        fills.append(BlurOrColour(2.0)(image, generator=torch.Generator().manual_seed(seed)))
    assert torch.equal(fills[0], fills[1])
    assert len({float(f.std()) for f in fills}) > 2
    assert all(f.min() >= 0 and f.max() <= 1 for f in fills)
    assert torch.equal(state, torch.get_rng_state())
