"""Targets in every form that other libraries have: taken, or refused by name, the same by every method."""

import numpy as np
import pytest
import torch

from explainer.attribution import FIDO, ExtremalPerturbation, GradCAM, Gradient, Random, explain_func
from explainer.attribution.targets import each_target
from explainer.errors import InputError
from explainer.networks import Explanandum
from tests.support.small_checkpoints import SMALL

IMAGE = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "given",
    [
        [1, 1], (1, 1), 1, np.int64(1), np.array(1), np.array([1, 1], dtype=np.uint8), np.array([1.0, 1.0]), 1.0,
        torch.tensor(1), torch.tensor([1]), torch.tensor([1, 1], dtype=torch.int32), torch.tensor([1.0, 1.0]), [1],
        [torch.tensor(1), torch.tensor(1)], range(1, 2), torch.tensor([1, 1], dtype=torch.uint8), [np.int32(1)] * 2,
    ],
    ids=repr,
)  # fmt: skip
def test_forms_that_are_taken(given):
    found = each_target(given, IMAGE, 3)
    assert found.dtype == torch.long
    assert found.tolist() == [1, 1]


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_matrices_of_classes(kind):
    matrix = [[True, False, True], [False, False, False]]
    found = each_target(kind(matrix), IMAGE, 3)
    assert found.dtype == torch.bool
    assert found.tolist() == matrix


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (3, "target 3 is out of range: the classifier has 3 classes"),
        (-1, "target -1 is out of range"),
        ([0, 2**40], "out of range"),
        ([0, 2**70], "a target is an int"),
        ([0, 0.5], "target 0.5 of image 1 is no class"),
        ([0, float("nan")], "target nan of image 1 is no class"),
        (float("inf"), "is no class"),
        (True, "target True is no class"),
        (np.bool_(True), "target True is no class"),
        ([True, False], "bool matrix"),
        ("dog", "got str 'dog'"),
        (["dog", "cat"], "got list"),
        ([[0], [1, 2]], "got list"),
        ({0: 1}, "got dict"),
        (np.array([None, 1]), "got ndarray"),
        ([0, 1, 2], r"target has shape \(3,\) for 2 images"),
        ([], r"target has shape \(0,\) for 2 images"),
        (torch.eye(3)[:2], r"target has shape \(2, 3\) for 2 images"),
        (torch.tensor([1, 1], dtype=torch.complex64), "complex64"),
        (torch.tensor([1, 1]).to_sparse(), "sparse"),
    ],
    ids=lambda method: type(method).__name__,
)
def test_forms_that_are_refused(given, words):
    with pytest.raises(InputError, match=words) as refused:
        each_target(given, IMAGE, 3)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "method",
    [GradCAM(), Gradient(), Random(), FIDO(steps=2), ExtremalPerturbation(steps=2)],
    ids=lambda m: type(m).__name__,
)
def test_every_method_takes_them(method):
    explanandum = Explanandum(**SMALL, num_classes=3, multilabel=True)
    wanted = method(explanandum, IMAGE, torch.tensor([1, 1]))
    for given in (1, [1, 1], np.array([1, 1]), torch.tensor([1]), torch.tensor([1.0, 1.0])):
        assert torch.equal(method(explanandum, IMAGE, given), wanted)
    with pytest.raises(InputError, match="out of range"):
        method(explanandum, IMAGE, 3)
    assert method(explanandum, IMAGE, [[True, True, False], [False, False, True]]).shape == (3, 1, 32, 32)
    explained = explain_func(method, explanandum)
    np.testing.assert_array_equal(explained(inputs=IMAGE.numpy(), targets=np.array([1.0, 1.0])), wanted.numpy())
    with pytest.raises(InputError, match=r"target 0\.5 of image 0 is no class"):
        explained(inputs=IMAGE.numpy(), targets=np.array([0.5, 1.0]))


@pytest.mark.parametrize(
    "method", [FIDO(steps=2), ExtremalPerturbation(steps=2)], ids=lambda method: type(method).__name__
)
def test_searches_with_a_history_take_them_too(method):
    explanandum = Explanandum(**SMALL, num_classes=3, multilabel=True)
    wanted = method.explain(explanandum, IMAGE, torch.tensor([1, 1])).map
    assert torch.equal(method.explain(explanandum, IMAGE, 1).map, wanted)
    for given, words in (([0, 3], "out of range"), (torch.eye(3)[:2].bool(), "one class an image"), ("dog", "got str")):
        with pytest.raises(InputError, match=words):
            method.explain(explanandum, IMAGE, given)
