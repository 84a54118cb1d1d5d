import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explainer.errors import InputError
from explainer.functional.losses import (
    area,
    bounding_measure,
    multilabel_cross_entropy,
    negative_entropy,
    over_present,
    present_probabilities,
    single_label_cross_entropy,
    total_variation,
)
from explainer.functional.masking import non_target_mask, target_mask
from explainer.training.objectives import ExplainerObjective, RTISObjective, View
from tests.support import oracles

LABELS = torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]], dtype=torch.float64)


def view(seed=0, size=(7, 9), dtype=torch.float64, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(4, 4, *size, generator=generator, dtype=torch.float64)
    kept, removed = 2 * torch.randn(2, 4, 4, generator=generator, dtype=torch.float64)
    logits, kept, removed, labels = (t.to(device, dtype) for t in (logits, kept, removed, LABELS))
    target = target_mask(logits, labels, -torch.inf).sigmoid()
    other = non_target_mask(logits, labels, -torch.inf).sigmoid()
    return View(logits, target, other, kept, removed, labels, True)


@pytest.mark.parametrize("seed", range(3))
def test_explainer_terms_equal_the_equations(seed):
    v = view(seed)
    ours = ExplainerObjective(min_area=0.07, max_area=0.31).terms(v)
    theirs = oracles.explainer_terms(
        *(t.numpy() for t in (v.mask_logits, v.through_mask, v.through_complement, v.labels)), 0.07, 0.31
    )
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert float(ours[name]) == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("mean_over", ["batch", "image"])
def test_rtis_terms_equal_the_equations(mean_over, seed):
    v = view(seed)
    ours = RTISObjective(mean_over=mean_over).terms(v)
    oracle = oracles.rtis_terms_of_a_batch if mean_over == "batch" else oracles.rtis_terms
    theirs = oracle(*(t.numpy() for t in (v.mask_logits, v.through_mask, v.through_complement, v.labels)), 0.3)
    for name, value in theirs.items():
        assert float(ours[name]) == pytest.approx(value, abs=1e-6), name


def test_float32_on_the_device_equals_float64(device):
    reference = ExplainerObjective().terms(view())
    for name, value in ExplainerObjective().terms(view(dtype=torch.float32, device=device)).items():
        assert float(value) == pytest.approx(float(reference[name]), abs=2e-6), name


def test_total_is_the_weighted_sum_with_three_area_weights():
    objective = ExplainerObjective(1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    names = ("classification", "entropy", "bound", "target_area", "non_target_area", "tv")
    terms = {name: torch.tensor(10.0**i, dtype=torch.float64) for i, name in enumerate(names)}
    assert float(objective.total(terms)) == 654321.0


@pytest.mark.parametrize("function", [
    lambda x: bounding_measure(x.sigmoid(), 0.1, 0.4), lambda x: total_variation(x.sigmoid()), lambda x: area(x),
    lambda x: total_variation(x.sigmoid(), 2), lambda x: negative_entropy(x.flatten(1)),
    lambda x: multilabel_cross_entropy(x.flatten(1), (x.detach().flatten(1) > 0).double()),
])  # fmt: skip
def test_gradients_of_the_terms(function):
    x = torch.randn(3, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    assert torch.autograd.gradcheck(function, (x,))


@pytest.mark.parametrize("mean_over", ["batch", "image"])
def test_rtis_of_a_batch_without_any_label_is_the_masks_own_terms(mean_over):
    v = view()._replace(
        labels=torch.zeros_like(LABELS), through_complement=torch.zeros(4, 4, dtype=torch.float64).requires_grad_()
    )
    terms = RTISObjective(mean_over=mean_over).terms(v)
    assert (float(terms["preservation"]), float(terms["deletion"])) == (0, 0)
    RTISObjective(mean_over=mean_over).total(terms).backward()
    assert v.through_complement.grad.eq(0).all()


@pytest.mark.parametrize("objective", [ExplainerObjective(), RTISObjective(), RTISObjective(mean_over="image")])
def test_gradients_of_the_objectives(objective):
    v = view(size=(4, 5))

    def loss(logits, kept, removed):
        target = target_mask(logits, v.labels, -torch.inf).sigmoid()
        other = non_target_mask(logits, v.labels, -torch.inf).sigmoid()
        return objective.total(objective.terms(View(logits, target, other, kept, removed, v.labels, True)))

    inputs = [t.clone().requires_grad_() for t in (v.mask_logits, v.through_mask, v.through_complement)]
    assert torch.autograd.gradcheck(loss, inputs)


def test_image_without_label_keeps_nothing_and_has_no_bound():
    v = view()
    assert v.target[2].eq(0).all()
    assert over_present(torch.ones(int(LABELS.sum()), dtype=torch.float64), LABELS).tolist() == [1, 1, 0, 1]
    logits = v.mask_logits.clone().requires_grad_()
    target_mask(logits, v.labels, -torch.inf).sigmoid().sum().backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[2].eq(0).all()


def test_bound_is_summed_over_classes_on_request():
    values = torch.arange(1.0, 8.0)
    assert over_present(values, LABELS, "sum").tolist() == [3.0, 3.0, 0.0, 22.0]


def test_bound_is_zero_between_its_areas_and_counts_what_lies_outside():
    mask = torch.zeros(10, 10)
    mask.view(-1)[:20] = 1
    assert float(bounding_measure(mask, 0.05, 0.3)) == pytest.approx(0, abs=1e-7)
    mask.view(-1)[:50] = 1
    assert float(bounding_measure(mask, 0.05, 0.3)) == pytest.approx(0.2, abs=1e-6)


def test_bound_refuses_bounds_in_the_wrong_order():
    with pytest.raises(ValueError, match="minimum <= maximum"):
        bounding_measure(torch.zeros(4, 4), 0.5, 0.3)


def test_single_label_cross_entropy_equals_torch_and_skips_unlabelled():
    logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.eye(5)[[2, 4, 0]]
    labels[2] = 0
    expected = torch.nn.functional.cross_entropy(logits[:2], torch.tensor([2, 4]), reduction="none")
    torch.testing.assert_close(single_label_cross_entropy(logits, labels)[:2], expected)
    assert single_label_cross_entropy(logits, labels)[2] == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(2, 9), st.integers(2, 9))
def test_ranges_and_batch_permutation(seed, height, width):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(3, height, width, generator=generator, dtype=torch.float64)
    order = torch.randperm(3, generator=generator)
    for function in (area, total_variation, bounding_measure):
        values = function(masks)
        assert (values >= -1e-12).all()
        torch.testing.assert_close(function(masks[order]), values[order])
    assert (total_variation(masks) <= 2 + 2 / min(height, width)).all()
    np.testing.assert_allclose(bounding_measure(masks[0], 0, 1).item(), 0, atol=1e-12)


def ranked_view(multilabel=True):
    generator = torch.Generator().manual_seed(3)
    share, rest = 2 * torch.randn(2, 4, 4, generator=generator, dtype=torch.float64)
    return view()._replace(through_share=share, through_rest=rest, multilabel=multilabel)


@pytest.mark.parametrize("multilabel", [True, False])
def test_ranking_terms_are_means_of_the_present_classes_probabilities(multilabel):
    v = ranked_view(multilabel)
    objective = ExplainerObjective(insertion=0.5, deletion=2.0)
    terms = objective.terms(v)
    insertion = deletion = 0.0
    for labels, share, rest in zip(LABELS.numpy(), v.through_share.numpy(), v.through_rest.numpy(), strict=True):
        present = labels > 0
        if not present.any():
            continue
        for logits, sign in ((share, 1), (rest, -1)):
            odds = np.exp(logits)
            probabilities = (odds / (1 + odds) if multilabel else odds / odds.sum())[present]
            if sign > 0:
                insertion += (1 - probabilities).mean() / len(LABELS)
            else:
                deletion += probabilities.mean() / len(LABELS)
    assert terms["insertion"].item() == pytest.approx(insertion)
    assert terms["deletion"].item() == pytest.approx(deletion)
    plain = ExplainerObjective()
    expected = plain.total(plain.terms(v)) + 0.5 * insertion + 2.0 * deletion
    assert objective.total(terms).item() == pytest.approx(expected.item())


def test_an_objective_without_ranking_asks_for_none():
    assert not ExplainerObjective().ranks
    assert not RTISObjective().ranks
    assert ExplainerObjective(deletion=0.1).ranks
    assert ExplainerObjective().weights.keys() == ExplainerObjective().terms(view()).keys()
    both = ExplainerObjective(insertion=1.0)
    assert both.weights.keys() == both.terms(ranked_view()).keys()
    with pytest.raises(InputError, match="deletion must be at least 0"):
        ExplainerObjective(deletion=-1.0)
    with pytest.raises(InputError, match="temperature must be above 0"):
        ExplainerObjective(temperature=0.0)


def test_one_class_alone_has_the_probability_of_its_sigmoid():
    logits = torch.tensor([[0.0], [2.0]])
    labels = torch.tensor([[1.0], [0.0]])
    assert present_probabilities(logits, labels, False).tolist() == [0.5]
