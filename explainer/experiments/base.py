"""What every experiment is: something that evaluate.py runs beside, or in place of, its table of methods."""

from abc import ABC, abstractmethod
from pathlib import Path

from explainer.evaluation.context import Context


class Experiment(ABC):
    """Settings from YAML, and the work that they describe.

    An experiment is chosen by `experiment: {class_path, init_args}`; without one, evaluate.py makes its table of
    methods.
    """

    retrains = False
    """Whether it trains networks of its own; the explanandum is then that of `explanandum_config`."""

    trains_configs = False
    """Whether it trains configs of train.py: those in its argument `configs`, with the settings in `options`."""

    # most have nothing to find out
    def check(self, out: Path) -> None:  # noqa: B027
        """Find out whether the experiment can be run at all, before anything is trained for it.

        Args:
            out: Folder of the results.

        Raises:
            InputError: It cannot.
            SystemExit: Only a description was asked for, and has been printed.
        """

    @abstractmethod
    def run(self, context: Context) -> dict[str, object]:
        """Run the experiment, write its results to files, and show them.

        Args:
            context: Checkpoint, data and settings from the command line.

        Returns:
            The content of results.json.

        Raises:
            InputError: Something given cannot be used.
        """
