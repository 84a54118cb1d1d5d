"""What a search tries, and by what it chooses."""

from dataclasses import dataclass

from explainer.errors import InputError, check_range, check_seed


@dataclass(frozen=True)
class Range:
    """A range of one setting.

    Args:
        low: Lowest value.
        high: Highest value.
        log: Whether values are drawn evenly in their logarithm, as suits weights and rates.

    Raises:
        InputError: The range is empty, or has no logarithm.

    Example:
        >>> Range(0.1, 10.0).log
        True
    """

    low: float
    high: float
    log: bool = True

    def __post_init__(self) -> None:
        """Refuse a range from which nothing can be drawn."""
        if not self.low < self.high:
            raise InputError(f"search.space: low must be below high, got {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise InputError(f"search.space: a range with log must be above 0, got low {self.low:g}; or set log: false")


@dataclass(frozen=True)
class Search:
    """A search for the settings of a training.

    Args:
        run: Whether train.py searches, in place of one training; `--search` alone says so, too.
        trials: Number of trainings, the first of which has the config's own settings.
        space: Setting, as on the command line → range. None takes the weights of an Explainer's objective, but for the
            one to which the others are relative, and the learning rate, from a tenth to ten times what the config has.
        criterion: Logged value that decides, of validation images. None takes val/essence for an Explainer, which needs
            no segmentation, and for any other module what its best checkpoint is chosen by.
        higher_is_better: Whether a higher criterion is better; needed where `criterion` is given.
        epochs: Epochs of each training; None takes the config's.
        random_trials: Number of trials that are drawn at random before the sampler learns from earlier ones.
        prune_after: Number of finished trials after which a training that is behind their median ends early; None
            lets every training come to its end.
        warm_up: Validations of a training after which it may end early.
        seed: Seed of what is tried.

    Raises:
        InputError: A number is out of range.
    """

    run: bool = False
    trials: int = 20
    space: dict[str, Range] | None = None
    criterion: str | None = None
    higher_is_better: bool = True
    epochs: int | None = None
    random_trials: int = 8
    prune_after: int | None = 5
    warm_up: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        check_range("search.trials", self.trials, 1)
        check_range("search.random_trials", self.random_trials, 0)
        check_range("search.warm_up", self.warm_up, 1)
        for name in ("epochs", "prune_after"):
            value = getattr(self, name)
            if value is not None:
                check_range(f"search.{name}", value, 1)
        check_seed("search.seed", self.seed)
        if self.space is not None and not self.space:
            raise InputError("search.space must name a setting: leave it out for the weights of the objective")
