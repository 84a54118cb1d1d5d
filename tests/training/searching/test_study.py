"""Trials that outlive their process: the same ones whether or not the search was stopped."""

import math

import pytest

from explainer.errors import InputError
from explainer.training.searching.settings import Range, Search
from explainer.training.searching.study import JOURNAL, Study

SPACE = {"a.x": Range(0.1, 10.0), "a.y": Range(-1.0, 1.0, log=False)}
OF = {"config": {"model": 1}}


def score(settings):
    return -(math.log10(settings["a.x"]) ** 2) - settings["a.y"] ** 2


def study(folder, **options):
    return Study(folder, Search(**{"random_trials": 3, "prune_after": None} | options), SPACE, OF)


def run(asked, count):
    for _ in range(count):
        trial = asked.ask()
        trial.finish([{"val/score": score(trial.settings), "val/iou": 0.5}], "val/score", ended=False)


def test_a_stopped_search_tries_what_it_would_have_tried(tmp_path):
    whole = study(tmp_path / "whole")
    whole.begin_with({"a.x": 1.0, "a.y": 0.5})
    run(whole, 7)
    for part in (3, 0, 4):
        parts = study(tmp_path / "parts")
        parts.begin_with({"a.x": 1.0, "a.y": 0.5})
        run(parts, part)
    assert [trial.settings for trial in parts.tried()] == [trial.settings for trial in whole.tried()]
    assert whole.tried()[0].settings == {"a.x": 1.0, "a.y": 0.5}
    assert len({trial.settings["a.x"] for trial in whole.tried()}) == 7
    assert all(0.1 <= trial.settings["a.x"] <= 10 for trial in whole.tried())
    best = whole.best()
    assert best.value == max(trial.value for trial in whole.tried()) == score(best.settings)
    assert best.logged["val/iou"] == 0.5


def test_a_trial_whose_process_ended_goes_on_in_its_own_training(tmp_path):
    first = study(tmp_path)
    run(first, 2)
    running = first.ask()
    again = study(tmp_path)
    assert len(again.tried()) == 2
    trial = again.ask()
    assert trial.settings == running.settings
    assert trial.number == running.number
    third = study(tmp_path)  # it ended a second time
    trial = third.ask()
    assert (trial.settings, trial.number) == (running.settings, running.number)
    trial.finish([{"val/score": 1.0}], "val/score", ended=False)
    assert [over.number for over in third.tried()] == [0, 1, running.number]
    assert third.ask().number not in (0, 1, running.number)


@pytest.mark.parametrize("value", [2.0, None])
def test_a_process_that_ended_after_the_note_of_a_result_keeps_it(tmp_path, value):
    first = study(tmp_path)
    trial = first.ask()
    trial._note(value, {} if value is None else {"val/score": value}, "" if value else "wrong", ended=False)
    again = study(tmp_path)
    assert [(over.number, over.value) for over in again.tried()] == [(0, value)]
    assert len(study(tmp_path).tried()) == 1


def test_the_best_validation_counts_and_lower_may_be_better(tmp_path):
    values = [{"val/loss": value} for value in (3.0, 1.0, math.nan, 2.0)]
    for higher, best in ((True, 3.0), (False, 1.0)):
        asked = study(tmp_path / str(higher), higher_is_better=higher)
        asked.ask().finish(values, "val/loss", ended=False)
        assert asked.best().value == best


def test_a_training_that_failed_is_no_best_one(tmp_path):
    asked = study(tmp_path)
    asked.ask().fail("NonFiniteLossError: tv")
    asked.ask().finish([{"val/score": math.nan}], "val/score", ended=False)
    assert asked.best() is None
    assert [trial.error for trial in asked.tried()] == ["NonFiniteLossError: tv", "val/score was never a number"]
    run(asked, 1)
    assert asked.best().number == 2
    assert [trial.error for trial in study(tmp_path).tried()][:1] == ["NonFiniteLossError: tv"]


def test_a_training_behind_the_median_ends_early(tmp_path):
    asked = study(tmp_path, prune_after=2, warm_up=1)
    for value in (1.0, 2.0):
        trial = asked.ask()
        assert not any(trial.behind(validation, value) for validation in range(3))
        trial.finish([{"val/score": value}], "val/score", ended=False)
    trial = asked.ask()
    assert not trial.behind(0, 0.0)
    assert not trial.behind(1, math.nan)
    assert trial.behind(1, 0.0)
    trial.finish([{"val/score": 0.0}], "val/score", ended=True)
    assert [over.ended for over in asked.tried()] == [False, False, True]


def test_trials_of_another_search_are_refused(tmp_path):
    run(study(tmp_path), 1)
    search = Search(prune_after=None)
    with pytest.raises(InputError, match="holds the trials of a search with another space"):
        Study(tmp_path, search, {"a.x": Range(0.1, 5.0)}, OF)
    with pytest.raises(InputError, match="with another config: delete the folder, or choose another --name"):
        Study(tmp_path, search, SPACE, {"config": {"model": 2}})
    assert len(Study(tmp_path, Search(trials=99, seed=3), SPACE, OF).tried()) == 1
    assert (tmp_path / JOURNAL).is_file()
