"""The trials of a search, kept by Optuna in a file of JSON lines, which outlives the process.

T. Akiba, S. Sano, T. Yanase, T. Ohta, M. Koyama: Optuna: A Next-generation Hyperparameter Optimization Framework, KDD
2019. What to try next is drawn by its tree-structured Parzen estimator; a training that is behind the median of the
earlier ones is ended early.
"""

import json
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from explainer.errors import LARGEST_SEED, InputError, missing_extra
from explainer.files import read_state, write_json
from explainer.functional.seeds import derived_seed
from explainer.training.searching.settings import Range, Search

JOURNAL = "trials.log"
"""File of Optuna's trials, in the folder of a search."""
SEARCHED = "search.json"
"""File that says what the trials are of."""


class Tried(NamedTuple):
    """A trial that is over.

    Attributes:
        number: Number of its training, by which its folder is named.
        settings: Setting → value.
        value: Criterion at its best validation; None where the training failed.
        logged: What that validation logged.
        ended: Whether it was ended early.
        error: Error in one line, of a training that failed; else "".
    """

    number: int
    settings: dict[str, float]
    value: float | None
    logged: dict[str, float]
    ended: bool
    error: str


def library() -> ModuleType:
    """Return Optuna.

    Raises:
        InputError: It is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise missing_extra("a search needs Optuna", "search") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


class Study:
    """Trials of one search.

    Args:
        folder: Folder of the search; it is made when missing. One process at a time.
        search: Settings of the search.
        space: Setting → range.
        of: What the trials depend on beside their settings, in plain values.

    Raises:
        InputError: Optuna is missing, or the folder holds trials of another search.
    """

    def __init__(self, folder: Path, search: Search, space: Mapping[str, Range], of: Mapping[str, Any]) -> None:
        optuna = library()
        self.search = search
        self.space = dict(space)
        folder.mkdir(parents=True, exist_ok=True)
        self._check(folder, of)
        backend = optuna.storages.journal.JournalFileBackend(str(folder / JOURNAL))
        direction = "maximize" if search.higher_is_better else "minimize"
        pruner: Any = optuna.pruners.NopPruner()
        if search.prune_after is not None:
            pruner = optuna.pruners.MedianPruner(search.prune_after, n_warmup_steps=search.warm_up)
        self._study = optuna.create_study(
            storage=optuna.storages.JournalStorage(backend),
            study_name="search",
            direction=direction,
            pruner=pruner,
            load_if_exists=True,
        )
        self._distributions = {}
        for name, values in space.items():
            self._distributions[name] = optuna.distributions.FloatDistribution(values.low, values.high, log=values.log)
        self._give_back()

    def _check(self, folder: Path, of: Mapping[str, Any]) -> None:
        """Refuse the trials of another search, and write down what these are of."""
        space = {name: [values.low, values.high, values.log] for name, values in self.space.items()}
        # as it reads back: lists for tuples
        now = json.loads(json.dumps({"space": space, **of}, default=str))
        earlier = read_state(folder / SEARCHED, dict[str, Any])
        if (folder / JOURNAL).is_file() and earlier != now:
            changed = sorted(key for key in {*now, *(earlier or {})} if (earlier or {}).get(key) != now.get(key))
            raise InputError(
                f"{folder} holds the trials of a search with another {', '.join(changed)}: delete the folder, or "
                "choose another --name"
            )
        write_json(folder / SEARCHED, now, sort_keys=True)

    def _give_back(self) -> None:
        """Put the trials that were running when their process ended in the queue again, with their own trainings."""
        state = library().trial.TrialState
        for trial in self._study.get_trials(states=[state.RUNNING]):
            if "logged" in trial.user_attrs:
                # killed between the note of its result and the end of the trial
                value = trial.user_attrs["value"]
                self._study.tell(trial.number, value, state=state.FAIL if value is None else state.COMPLETE)
                continue
            attributes = {"training": trial.user_attrs.get("training", trial.number)}
            self._study.enqueue_trial(trial.params, user_attrs=attributes)
            self._study.tell(trial.number, state=state.FAIL)

    def begin_with(self, settings: Mapping[str, float]) -> None:
        """Put settings into the queue, if there is no trial yet.

        Args:
            settings: Setting → value.
        """
        if not self._study.get_trials():
            self._study.enqueue_trial(dict(settings))

    def ask(self) -> "Trial":
        """Return the next trial.

        The sampler is seeded by how many there were: a search that was stopped goes on with what it would have tried.
        """
        optuna = library()
        over = len(self.tried())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study.sampler = optuna.samplers.TPESampler(
                n_startup_trials=self.search.random_trials,
                multivariate=True,
                seed=derived_seed(self.search.seed, over) % LARGEST_SEED,
            )
        with warnings.catch_warnings():
            # the config's own settings may lie outside of the ranges: they are tried all the same
            warnings.simplefilter("ignore")
            trial = self._study.ask(self._distributions)
        return Trial(self, trial)

    def tried(self) -> list[Tried]:
        """Return the trials that are over, in the order in which they began."""
        state = library().trial.TrialState
        over = []
        for trial in self._study.get_trials(states=[state.COMPLETE, state.PRUNED, state.FAIL]):
            # one whose process ended is in the queue again
            if "logged" not in trial.user_attrs:
                continue
            over.append(
                Tried(
                    number=trial.user_attrs.get("training", trial.number),
                    settings=dict(trial.params),
                    value=trial.user_attrs["value"],
                    logged=dict(trial.user_attrs["logged"]),
                    ended=trial.user_attrs["ended"],
                    error=trial.user_attrs["error"],
                )
            )
        return over

    def best(self) -> Tried | None:
        """Return the trial with the best criterion; None where no training came through."""
        sign = 1.0 if self.search.higher_is_better else -1.0
        measured = [(sign * trial.value, trial) for trial in self.tried() if trial.value is not None]
        # the first of equal ones
        return max(measured, key=lambda pair: pair[0])[1] if measured else None


class Trial:
    """One training of a study.

    Args:
        study: Study that asked for it.
        trial: Trial of Optuna.
    """

    def __init__(self, study: Study, trial: Any) -> None:
        self._study = study
        self._trial = trial
        self.settings: dict[str, float] = dict(trial.params)
        self.number: int = trial.user_attrs.get("training", trial.number)

    def behind(self, validation: int, value: float) -> bool:
        """Note the criterion of a validation, and say whether the training is so far behind that it should end.

        Args:
            validation: Number of the validation, from 0.
            value: Criterion.
        """
        if not math.isfinite(value):
            return False
        self._trial.report(value, validation)
        return bool(self._trial.should_prune())

    def finish(self, validations: list[dict[str, float]], criterion: str, ended: bool) -> None:
        """Note the result.

        Args:
            validations: What each validation logged.
            criterion: Logged value that decides.
            ended: Whether the training was ended early.
        """
        finite = [values for values in validations if math.isfinite(values[criterion])]
        if not finite:
            self.fail(f"{criterion} was never a number")
            return
        choose = max if self._study.search.higher_is_better else min
        best = choose(finite, key=lambda values: values[criterion])
        self._note(best[criterion], best, "", ended)
        state = library().trial.TrialState
        study = self._study._study
        if ended:
            study.tell(self._trial, state=state.PRUNED)
        else:
            study.tell(self._trial, best[criterion])

    def fail(self, error: str) -> None:
        """Note that the training failed.

        Args:
            error: Error in one line.
        """
        self._note(None, {}, error, ended=False)
        self._study._study.tell(self._trial, state=library().trial.TrialState.FAIL)

    def _note(self, value: float | None, logged: dict[str, float], error: str, ended: bool) -> None:
        """Write the result down; the trial counts as over once all of it is there."""
        self._trial.set_user_attr("value", value)
        self._trial.set_user_attr("error", error)
        self._trial.set_user_attr("ended", ended)
        self._trial.set_user_attr("logged", logged)
