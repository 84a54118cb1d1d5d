"""A run that was stopped or killed ends in the same weights, to the bit, as one that was not."""

import os
import signal
import time
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from explainer.cli.train import train
from explainer.errors import InputError
from explainer.stopping import Stopped
from tests.support import tiny_runs


def weights(name):
    return torch.load(Path("runs") / name / "last.ckpt", weights_only=True)


def assert_same_run(name, other):
    first, second = weights(name), weights(other)
    assert first["global_step"] == second["global_step"] == 16
    for key, tensor in first["state_dict"].items():
        assert torch.equal(tensor, second["state_dict"][key]), key
    states = [c["optimizer_states"][0]["state"] for c in (first, second)]
    assert all(torch.equal(states[0][i]["exp_avg"], states[1][i]["exp_avg"]) for i in states[0])


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A folder with a trained classifier and a whole run of an Explainer."""
    folder = tmp_path_factory.mktemp("resume")
    before = Path.cwd()
    os.chdir(folder)
    tiny_runs.classifier_config()
    train(["--config", tiny_runs.explainer_config("whole")])
    yield folder
    os.chdir(before)


class PressControlC(pl.Callback):
    """Sends SIGINT in the middle of the second epoch."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == 11:
            os.kill(os.getpid(), signal.SIGINT)


def test_missing_explanandum_is_trained_first(uninterrupted):
    assert Path("checkpoints/tiny_classifier.ckpt").is_file()
    assert Path("checkpoints/whole.ckpt").is_file()
    assert "AmortizedExplainer" in Path("checkpoints/whole.yaml").read_text()


def test_sigint_at_mid_epoch(uninterrupted, capsys):
    stopping = tiny_runs.trainer(callbacks=[{"class_path": "tests.training.callbacks.test_resume.PressControlC"}])
    with pytest.raises(Stopped, match=r"saved runs/stopped/last\.ckpt at step 12: go on with --ckpt_path last"):
        train(["--config", tiny_runs.explainer_config("stopped", trainer=stopping)])
    assert weights("stopped")["global_step"] == 12
    assert not Path("checkpoints/stopped.ckpt").exists()
    train(["--config", tiny_runs.explainer_config("stopped"), "--ckpt_path", "last"])
    assert_same_run("whole", "stopped")


@pytest.mark.parametrize("workers", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_sigkill_at_mid_epoch(uninterrupted, workers):
    name = f"killed{workers}"
    config = tiny_runs.explainer_config(name, data=tiny_runs.data(num_workers=workers), resume={"every_n_steps": 3})
    process = tiny_runs.start("train.py", "--config", config)
    last = Path("runs") / name / "last.ckpt"
    deadline = time.monotonic() + 120
    while not last.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    output = process.communicate()[0]
    assert last.exists(), output
    assert weights(name)["global_step"] % 8 != 0, "it was to be killed within an epoch"
    train(["--config", config, "--ckpt_path", "last"])
    assert_same_run("whole", name)


def test_nothing_to_go_on_with(uninterrupted):
    with pytest.raises(InputError, match="nothing to go on with"):
        train(["--config", tiny_runs.explainer_config("never"), "--ckpt_path", "last"])


def test_a_run_of_the_same_name_is_kept(uninterrupted):
    config = tiny_runs.explainer_config("again", trainer=tiny_runs.trainer(max_epochs=1))
    train(["--config", config])
    train(["--config", config])
    assert len(list(Path("runs").glob("again.*/last.ckpt"))) == 1


AVERAGED = {"class_path": "explainer.training.callbacks.averaging.AveragedWeights", "init_args": {"decay": 0.9}}
RECIPE = {
    "explanandum": {"network": "checkpoints/tiny_classifier.ckpt"},
    "masker": {"class_path": "FeatureMasker", "init_args": {"width": 8, "scales": 2}},
    "objective": {"class_path": "ExplainerObjective"},
    "optimizer": tiny_runs.adam(),
    "scheduler": {"class_path": "explainer.training.schedule.WarmUpCosine", "init_args": {"warm_up": 3}},
    "best_by": "score",
}


def recipe(name, epochs=2, *callbacks):
    options = tiny_runs.trainer(max_epochs=epochs, callbacks=[AVERAGED, *callbacks])
    model = {"class_path": "AmortizedExplainer", "init_args": RECIPE}
    return tiny_runs.explainer_config(name, model=model, trainer=options)


def test_a_schedule_and_an_average_go_on_too(uninterrupted):
    """With the recipe of the photographs: both the weights in training and their average end in the same bits."""
    train(["--config", recipe("recipe_whole")])
    with pytest.raises(Stopped):
        train(
            [
                "--config",
                recipe("recipe_stopped", 2, {"class_path": "tests.training.callbacks.test_resume.PressControlC"}),
            ]
        )
    train(["--config", recipe("recipe_stopped"), "--ckpt_path", "last"])
    assert_same_run("recipe_whole", "recipe_stopped")
    first, second = weights("recipe_whole"), weights("recipe_stopped")
    for key, tensor in first["current_model_state"].items():
        assert torch.equal(tensor, second["current_model_state"][key]), key
    masker = [key for key in first["state_dict"] if key.startswith("masker.")]
    assert any(not torch.equal(first["state_dict"][key], first["current_model_state"][key]) for key in masker)


def test_a_schedule_is_as_long_as_the_training_that_goes_on(uninterrupted):
    train(["--config", recipe("recipe_short", 1)])
    cli = train(["--config", recipe("recipe_short", 3), "--ckpt_path", "last"])
    (config,) = cli.trainer.lr_scheduler_configs
    assert config.scheduler.steps == 24
    assert cli.trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-9)


def test_weights_in_training_are_checked_beside_their_average(uninterrupted):
    train(["--config", recipe("recipe_torn", 1)])
    path = Path("runs/recipe_torn/last.ckpt")
    content = torch.load(path, weights_only=True)
    del content["current_model_state"]["masker.network.head.weight"]
    torch.save(content, path)
    with pytest.raises(InputError, match=r"lacks 'masker\.network\.head\.weight'"):
        train(["--config", recipe("recipe_torn", 2), "--ckpt_path", "last"])
