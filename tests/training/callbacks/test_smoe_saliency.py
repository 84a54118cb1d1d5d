"""Saliency during training observes and changes nothing."""

import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

from explainer.cli.train import train
from explainer.errors import InputError
from explainer.networks import Explanandum
from explainer.networks.taps import read_taps
from explainer.training.callbacks import SMOESaliency
from explainer.training.callbacks import smoe_saliency as smoe
from explainer.training.callbacks.smoe_saliency import spread
from explainer.training.callbacks.subject import guesses
from explainer.training.modules import Classifier
from tests.support.small_modules import eight, explainer
from tests.support.tiny_runs import classifier_config, data, explainer_config, trainer
from tests.support.wandb_file import history

SHOWN = {"every_n_steps": 3, "images": 2}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def weights(folder, name):
    return torch.load(folder / "runs" / name / "last.ckpt", weights_only=True)["state_dict"]


def fit(module, callback, folder, batch_size=8, **options):
    """A few steps over eight images, in a folder of their own."""
    pl.seed_everything(1)
    runner = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, default_root_dir=folder,
        enable_model_summary=False, callbacks=[callback], **({"max_steps": 4, "limit_val_batches": 0} | options),
    )  # fmt: skip
    runner.fit(module, datamodule=eight(batch_size=batch_size))
    return sorted(p.name for p in folder.glob("saliency/*.png"))


def classifier():
    torch.manual_seed(2)
    network = Explanandum("explainer.networks.small.small_cnn", network_args={"width": 4})
    return Classifier(network, lambda p: torch.optim.Adam(p, lr=1e-2))


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("build", [classifier, explainer])
def test_a_run_with_it_ends_in_the_same_weights_to_the_bit(build, tmp_path):
    modules = []
    for shown in (0, 1):
        torch.manual_seed(2)
        modules.append(build())
        torch.manual_seed(3)
        fit(modules[-1], SMOESaliency(every_n_steps=shown), tmp_path / str(shown), limit_val_batches=1)
    assert same(*modules)
    assert len(list((tmp_path / "1" / "saliency").iterdir())) == 4
    assert not (tmp_path / "0" / "saliency").exists()


def test_it_leaves_no_hook_and_no_activation_behind(tmp_path):
    module, callback = classifier(), SMOESaliency(every_n_steps=1)
    fit(module, callback, tmp_path)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())
    assert (callback._subject, callback._watch, callback._layers) == (None, None, ())
    broken = classifier()
    broken.explanandum.network.classifier.weight.data.fill_(torch.nan)
    with pytest.raises(Exception, match="nan"):
        fit(broken, callback, tmp_path)
    assert not any(m._forward_hooks for m in broken.modules())


def test_batch_norm_does_not_drift_and_partly_frozen_parts_stay_so(tmp_path):
    module = classifier()
    module.build(eight().classes, True)
    frozen = module.explanandum.network.stages[0].eval()
    seen = []

    class Watch(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            frozen.eval()
            seen.append(module.explanandum.network.stages[1].training)

    pl.seed_everything(1)
    runner = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, max_steps=2,
        enable_model_summary=False, callbacks=[SMOESaliency(1), Watch()], default_root_dir=tmp_path,
    )  # fmt: skip
    runner.fit(module, datamodule=eight())
    assert seen == [True, True]
    assert int(module.explanandum.network.stages[1][2].num_batches_tracked) == 2


def test_gradient_accumulation_counts_optimizer_steps(tmp_path):
    fit(classifier(), SMOESaliency(every_n_steps=2), tmp_path, batch_size=2, accumulate_grad_batches=2)
    assert [p.name for p in sorted(tmp_path.glob("saliency/*"))] == ["step_0000000.png", "step_0000002.png"]


def test_it_works_in_bf16(tmp_path):
    assert len(fit(classifier(), SMOESaliency(every_n_steps=1), tmp_path, precision="bf16-mixed")) == 4


def test_compiled_networks_are_looked_at_once_more_in_evaluation_mode(tmp_path):
    modules = []
    for shown in (0, 1):
        module = classifier()
        module.build(eight().classes, True)
        module.explanandum.network = torch.compile(module.explanandum.network, backend="eager")
        names = fit(module, SMOESaliency(every_n_steps=shown), tmp_path / str(shown))
        modules.append(module)
    assert len(names) == 4
    assert same(*modules)


def test_a_training_shows_maps_labels_and_how_one_image_developed(tmp_path):
    classifier_config()
    options = trainer(logger=None, log_every_n_steps=2)
    train(["--config", explainer_config(saliency=SHOWN, trainer=options)])
    run = tmp_path / "runs" / "tiny"
    assert [p.name for p in sorted((run / "saliency").iterdir())] == [
        f"step_{n:07d}.png" for n in (1, 4, 7, 9, 10, 13, 16)
    ]  # a picture is logged when its step is done; the ninth step is the first one of the second epoch
    widths = [Image.open(p).width for p in sorted((run / "saliency_over_time").iterdir())]
    assert len(widths) == 2
    assert widths[1] > widths[0]  # the strip grows
    logged = history(run)
    assert len(logged["saliency/path"]) == 7
    assert len(logged["saliency/entropy"]) == 7
    assert all(0 < v <= 1 for v in logged["saliency/entropy"])
    assert len(logged["saliency_over_time/path"]) == 2


def test_it_can_be_turned_off(tmp_path):
    train(["--config", classifier_config(saliency={"every_n_steps": 0}, data=data(train_images=8, val_images=4))])
    assert not (tmp_path / "runs" / "tiny_classifier" / "saliency").exists()


def test_an_explainers_run_shows_what_the_classifier_says_of_the_photograph(tmp_path, drawn):
    torch.manual_seed(2)
    module = explainer()
    fit(module, SMOESaliency(every_n_steps=1, images=3), tmp_path, max_steps=2)
    step = drawn[0]
    explanandum = module.explanandum
    assert len(step.image) == 3
    with torch.no_grad():
        assert step.guesses == guesses(explanandum, explanandum(step.image))
        assert step.masked.words == guesses(explanandum, explanandum(step.masked.image))
    assert step.guesses[0].startswith("predicted: ")
    assert all(label in explanandum.classes for label in step.labels[0].split(", "))
    assert not torch.equal(step.masked.image, step.image)
    widths = [Image.open(path).width for path in (tmp_path / "saliency").glob("*.png")]
    assert len(widths) == 2
    assert smoe.draw(step).width == widths[0] > smoe.draw(step._replace(masked=None)).width


def test_a_classifiers_run_shows_its_own_answer(tmp_path, drawn):
    fit(classifier(), SMOESaliency(every_n_steps=1, images=3), tmp_path, max_steps=1)
    assert drawn[0].guesses[0].startswith("predicted: ")
    assert drawn[0].masked is None


def test_named_taps_of_the_explanandum_are_obeyed(tmp_path, drawn):
    network = Explanandum(
        "explainer.networks.small.small_cnn", taps=["stages.1", "stages.2"], network_args={"width": 4}
    )
    fit(Classifier(network), SMOESaliency(every_n_steps=1), tmp_path, max_steps=1)
    with torch.no_grad(), read_taps(network.network, ["stages.1", "stages.2"]) as seen:
        network(torch.rand(1, 3, 32, 32))
    assert [scale.shape[-2:] for scale in drawn[0].scales] == [maps.shape[-2:] for maps in seen.values()]


def test_a_network_before_whose_relus_nothing_can_be_read_is_trained_without_being_watched(tmp_path):
    class Odd(torch.nn.ReLU):
        def forward(self, x):
            return super().forward(x) + 1

    module = classifier()
    module.explanandum.network.stages[3].append(Odd())
    with pytest.warns(UserWarning, match=r"saliency is not shown: tap 'stages\.3\.7': what goes into its last ReLU"):
        assert fit(module, SMOESaliency(1, statistic="truncated_normal_std"), tmp_path, max_steps=2) == []
    with pytest.raises(InputError, match=r"saliency\.epsilon"):
        SMOESaliency(epsilon=-1.0)


def test_spread_of_saliency():
    one = torch.zeros(1, 1, 5, 5)
    one[..., 2, 2] = 1
    assert spread(one).item() == pytest.approx(0, abs=1e-6)
    assert spread(torch.full((1, 1, 5, 5), 0.3)).item() == pytest.approx(1)


def test_a_network_without_scales_is_trained_without_being_watched(tmp_path):
    network = Explanandum("tests.support.small_networks.of_the_mean_colour")
    with pytest.warns(UserWarning, match="saliency is not shown"):
        names = fit(Classifier(network), SMOESaliency(every_n_steps=1), tmp_path, limit_val_batches=1, max_steps=2)
    assert names == []


def test_weights_for_another_number_of_scales_are_refused_before_training(tmp_path):
    with pytest.raises(InputError, match=r"saliency\.weights: .*"):
        fit(classifier(), SMOESaliency(weights=[1.0]), tmp_path)
