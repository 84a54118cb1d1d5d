"""Randomised networks, in closed form and against Quantus."""

import pytest
import torch

from explainer.attribution import CentredBox, Constant, Gradient
from explainer.evaluation.sanity_checks import Randomisation
from explainer.evaluation.sanity_checks.randomisation import even_parts
from explainer.networks import Explanandum
from explainer.networks.randomise import layers_of, randomised
from tests.support import oracles
from tests.support.small_evaluation import classifier
from tests.support.small_sanity_checks import asked, one_label


@pytest.mark.parametrize("order", ["cascading", "independent"])
def test_a_map_that_looks_at_no_network_fails(order):
    found = asked(Randomisation(order), classifier(), CentredBox(), one_label())
    assert found.value.tolist() == [1.0] * 3
    assert found.curve.shape == (3, 8)
    assert asked(Randomisation(order, similarity="ssim"), classifier(), CentredBox(), one_label()).value.min() > 0.9999
    assert asked(Randomisation(order), classifier(), Constant(1.0), one_label()).value.isnan().all()


def test_the_gradient_of_a_linear_network_is_that_of_the_random_weights():
    explanandum, batch = Explanandum("tests.support.small_networks.linear", multilabel=False), one_label(side=8)
    got = asked(Randomisation(seed=5), explanandum, Gradient(), batch).value
    layer = explanandum.network[1]

    def maps():
        return (layer.weight.detach().view(3, 3, 8, 8) / explanandum.std).abs().sum(1).double().numpy()

    trained = maps()
    with randomised(explanandum.network, layers_of(explanandum.network, lambda: explanandum(batch.image)), 5):
        random = maps()
    expected = [oracles.spearman(a, b) for a, b in zip(trained, random)]
    assert got.tolist() == pytest.approx(expected, abs=1e-4)
    assert got.abs().max() < 0.6


def test_the_last_of_the_cascade_is_the_whole_network():
    explanandum, batch = classifier(), one_label()
    cascade = asked(Randomisation(blocks=4), explanandum, Gradient(), batch)
    whole = asked(Randomisation("independent", blocks=1), explanandum, Gradient(), batch)
    assert torch.equal(cascade.curve[:, -1], whole.value)
    assert torch.equal(cascade.value, cascade.curve.mean(1))
    alone = asked(Randomisation("independent", blocks=4), explanandum, Gradient(), batch)
    assert torch.equal(cascade.curve[:, 0], alone.curve[:, 0])
    assert not torch.equal(cascade.curve[:, 1:], alone.curve[:, 1:])
    names = Randomisation(blocks=0).points(explanandum, Gradient(), batch.image)
    assert (names[0], names[-1], len(names)) == ("classifier", "stages.0.0", 17)
    assert Randomisation(blocks=4).points(explanandum, Gradient(), batch.image)[-1] == "stages.0.0"


@pytest.mark.parametrize("order", ["cascading", "independent"])
@pytest.mark.parametrize("method", [CentredBox(), Gradient()], ids=lambda m: type(m).__name__)
def test_it_agrees_with_quantus(order, method, monkeypatch):
    """Layer by layer; its layers all start from one seed."""
    quantus = pytest.importorskip("quantus")
    monkeypatch.setattr("explainer.networks.randomise.zlib.crc32", lambda name: 43)
    explanandum, batch = classifier(), one_label()

    def explain(model, inputs, targets, **_):
        labels = torch.eye(3)[torch.as_tensor(targets).long()]
        return method.target_mask(model, torch.as_tensor(inputs), labels).numpy()

    metric = quantus.MPRT(
        quantus.similarity_func.correlation_spearman, "top_down" if order == "cascading" else order, seed=42,
        abs=False, normalise=False, disable_warnings=True,
    )  # fmt: skip
    target = batch.labels.argmax(1).numpy()
    theirs = metric(explanandum, batch.image.numpy(), target, explain_func=explain, device="cpu", batch_size=3)
    assert theirs.pop("original") == pytest.approx([1.0] * 3)
    ours = asked(Randomisation(order, blocks=0), explanandum, method, batch).curve
    names = Randomisation(order, blocks=0).points(explanandum, method, batch.image)
    expected = dict(theirs) if order == "cascading" else {f"network.{n}": theirs[f"network.{n}"] for n in names}
    assert [name.removeprefix("network.") for name in expected] == names
    assert torch.allclose(ours, torch.tensor(list(expected.values())).T.to(ours), atol=1e-5)


def test_parts_are_even_and_cover_everything():
    assert [list(part) for part in even_parts([1, 2, 3, 4, 5], 3)] == [[1], [2, 3], [4, 5]]
    assert [list(part) for part in even_parts([1, 2], 5)] == [[1], [2]]
