"""Watch the criterion of one training of a search, and end the training where it is behind the others."""

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl

from explainer.errors import InputError

Behind = Callable[[int, float], bool]
"""Number of the validation and its criterion → whether the training is so far behind that it should end."""


class Watching(pl.Callback):
    """Keep what each validation logs, and end the training where its criterion is behind.

    Its state is part of the checkpoints: a training that goes on knows its earlier validations.

    Args:
        criterion: Logged value that decides.
        behind: Function that is told each value, and says whether to end.

    Attributes:
        validations: Logged values of each validation, in order.
        ended: Whether the training was ended early.
    """

    def __init__(self, criterion: str, behind: Behind) -> None:
        self.criterion = criterion
        self.behind = behind
        self.validations: list[dict[str, float]] = []
        self.ended = False

    def state_dict(self) -> dict[str, Any]:
        """Return the validations so far."""
        return {"validations": self.validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the validations of the earlier part of the training."""
        self.validations = list(state_dict["validations"])

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell the validations of the earlier part of the training."""
        for number, values in enumerate(self.validations):
            self._tell(trainer, number, values[self.criterion])

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the values of a validation.

        Raises:
            InputError: The criterion is not logged; names what is.
        """
        if trainer.sanity_checking:
            return
        values = {}
        for name, value in trainer.callback_metrics.items():
            if name.startswith("val/"):
                values[name] = float(value)
        if self.criterion not in values:
            known = ", ".join(sorted(values)) or "nothing"
            raise InputError(f"search.criterion: {self.criterion} is not logged by the validation; there is {known}")
        self.validations.append(values)
        self._tell(trainer, len(self.validations) - 1, values[self.criterion])

    def _tell(self, trainer: pl.Trainer, number: int, value: float) -> None:
        """Tell the criterion of a validation, and end the training if that is said."""
        if self.behind(number, value):
            self.ended = True
            trainer.should_stop = True
