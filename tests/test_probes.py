"""Probes against oracles and closed forms; what they leave behind; through a config."""

import inspect
import json
import math
from itertools import combinations

import numpy as np
import oracles
import pytest
import torch
from captum.metrics import sensitivity_max
from shipped import content_of
from small_checkpoints import CLASSES, save_classifier, save_explainer
from small_evaluation import FACTS, classifier, pictures, run, timeless
from tiny_runs import evaluation, explainer_config
from torch import nn

from explainer.attribution import (
    FIDO,
    RISE,
    SMOE,
    Attribution,
    CentredBox,
    Constant,
    Explainer,
    GradCAM,
    Gradient,
    Random,
    SmoothGrad,
)
from explainer.cli.evaluate import evaluate
from explainer.data import Batch
from explainer.data.shapes import CLASSES as SHAPES
from explainer.errors import InputError
from explainer.evaluation import sanity_checks as probe_folder
from explainer.evaluation.facts import method_facts
from explainer.evaluation.names import check_methods
from explainer.evaluation.report.files import write_results
from explainer.evaluation.results.columns import columns_of
from explainer.evaluation.results.summary import summarise
from explainer.evaluation.sanity_checks import (
    Convergence,
    MethodRun,
    Randomisation,
    Retrained,
    SanityCheck,
    SeedStability,
    Sensitivity,
    with_budget,
    with_setting,
)
from explainer.evaluation.sanity_checks.randomisation import even_parts
from explainer.evaluation.scoring.metrics import Answers, Judge
from explainer.metrics import ProportionOutside
from explainer.networks import Explanandum
from explainer.networks.randomise import layers_of, randomised


class Drawn(Attribution):
    """Maps that are looked up: one a seed, the same for every image."""

    is_mask, budget = True, "steps"

    def __init__(self, seed=0, steps=8):
        self.seed, self.steps, self.asked = seed, steps, []

    def maps(self, explanandum, image, target):
        self.asked.append((self.seed, self.steps))
        generator = torch.Generator().manual_seed(100 * self.seed + self.steps)
        found = torch.rand(1, 1, *image.shape[-2:], generator=generator)
        return torch.full_like(found, 0.5).expand(len(image), -1, -1, -1) if self.steps == 1 else found.expand(
            len(image), -1, -1, -1
        ).to(image)  # fmt: skip


class Grey(Attribution):
    """The image's mean over the channels: a linear map of it."""

    is_mask = True

    def maps(self, explanandum, image, target):
        return image.mean(1, keepdim=True)


def linear():
    """A classifier whose gradient is its weight, whatever the image."""
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 3))


def one_label(count=3, side=16):
    labels = torch.eye(3)[torch.arange(count) % 3]
    return Batch(torch.rand(count, 3, side, side), labels, [str(n) for n in range(count)])


def measured(check, explanandum, method, batch, mask, scaled=True):
    run = MethodRun(explanandum, method, batch, mask, scaled)
    return check.measure(Judge({}).judged(explanandum, "Method", mask, batch, origin=run))


def asked(one, explanandum, method, batch, scaled=True):
    mask = method.target_mask(explanandum, batch.image, batch.labels, scaled)
    return measured(one, explanandum, method, batch, mask, scaled)


EVERY = {
    "stability": SeedStability(2), "sensitivity": Sensitivity(samples=1), "cascading": Randomisation(blocks=2),
    "independent": Randomisation("independent", blocks=2, similarity="ssim", how="shuffle"),
    "convergence": Convergence((0.5,)),
}  # fmt: skip


def test_every_probe_says_what_it_is():
    every = [
        c
        for c in vars(probe_folder).values()
        if inspect.isclass(c) and issubclass(c, SanityCheck) and c is not SanityCheck
    ]
    assert len(every) == 5
    for kind in every:
        assert isinstance(kind.higher_is_better, bool)
        assert isinstance(kind.percent, bool)
        assert kind.paper
        assert kind.formula
        assert kind.meaning.endswith(".")
        assert kind.range[0] == "["


# Stability


def test_stability_is_the_mean_over_pairs_of_seeds():
    method, batch = Drawn(seed=4), one_label()
    mask = method.target_mask(classifier(), batch.image, batch.labels, False)
    method.asked.clear()
    got = measured(SeedStability(3), classifier(), method, batch, mask, scaled=False).value
    assert method.asked == [(5, 8), (6, 8)]  # the mask given is that of the own seed
    assert method.seed == 4
    maps = [torch.rand(16, 16, generator=torch.Generator().manual_seed(100 * s + 8)).numpy() for s in (4, 5, 6)]
    expected = np.mean([oracles.spearman(a.astype(float), b.astype(float)) for a, b in combinations(maps, 2)])
    assert got.tolist() == pytest.approx([expected] * 3, abs=1e-6)


@pytest.mark.parametrize("method", [Gradient(), GradCAM(), CentredBox(), SMOE()], ids=lambda m: type(m).__name__)
def test_a_deterministic_method_is_stable(method):
    assert asked(SeedStability(), classifier(), method, one_label()).value.tolist() == [1.0] * 3


def test_noise_is_not_stable_and_a_constant_map_is_undefined():
    assert asked(SeedStability(), classifier(), Random(), one_label()).value.abs().max() < 0.2
    assert asked(SeedStability(), classifier(), Constant(0.5), one_label()).value.isnan().all()


# Sensitivity


def test_sensitivity_of_a_linear_map_is_that_of_the_noise(device):
    explanandum, batch = classifier().to(device), one_label()
    batch = batch._replace(image=batch.image.to(device), labels=batch.labels.to(device))
    got = asked(Sensitivity(0.1, 4, seed=7), explanandum, Grey(), batch, scaled=False).value
    generator = torch.Generator().manual_seed(7)
    noise = [0.1 * (2 * torch.rand(3, 16, 16, generator=generator).double().numpy() - 1) for _ in range(4)]
    for image, value in zip(batch.image.cpu().double().numpy(), got.tolist()):
        others = [np.clip(image + n, 0, 1).mean(0) for n in noise]
        assert value == pytest.approx(oracles.largest_relative_change(image.mean(0), others), rel=1e-4)
        assert 0 < value < 0.2


def test_sensitivity_agrees_with_captum():
    explanandum, batch, generator = classifier(), one_label(), torch.Generator().manual_seed(0)
    target = batch.labels.argmax(1)

    def near(image):
        noise = torch.stack([2 * torch.rand(image.shape[1:], generator=generator) - 1 for _ in range(2)])
        return (image + 0.05 * noise.repeat(len(image) // 2, 1, 1, 1)).clamp(0, 1)

    def scaled(image, target):
        if isinstance(image, tuple):  # captum hands over a tuple, and expects one, for the first map only
            return (scaled(image[0], target),)
        return Gradient().target_mask(explanandum, image, torch.eye(3)[target])

    theirs = sensitivity_max(scaled, batch.image, near, n_perturb_samples=2, target=target)
    ours = asked(Sensitivity(0.05, 2), explanandum, Gradient(), batch).value
    assert torch.allclose(ours, theirs.to(ours), rtol=1e-4)


def test_the_gradient_of_a_linear_network_is_insensitive():
    explanandum = Explanandum("test_probes.linear", multilabel=False)
    assert asked(Sensitivity(), explanandum, Gradient(), one_label(side=8)).value.tolist() == [0.0] * 3
    assert asked(Sensitivity(), explanandum, Random(), one_label(side=8)).value.min() > 0.3


# Randomisation


@pytest.mark.parametrize("order", ["cascading", "independent"])
def test_a_map_that_looks_at_no_network_fails(order):
    found = asked(Randomisation(order), classifier(), CentredBox(), one_label())
    assert found.value.tolist() == [1.0] * 3
    assert found.curve.shape == (3, 8)
    assert asked(Randomisation(order, similarity="ssim"), classifier(), CentredBox(), one_label()).value.min() > 0.9999
    assert asked(Randomisation(order), classifier(), Constant(1.0), one_label()).value.isnan().all()


def test_the_gradient_of_a_linear_network_is_that_of_the_random_weights():
    explanandum, batch = Explanandum("test_probes.linear", multilabel=False), one_label(side=8)
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


@pytest.mark.parametrize("method", [Gradient(), GradCAM(), Random()], ids=lambda m: type(m).__name__)
def test_the_explanandum_is_left_as_it_was(method, device):
    explanandum = classifier().to(device)
    before = {name: value.clone() for name, value in explanandum.state_dict().items()}
    batch = one_label()
    batch = batch._replace(image=batch.image.to(device), labels=batch.labels.to(device))
    generator = torch.get_rng_state()
    for one in EVERY.values():
        asked(one, explanandum, method, batch)
    assert all(torch.equal(before[name], value) for name, value in explanandum.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in explanandum.parameters())
    assert not any(m.training or m._forward_hooks or m._forward_pre_hooks for m in explanandum.modules())
    assert torch.equal(generator, torch.get_rng_state())


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


# Convergence


def test_convergence_is_the_mean_over_parts_of_the_budget():
    method, batch = Drawn(steps=16), one_label()
    found = asked(Convergence((0.5, 0.125, 0.25)), classifier(), method, batch, scaled=False)
    assert method.asked[1:] == [(0, 2), (0, 4), (0, 8)]
    maps = [torch.rand(16, 16, generator=torch.Generator().manual_seed(n)).numpy().astype(float) for n in (2, 4, 8, 16)]
    expected = [oracles.spearman(m, maps[-1]) for m in maps[:-1]]
    assert found.curve[0].tolist() == pytest.approx(expected, abs=1e-5)
    assert found.value[0].item() == pytest.approx(np.mean(expected), abs=1e-5)
    assert Convergence().points(classifier(), method, batch.image) == ["1/8", "1/4", "1/2"]
    assert method.steps == 16


def test_a_constant_early_map_counts_as_no_agreement():
    found = asked(Convergence((0.125,)), classifier(), Drawn(), one_label(), scaled=False)
    assert found.value.tolist() == [0.0] * 3


def test_methods_without_a_budget_have_no_convergence():
    assert asked(Convergence(), classifier(), Gradient(), one_label()).value.isnan().all()
    assert Convergence().points(classifier(), Gradient(), one_label().image) == []


def test_convergence_of_another_metric():
    explanandum, batch = classifier(), one_label()
    inside = torch.zeros(3, 3, 16, 16, dtype=torch.uint8)
    inside[:, :, :8] = 1
    batch = batch._replace(segmentation=inside)
    one = Convergence((0.25, 0.5), ProportionOutside("segmentation", binary=False))
    method = RISE(8, grid=3)
    found = asked(one, explanandum, method, batch)
    expected = []
    for masks in (2, 4, 8):
        mask = RISE(masks, grid=3).target_mask(explanandum, batch.image, batch.labels)
        expected.append((mask[:, :, 8:].sum((1, 2, 3)) / mask.sum((1, 2, 3))).tolist())
    assert torch.allclose(found.curve, torch.tensor(expected).T, atol=1e-5)
    assert torch.allclose(found.value, found.curve.mean(1))
    assert one.higher_is_better is False
    assert one.points(explanandum, method, batch.image) == ["1/4", "1/2", "1"]
    assert one.settings["metric"] == {"class": "ProportionOutside", "truth": "segmentation", "binary": False}


@pytest.mark.parametrize(
    "method", [RISE(9), FIDO(steps=9), SmoothGrad(samples=9), Drawn(steps=9)], ids=lambda m: type(m).__name__
)
def test_a_budget_is_that_of_the_method(method):
    assert getattr(with_budget(method, 1 / 3), method.budget) == 3
    assert getattr(with_budget(method, 0.01), method.budget) == 1
    assert getattr(method, method.budget) == 9


def test_every_budget_is_a_hyperparameter():
    from explainer import attribution

    named = {c: c.budget for c in vars(attribution).values() if inspect.isclass(c) and getattr(c, "budget", None)}
    assert len(named) == 9
    for kind, budget in named.items():
        assert budget in inspect.signature(kind.__init__).parameters
        assert budget in vars(kind())


# What all share


@pytest.mark.parametrize("name", EVERY)
def test_values_do_not_depend_on_the_batch(name):
    explanandum, batch = classifier(), pictures((6,))[0]
    method = SmoothGrad(samples=2)
    together = asked(EVERY[name], explanandum, method, batch).value
    for n in (1, 4):
        alone = Batch(batch.image[n : n + 1], batch.labels[n : n + 1], batch.id[n : n + 1])
        value = asked(EVERY[name], explanandum, method, alone).value
        assert torch.allclose(value, together[n : n + 1], atol=1e-4, equal_nan=True)
    assert together.isnan().tolist() == [False] * 4 + [True, False]  # the fifth has no label


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda: SeedStability(1), "SeedStability: runs"),
        (lambda: Sensitivity(radius=0), "radius"),
        (lambda: Sensitivity(radius=-0.1), "radius"),
        (lambda: Sensitivity(samples=0), "samples"),
        (lambda: Randomisation("sideways"), "order"),
        (lambda: Randomisation(network="both"), "network"),
        (lambda: Randomisation(blocks=-1), "blocks"),
        (lambda: Randomisation(similarity="mse"), "similarity"),
        (lambda: Randomisation(how="zero"), "how"),
        (lambda: Retrained("none.ckpt"), "none.ckpt"),
        (lambda: Retrained("none.ckpt", "mse"), "similarity"),
        (lambda: Convergence(()), "fractions"),
        (lambda: Convergence((0.5, 1.0)), "fractions"),
        (lambda: Convergence((0.0,)), "fractions"),
        (lambda: with_setting(Gradient(), "seed", 1), "Gradient has no hyperparameter 'seed'"),
        (lambda: with_budget(Gradient(), 0.5), "Gradient has no hyperparameter"),
        (lambda: evaluation(probes={"area": SeedStability()}), "evaluation.sanity_checks.checks: 'area'"),
        (lambda: evaluation(probes={"A": SeedStability()}, metrics={"A": ProportionOutside()}), "checks: 'A'"),
    ],
)
def test_what_cannot_be_used(build, word):
    with pytest.raises(InputError, match=word) as error:
        build()
    assert "\n" not in str(error.value)


def test_retrained_wants_an_explainer(tmp_path):
    with pytest.raises(InputError, match="'explainer' is needed"):
        Retrained(save_classifier(tmp_path / "a.ckpt", CLASSES))


def test_parts_are_even_and_cover_everything():
    assert [list(part) for part in even_parts([1, 2, 3, 4, 5], 3)] == [[1], [2, 3], [4, 5]]
    assert [list(part) for part in even_parts([1, 2], 5)] == [[1], [2]]


# In an evaluation


def test_columns_join_the_rows(tmp_path):
    probes = {"Stable": SeedStability(2), "Random": Randomisation(blocks=2)}
    judge = Judge({"Outside": ProportionOutside()})
    batches = pictures()
    methods = {"Gradient": Gradient(), "Half": Constant(0.5)}
    rows = run(tmp_path / "a", batches, methods, checks=probes, judge=judge).rows
    plain = run(tmp_path / "b", batches, methods, judge=judge).rows
    mine = [row for row in rows if row["method"] == "Gradient"]
    assert [row["scores"]["Stable"] for row in mine] == [1.0] * 4 + [None, 1.0]
    assert all(len(row["curves"]["Random"]) == 2 for row in mine if row["scores"]["Random"] is not None)
    assert all(row["scores"]["Random"] == pytest.approx(np.mean(row["curves"]["Random"]), abs=1e-4) for row in mine[:4])
    for row, other in zip(rows, plain, strict=True):
        without = {key: value for key, value in row.items() if key != "curves"}
        without["scores"] = {name: value for name, value in row.get("scores", {}).items() if name not in probes}
        assert timeless(without) == timeless({"scores": {}} | other)
    results = summarise(rows, ["Outside", *probes])
    assert (results["Gradient"]["Stable"], results["Gradient"]["n"]["Stable"]) == (1.0, 5)
    assert (results["Half"]["Stable"], results["Half"]["n"]["Stable"]) == (None, 0)
    assert results["Ground truth"]["n"]["Random"] == 0  # nothing to run again


def test_only_the_named_methods_are_probed(tmp_path):
    methods, probes = {"Gradient": Gradient(), "Noise": Random()}, {"Stable": SeedStability(2)}
    rows = run(tmp_path, pictures(), methods, checks=probes, checked=["Noise"]).rows
    facts = FACTS | {"probes": {"Stable": {}}}
    results = write_results(rows, facts, tmp_path, columns=columns_of(probes))["results"]
    assert (results["Gradient"]["n"]["Stable"], results["Noise"]["n"]["Stable"]) == (0, 6)
    whole = method_facts(evaluation(probes=probes), {})
    assert method_facts(evaluation(probes=probes, probed=["Noise"]), {}) == whole | {"probed": ["Noise"]}
    with pytest.raises(
        InputError, match=r"evaluation\.sanity_checks\.methods: there is no method 'RISE', only Gradient, Noise"
    ):
        check_methods("evaluation.sanity_checks.methods", ["RISE"], methods)


def test_probes_without_metrics_are_written(tmp_path):
    rows = run(tmp_path, pictures(), {"Gradient": Gradient()}, checks={"Stable": SeedStability(2)}).rows
    facts = FACTS | {"probes": {"Stable": {"class": "SeedStability"}}}
    content = write_results(rows, facts, tmp_path)
    assert content["results"]["Gradient"]["Stable"] == 1.0
    assert "Stable" in (tmp_path / "per_image.csv").read_text().splitlines()[0]


def test_the_ground_truth_has_nothing_to_run_again():
    batch = one_label()
    seen = Judge({}).judged(classifier(), "Ground truth", torch.rand(3, 1, 16, 16), batch)
    assert Judge({"A": SeedStability()})(seen) == [Answers({"A": None}, {})] * 3


def test_settings_are_in_the_fingerprint_only_when_used():
    assert "probes" not in method_facts(evaluation(), {})
    metric = ProportionOutside()
    settings = evaluation(probes={**EVERY, "outside": Convergence((0.5,), metric)})
    facts = json.loads(json.dumps(method_facts(settings, {})))["probes"]
    assert facts["stability"] == {"class": "SeedStability", "higher_is_better": True, "runs": 2}
    assert facts["cascading"]["blocks"] == 2
    assert facts["convergence"]["fractions"] == [0.5]
    assert facts["outside"]["metric"]["class"] == "ProportionOutside"
    assert facts["outside"]["higher_is_better"] is False


def test_a_config_builds_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    path = save_explainer(tmp_path / "checkpoints" / "tiny.ckpt", SHAPES)
    probes = {
        "Stability": {"class_path": "SeedStability", "init_args": {"runs": 2}},
        "Randomised": {"class_path": "Randomisation", "init_args": {"blocks": 1}},
        "Masker": {"class_path": "Randomisation", "init_args": {"network": "masker", "blocks": 1}},
        "Retrained": {"class_path": "Retrained", "init_args": {"checkpoint": path}},
        "Outside at 1/2": {"class_path": "Convergence", "init_args": {
            "fractions": [0.5], "metric": {"class_path": "explainer.metrics.ProportionOutside"}}},
    }  # fmt: skip
    methods = {"Box": {"class_path": "CentredBox"}, "RISE": {"class_path": "RISE", "init_args": {"masks": 2}}}
    data = {
        "class_path": "Shapes",
        "init_args": {"image_size": 32, "batch_size": 2, "num_workers": 0, "test_images": 2},
    }
    evaluation = {"methods": methods, "probes": probes, "gallery": 0, "device": "cpu"}
    explainer_config("tiny", data=data, evaluation=evaluation)
    results = evaluate(["--config", "tiny.yaml"])["results"]
    assert results["Box"]["Randomised"] == 1.0
    assert results["Box"]["Masker"] is None
    assert results["Explainer"]["Randomised"] == 1.0
    assert results["Explainer"]["Retrained"] == 1.0
    assert results["Explainer"]["Masker"] < 1
    assert math.isfinite(results["RISE"]["Outside at 1/2"])
    header = (tmp_path / "results" / "tiny" / "table.md").read_text().splitlines()[0]
    assert "Stability ↑" in header
    assert "Outside at 1/2 ↓" in header
    assert evaluate(["--config", "tiny.yaml"])["results"] == results


def test_the_config_of_the_sanity_check_differs_in_what_it_must():
    ours, theirs = (content_of(name) for name in ("shapes_small.yaml", "shapes_small_randomised.yaml"))
    ours["model"]["init_args"]["explanandum"]["randomise_seed"] = 0
    ours["model"]["init_args"]["masker"]["encoder_weights"] = None
    assert ours == theirs
