"""train.py --search: trainings with other settings, stopped and gone on with, and the best of them as a config."""

import csv
from pathlib import Path

import pytest
import yaml

from explainer.cli import search as searching
from explainer.cli.parser import ExplainerCLI
from explainer.cli.search import agreement, default_space
from explainer.cli.train import train
from explainer.errors import InputError
from explainer.stopping import Stopped
from explainer.training.searching.study import Tried
from tests.support import tiny_runs

LR = "model.init_args.optimizer.init_args.lr"


def config(**options):
    small = tiny_runs.data(train_images=16, val_images=8, test_images=8)
    quiet = tiny_runs.trainer(max_epochs=1, enable_model_summary=False)
    return tiny_runs.classifier_config("tiny_classifier", data=small, trainer=quiet, **options)


def rows():
    with Path("runs/tiny_classifier_search/trials.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_search_that_is_stopped_goes_on_and_its_best_is_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["--config", config(), "--search", "--search.trials", "3", "--search.random_trials", "1"]
    real = searching.run_trial
    begun = []

    def stopped_in_the_second(cli, study, trial, train):
        begun.append(trial.settings)
        if len(begun) == 2:
            raise Stopped("stopped", 15)
        real(cli, study, trial, train)

    monkeypatch.setattr(searching, "run_trial", stopped_in_the_second)
    with pytest.raises(Stopped):
        train(arguments)
    assert [row["training"] for row in rows()] == ["0"]
    train(arguments)
    assert begun[2] == begun[1]  # what was stopped is what goes on
    assert len(rows()) == 3
    assert float(rows()[0][LR]) == 3e-3  # the config's own settings come first
    folder = Path("runs/tiny_classifier_search")
    assert not Path("checkpoints").exists() or not list(Path("checkpoints").glob("*.ckpt"))
    assert len(list(folder.glob("*/best.ckpt"))) == 1  # of the best training alone
    best = max(rows(), key=lambda row: float(row["val/score"]))
    chosen = yaml.safe_load((folder / "best.yaml").read_text())
    assert chosen["model"]["init_args"]["optimizer"]["init_args"]["lr"] == float(best[LR])
    assert (folder / "trials.png").stat().st_size > 1000
    assert "to train with the best, add: --config" in capsys.readouterr().out.replace("\n", " ")
    cli = train(["--config", "tiny_classifier.yaml", "--config", str(folder / "best.yaml")])
    assert cli.name == "tiny_classifier"
    assert cli.trainer.optimizers[0].defaults["lr"] == float(best[LR])
    assert Path("checkpoints/tiny_classifier.ckpt").is_file()


def test_a_training_that_fails_is_passed_over_but_for_the_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["--config", config(), "--search", "--search.trials", "2"]
    calls = []

    def failing(args, callbacks, *, published):
        calls.append(args)
        assert not published
        if len(calls) == 2:
            raise RuntimeError("the loss is NaN")
        return train(args, callbacks, published=published)

    cli = ExplainerCLI(arguments)
    searching.search(cli, lambda args, callbacks: failing(args, callbacks, published=False))
    assert [row["error"] for row in rows()] == ["", "RuntimeError: the loss is NaN"]
    other = ExplainerCLI([*arguments, "--name", "other"])
    with pytest.raises(RuntimeError, match="at once"):
        searching.search(other, lambda args, callbacks: (_ for _ in ()).throw(RuntimeError("at once")))


def test_the_default_space_of_an_explainer_is_its_weights_and_its_rate(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cli = ExplainerCLI(["--config", tiny_runs.explainer_config()])
    space = default_space(cli)
    names = [name.rpartition(".")[2] for name in space]
    assert names == ["entropy", "bound", "target_area", "non_target_area", "tv", "lr"]
    assert (space[LR].low, space[LR].high) == (1e-4, 1e-2)
    assert searching.with_criterion(cli, searching.Search()).criterion == "val/essence"
    classifier = ExplainerCLI(["--config", config()])
    assert list(default_space(classifier)) == [LR]
    settings = searching.with_criterion(classifier, searching.Search())
    assert (settings.criterion, settings.higher_is_better) == ("val/score", True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ckpt_path=auto"], "leave out --ckpt_path"),
        (["--trainer.fast_dev_run=true"], "leave out trainer.fast_dev_run"),
        (['--search.space={"model.init_args.nothing": {"low": 1, "high": 2}}'], "nothing is no number of this config"),
        (['--search.space={"model.init_args.optimizer.init_args.lr": {"low": 2, "high": 1}}'], "low must be below"),
        (["--search.criterion=val/nothing"], "val/nothing is not logged by the validation; there is val/"),
        (["--search.trials=0"], "search.trials must be at least 1"),
    ],
)
def test_what_cannot_be_searched_is_said_in_one_line(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words):
        train(["--config", config(), "--search", "--search.epochs=1", *arguments])


def test_the_agreement_leaves_out_what_needs_the_truth():
    trials = []
    for number, (score, overlap) in enumerate([(0.1, 0.2), (0.2, 0.4), (0.3, 0.3)]):
        logged = {"val/score": score, "val/iou": overlap, "val/acc": overlap, "val/area": -score}
        trials.append(Tried(number, {}, score, logged, False, ""))
    (line,) = agreement(trials)
    assert line == "Kendall's τ with val/iou over 3 whole trainings: val/area -0.33, val/score +0.33"
    assert agreement(trials[:2]) == []


def test_an_agent_of_a_sweep_gives_each_run_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = config()
    assert ExplainerCLI(["--config", path]).name == "tiny_classifier"
    monkeypatch.setenv("WANDB_SWEEP_ID", "s1")
    monkeypatch.setenv("WANDB_RUN_ID", "abc123")
    assert ExplainerCLI(["--config", path]).name == "tiny_classifier_sweep/abc123"
    assert ExplainerCLI(["--config", path, "--name", "mine"]).name == "mine"
