"""The sanity check of an Explainer: one trained on random weights."""

import pytest
import torch

from explainer.attribution import Explainer, Gradient
from explainer.errors import InputError
from explainer.evaluation.sanity_checks import Randomisation, Retrained
from explainer.networks import Explanandum
from tests.support import oracles
from tests.support.small_checkpoints import CLASSES, save_classifier, save_explainer
from tests.support.small_sanity_checks import asked, one_label


def test_an_explainer_has_a_protocol_of_its_own(tmp_path):
    method, other = (Explainer(save_explainer(tmp_path / f"{n}.ckpt")) for n in "ab")
    explanandum = Explanandum(str(tmp_path / "a.ckpt"))
    before = {name: value.clone() for name, value in method.masker.state_dict().items()}
    batch = one_label(2, side=32)
    assert asked(Randomisation(blocks=1), explanandum, method, batch).value.tolist() == [1.0] * 2  # by construction
    found = asked(Randomisation(network="masker", blocks=1), explanandum, method, batch)
    assert found.value.max() < 0.99
    assert all(torch.equal(before[name], value) for name, value in method.masker.state_dict().items())
    assert asked(Randomisation(network="masker"), explanandum, Gradient(), batch).value.isnan().all()
    assert Randomisation(network="masker").points(explanandum, Gradient(), batch.image) == []
    own, retrained = Retrained(str(tmp_path / "a.ckpt")), Retrained(str(tmp_path / "b.ckpt"))
    assert asked(own, explanandum, method, batch).value.tolist() == [1.0] * 2
    mask = method.target_mask(explanandum, batch.image, batch.labels)
    expected = [
        oracles.spearman(a.double().numpy(), b.double().numpy())
        for a, b in zip(mask, other.target_mask(explanandum, batch.image, batch.labels))
    ]
    assert asked(retrained, explanandum, method, batch).value.tolist() == pytest.approx(expected, abs=1e-5)
    assert asked(retrained, explanandum, Gradient(), batch).value.isnan().all()


def test_retrained_wants_an_explainer(tmp_path):
    with pytest.raises(InputError, match="'explainer' is needed"):
        Retrained(save_classifier(tmp_path / "a.ckpt", CLASSES))
