"""A classifier with one logit: everywhere a sigmoid's two outcomes, for a softmax over one class says nothing."""

import math
from types import SimpleNamespace

import pytest
import torch

from explainer.attribution import RISE, Constant, Occlusion
from explainer.attribution.masked_score import score_of
from explainer.data import Batch
from explainer.errors import InputError
from explainer.evaluation.results.summary import classification
from explainer.evaluation.scoring.class_matrix import ClassMatrix
from explainer.evaluation.scoring.metrics import Judge, standard_metrics
from explainer.evaluation.scoring.predictions import predictions
from explainer.functional.losses import negative_entropy, single_label_cross_entropy, two_outcomes
from explainer.metrics import MeanAveragePrecision, MeanF1, saliency_metric
from explainer.networks import Explanandum
from explainer.training.modules import Classifier
from explainer.training.modules.classifier import check_learnable
from explainer.training.objectives import ExplainerObjective, RTISObjective, View

LOGITS = (-9.0, -1.5, 0.0, 2.0, 9.0)


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def one(z):
    return torch.tensor([[z]], dtype=torch.float64)


class Redness(torch.nn.Module):
    """One logit: how red the image is."""

    def __init__(self):
        super().__init__()
        self.last = torch.nn.Linear(1, 1)

    def forward(self, image):
        return self.last(image[:, :1].mean((2, 3)))


def redness():
    return Redness()


@pytest.fixture
def classifier():
    built = Explanandum("tests.test_one_class.redness", multilabel=False, mean=(0.0,) * 3, std=(1.0,) * 3)
    with torch.no_grad():
        built.network.last.weight.fill_(4.0)
        built.network.last.bias.fill_(-1.0)
    built.describe_classes(["red"], False, new_head=False)
    return built


def batch():
    image = torch.zeros(2, 3, 4, 4)
    image[0, 0, :2] = 1.0
    return Batch(image, torch.tensor([[1.0], [0.0]]), ["a", "b"])


@pytest.mark.parametrize("z", LOGITS)
def test_losses_are_those_of_two_outcomes(z):
    p = sigmoid(z)
    assert two_outcomes(one(z)).softmax(1)[0].tolist() == pytest.approx([p, 1 - p])
    assert negative_entropy(one(z)).item() == pytest.approx((p * math.log(p) + (1 - p) * math.log(1 - p)) / 2)
    assert single_label_cross_entropy(one(z), one(1.0)).item() == pytest.approx(-math.log(p))
    assert single_label_cross_entropy(one(z), one(0.0)).item() == pytest.approx(-math.log(1 - p))


def test_losses_of_more_classes_are_untouched():
    logits = torch.randn(3, 2)
    assert two_outcomes(logits) is logits


@pytest.mark.parametrize("z", LOGITS)
def test_saliency_metric(z):
    mask = torch.full((1, 1, 8, 8), 0.5, dtype=torch.float64)
    expected = math.log(0.5) - math.log(sigmoid(z))
    assert saliency_metric(mask, one(z), one(1.0)).item() == pytest.approx(expected)
    assert saliency_metric(mask, one(z), one(0.0)).isnan()


@pytest.mark.parametrize("multilabel", [True, False, None])
@pytest.mark.parametrize("z", LOGITS)
def test_scores_of_the_class(z, multilabel):
    target, p = torch.tensor([0]), sigmoid(z)
    expected = {"logit": z, "log_odds": z, "probability": p, "log_probability": math.log(p)}
    for kind, value in expected.items():
        assert score_of(one(z), target, multilabel, kind).item() == pytest.approx(value)


@pytest.mark.parametrize("multilabel", [True, False])
@pytest.mark.parametrize("z", LOGITS)
def test_objectives(z, multilabel):
    p, mask = sigmoid(z), torch.full((1, 1, 4, 4), 0.5)
    view = View(torch.zeros(1, 1, 4, 4), mask, torch.zeros_like(mask), one(z), one(-z), one(1.0), multilabel)
    terms = ExplainerObjective().terms(view)
    assert terms["classification"].item() == pytest.approx(-math.log(p))
    assert terms["entropy"].item() == pytest.approx((p * math.log(p) + (1 - p) * math.log(1 - p)) / 2)
    terms = RTISObjective(exponent=0.5).terms(view)
    assert terms["preservation"].item() == pytest.approx(-math.log(p))
    assert terms["deletion"].item() == pytest.approx(math.sqrt(1 - p), rel=1e-5)


def test_explanandum_knows_two_outcomes(classifier):
    assert classifier.multilabel is True
    assert classifier.probabilities(torch.tensor([[2.0]])).item() == pytest.approx(sigmoid(2.0))
    fresh = Explanandum("tests.test_one_class.redness", multilabel=False)
    assert fresh.probabilities(torch.tensor([[2.0]])).item() == pytest.approx(sigmoid(2.0))


def test_rows_hold_the_probability_and_are_classified(classifier):
    rows = predictions(classifier, torch.tensor([[1.0], [-2.0]]), torch.tensor([[1.0], [0.0]]))
    assert [row["labels"] for row in rows] == [[0], []]
    assert [row["probabilities"][0] for row in rows] == pytest.approx([sigmoid(1.0), sigmoid(-2.0)], abs=1e-5)
    scores = classification(rows)
    assert (scores["mAP"], scores["F1"]) == (1.0, 1.0)


def test_mean_average_precision_and_f1():
    said, truth = torch.tensor([[0.9], [0.2], [0.7], [0.1]]), torch.tensor([[1], [0], [0], [1]])
    assert MeanAveragePrecision(1)(said, truth).item() == pytest.approx(0.75)  # (1/1 + 2/4) / 2
    assert MeanF1(1)(said, truth).item() == pytest.approx(0.5)


def test_curves_follow_the_sigmoid(classifier):
    mask = torch.zeros(2, 1, 4, 4)
    mask[:, :, :2] = 1.0
    seen = Judge({}).judged(classifier, "a", mask, batch())
    areas = standard_metrics(classifier, curve_steps=2)["deletion"].measure(seen).value
    # the classifier sees a red half, then none of it, and then no less
    start, end = sigmoid(4 * 0.5 - 1), sigmoid(-1)
    assert areas[0].item() == pytest.approx((start + end) / 4 + end / 2, rel=1e-5)
    assert areas[1].isnan()


def test_judged_probability_and_log_odds(classifier):
    judged = Judge({}).judged(classifier, "a", torch.ones(2, 1, 4, 4), batch())
    assert judged.log_odds(batch().image, torch.tensor([0, 1])).tolist() == pytest.approx([1.0, -1.0])
    expected = [sigmoid(1.0), sigmoid(-1.0)]
    assert judged.probability(batch().image, torch.tensor([0, 1])).tolist() == pytest.approx(expected)


def test_masking_matrix_is_not_constant(classifier):
    nothing = Constant(0.0)  # keeps nothing of the image
    rows = ClassMatrix(["red"], ["red"], ["Constant"])(classifier, "Constant", nothing, batch())
    assert rows[0]["red"] == pytest.approx([sigmoid(1.0), sigmoid(-1.0)], abs=1e-5)
    assert rows[1] == {}


def test_methods_see_the_class_come_and_go(classifier):
    image, target = batch().image[:1], torch.tensor([0])
    occlusion = Occlusion(window=2, stride=2, score="probability")(classifier, image, target)[0, 0]
    assert occlusion[:2].min() > 0.05
    assert occlusion[2:].abs().max() < 1e-6
    rise = RISE(masks=200, grid=2)(classifier, image, target)[0, 0]
    assert rise[:2].mean() > rise[2:].mean()


@pytest.mark.parametrize(("classes", "multilabel"), [(["defect"], False), ([], True), ([], False)])
def test_nothing_to_learn_is_refused(classes, multilabel):
    with pytest.raises(InputError, match="nothing to learn"):
        check_learnable(classes, multilabel)


def test_classifier_of_one_class_learns_what_is_there():
    module = Classifier(Explanandum("tests.test_one_class.redness"), torch.optim.SGD)
    with pytest.raises(InputError, match="every image of the data set has the same class, 'red'"):
        module.build(("red",), False)
    module.build(("red",), True)
    some = SimpleNamespace(image=batch().image, labels=batch().labels, id=["a", "b"])
    logits = module(some.image)
    module.record = lambda *_: None
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, some.labels)
    module._trainer = SimpleNamespace(global_step=0)
    assert module.shared_step(some, "train")[0].item() == pytest.approx(expected.item())
    scores = module.val_scores
    scores.update(module.explanandum.probabilities(logits), some.labels.long())
    assert set(scores.compute()) == {"val/score", "val/mAP", "val/f1"}
