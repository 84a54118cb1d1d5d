"""F-Fidelity: against a slow version, and with a classifier of its own."""

import json

import pytest
import torch

from explainer.errors import InputError
from explainer.files import digest
from explainer.functional.seeds import derived_seed
from explainer.metrics import FFidelity, FFidelityMinus, FFidelityPlus, removal_rate
from explainer.networks import Explanandum
from tests.support import removal_oracles
from tests.support.small_checkpoints import CLASSES, save_classifier
from tests.support.small_judged import judged

SIZES = (0.1, 0.5, 0.8)


@pytest.mark.parametrize("batch_size", [1, 100])
def test_both_parts_against_a_slow_version(batch_size):
    mask = torch.rand(2, 1, 8, 9, dtype=torch.float64)
    image = torch.rand(2, 3, 8, 9, dtype=torch.float64)
    given_ones = judged(mask, image=image, fill=lambda images, masks: 0.1 * images)
    settings = {"sizes": SIZES, "rate": 0.5, "most": 0.3, "samples": 4, "seed": 3, "batch_size": batch_size}
    plus, minus, both = (
        metric(**settings).measure(given_ones).value for metric in (FFidelityPlus, FFidelityMinus, FFidelity)
    )
    chance = torch.rand(4, 8, 9, generator=torch.Generator().manual_seed(derived_seed(3, 1))).numpy()
    for n in range(2):
        want = removal_oracles.f_fidelity(
            mask[n, 0].numpy(), image[n].numpy(), chance, lambda x, m: 0.1 * x, lambda x: x[0].mean(), SIZES, 0.5, 0.3
        )
        assert (plus[n].item(), minus[n].item()) == pytest.approx(want, abs=1e-9)
        assert both[n].item() == pytest.approx(want[0] - want[1], abs=1e-9)


def test_never_more_is_removed_than_the_classifier_has_seen():
    assert removal_rate(0.05, 0.5, 0.1) == 0.5
    assert removal_rate(0.9, 0.5, 0.1) == pytest.approx(0.1 / 0.9)
    assert removal_rate(0.0, 0.5, 0.1) == 0
    shares = []

    def probability(seen, owner):
        shares.extend((seen == 0).float().mean((1, 2, 3)).tolist())
        return seen.mean((1, 2, 3))

    image = torch.ones(1, 3, 64, 64)
    metric = FFidelity(samples=4, batch_size=1000)
    metric.measure(judged(torch.rand(1, 1, 64, 64), image=image, probability=probability))
    # each pixel of a part goes by chance: of 4096 pixels a share of 0.1 is drawn to about 0.005
    assert max(shares) < 0.12
    assert sorted(shares)[len(shares) // 2] > 0.08


def test_the_draws_are_no_random_map_of_the_same_seed():
    """Else just those pixels would go that such a map holds to be the least salient."""
    mask = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    given_ones = judged(mask, image=torch.ones(1, 3, 64, 64))
    plus, minus = (metric(samples=1).measure(given_ones).value for metric in (FFidelityPlus, FFidelityMinus))
    assert plus.item() == pytest.approx(minus.item(), abs=0.01)


def test_the_classifier_that_judges_is_the_one_of_the_checkpoint(tmp_path):
    path = save_classifier(tmp_path / "judge.ckpt")
    metric = FFidelityPlus(path, sizes=(0.5,), samples=2)
    mask, image = torch.rand(2, 1, 32, 32), torch.rand(2, 3, 32, 32)
    labels = torch.eye(len(CLASSES))[:2]

    def nobody(seen, owner):
        raise AssertionError("the explanandum is not asked")

    given_ones = judged(mask, image=image, labels=labels, probability=nobody)
    found = metric.measure(given_ones).value
    judge = Explanandum(path)

    def probability(seen, owner):
        return judge.probabilities(judge(seen))[torch.arange(len(seen)), owner]

    own = FFidelityPlus(sizes=(0.5,), samples=2).measure(given_ones._replace(probability=probability)).value
    torch.testing.assert_close(found, own)
    assert metric.settings["sha256"] == digest(path)
    assert json.loads(json.dumps(metric.settings)) == metric.settings
    assert list(metric.state_dict()) == []  # a copy of a metric does not carry the network in its state
    assert torch.equal(metric.clone().measure(given_ones).value, found)


def test_a_classifier_of_other_classes_and_one_that_is_not_there(tmp_path):
    metric = FFidelity(save_classifier(tmp_path / "judge.ckpt"))
    labels = torch.eye(5)[:1]
    with pytest.raises(InputError, match=r"judge.ckpt knows 3 classes, the images have 5: fine-tune it on the same"):
        metric.measure(judged(torch.rand(1, 1, 32, 32), labels=labels))
    with pytest.raises(InputError, match="no file"):
        FFidelity(str(tmp_path / "nothing.ckpt"))


def test_numbers_out_of_range():
    for wrong in ({"sizes": ()}, {"sizes": (0.0, 0.5)}, {"sizes": (1.0,)}, {"rate": 2}, {"most": -1}, {"samples": 0},
                  {"batch_size": 0}, {"seed": -1}):  # fmt: skip
        for metric in (FFidelity, FFidelityPlus, FFidelityMinus):
            with pytest.raises(InputError, match=f"metric {metric.__name__}"):
                metric(**wrong)
