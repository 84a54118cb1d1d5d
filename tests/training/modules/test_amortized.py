"""The Explainer's module on eight images: its losses, its targets, its composites."""

import pytest
import torch

from explainer.data import Shapes
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
    module = AmortizedExplainer(network, Masker("resnet18", arguments=MASKER), ExplainerObjective())
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
