"""The Explainer's module on eight images: its losses, its targets, its composites."""

import pytest
import pytorch_lightning as pl
import torch

from explainer.data import Shapes
from explainer.errors import InputError
from explainer.infill import Constant
from explainer.networks import Explanandum, Masker
from explainer.training.modules import AmortizedExplainer, ExplainerObjective, NonFiniteLossError, RTISObjective
from explainer.training.modules.base import require_finite
from tests.support.small_modules import MASKER, eight, explainer, fit


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


@pytest.mark.parametrize(
    ("best_by", "monitor", "mode"),
    [("loss", "val/loss", "min"), ("score", "val/score", "max"), ("essence", "val/essence", "max")],
)
def test_the_best_checkpoint_is_that_of_a_value_that_is_logged(best_by, monitor, mode):
    module = explainer(best_by=best_by)
    assert (module.monitor, module.monitor_mode) == (monitor, mode)
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, limit_val_batches=1
    )
    (logged,) = trainer.validate(module, datamodule=eight(), verbose=False)
    assert monitor in logged


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
    torch.testing.assert_close(view.through_mask, kept)
    torch.testing.assert_close(view.through_complement, removed)


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
    from explainer.data import Folder
    from tests.support import trees

    data = Folder(root=str(trees.folder_tree(tmp_path)), image_size=32, batch_size=4, num_workers=0)
    network = Explanandum("explainer.networks.small.small_cnn", network_args={"width": 4, "num_classes": 2})
    module = AmortizedExplainer(network, Masker("tu-test_resnet", arguments=MASKER), ExplainerObjective())
    fit(module, data, 2)
    assert module.explanandum.multilabel is False
    logits, labels = torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    view = module.view(torch.rand(1, 3, 32, 32), labels)._replace(through_mask=logits)
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


def test_ranking_shows_a_share_and_the_rest_and_every_step_another_share(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "explainer.training.modules.amortized.composite",
        lambda image, mask, infill: seen.append((mask.detach(), infill)) or image * mask,
    )
    image, labels = torch.rand(4, 3, 32, 32), torch.eye(6)[:4]
    module = explainer(ExplainerObjective(insertion=1.0, deletion=1.0, temperature=1e-3), share_infill=Constant([0.25]))
    module.build(tuple("abcdef"), True)
    view = module.view(image, labels)
    kept, rest = seen[2], seen[3]
    assert kept[1].unique().tolist() == [0.25]
    assert torch.equal(rest[1], module.explanandum.mean_colour)
    torch.testing.assert_close(kept[0] + rest[0], torch.ones_like(kept[0]))
    # each of the four images shows the share in the middle of its quarter
    torch.testing.assert_close(kept[0].mean((1, 2, 3)), torch.tensor([0.125, 0.375, 0.625, 0.875]), atol=0.02, rtol=0)
    for index in range(4):
        inside = kept[0][index] > 0.5
        assert view.target[index][inside].min() >= view.target[index][~inside].max() - 1e-6
    assert view.through_share.shape == view.through_rest.shape == (4, 6)
    monkeypatch.setattr(AmortizedExplainer, "global_step", 1)
    seen.clear()
    module.view(image, labels)
    shares = seen[2][0].mean((1, 2, 3))
    assert not torch.allclose(shares, torch.tensor([0.125, 0.375, 0.625, 0.875]), atol=0.02)


def test_without_ranking_nothing_is_shown_but_the_mask_and_its_complement(monkeypatch):
    module = explainer()
    module.build(tuple("abcdef"), True)
    sizes = []
    forward = module.explanandum.forward
    module.explanandum.forward = lambda image: sizes.append(len(image)) or forward(image)
    view = module.view(torch.rand(2, 3, 32, 32), torch.eye(6)[:2])
    assert sizes[-1] == 4
    assert view.through_share is None
    assert view.through_rest is None


def test_ranking_terms_fall_on_eight_images():
    alone = dict.fromkeys(("classification", "entropy", "bound", "target_area", "non_target_area", "tv"), 0.0)
    objective = ExplainerObjective(**alone, insertion=1.0, deletion=1.0)
    module, data = explainer(objective), eight()
    batch = next(iter(data.train_dataloader()))
    data.setup("fit")
    module.build(data.classes, True)

    def terms():
        with torch.no_grad():
            found = objective.terms(module.view(batch.image, batch.labels))
        return float(found["insertion"] + found["deletion"])

    first = terms()
    fit(module, data, 40)
    assert terms() < first


def saved(module, path):
    spec = {"version": "0", "kind": "explainer", "image_size": 32, **module.description()}
    torch.save({"explainer": spec, "state_dict": module.state_dict()}, path)
    return str(path)


def test_a_training_can_begin_with_the_masker_of_a_checkpoint(tmp_path):
    first = explainer()
    first.build(tuple("abcdef"), True)
    path = saved(first, tmp_path / "first.ckpt")
    torch.manual_seed(5)
    second = explainer(masker_weights=path)
    second.build(tuple("abcdef"), True)
    wanted = first.masker.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in second.masker.state_dict().items())
    with torch.no_grad():
        for parameter in second.masker.parameters():
            parameter.add_(1.0)
    second.build(tuple("abcdef"), True)  # as at the start of a fit: what was trained meanwhile stays
    name, parameter = next(iter(second.masker.named_parameters()))
    assert torch.equal(parameter, wanted[name] + 1)
    with pytest.raises(InputError, match="has masks of other classes than u, v, w, x, y, z"):
        explainer(masker_weights=path).build(tuple("uvwxyz"), True)
    with pytest.raises(InputError, match="no file"):
        explainer(masker_weights=str(tmp_path / "none.ckpt")).build(tuple("abcdef"), True)
