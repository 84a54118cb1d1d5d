"""One parser for train.py and evaluate.py: the classes' signatures and docstrings are the schema."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from jsonargparse import Namespace
from jsonargparse._util import import_object
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities.rank_zero import rank_zero_only

# imports are the registry: short class names resolve among them
import explainer.attribution
import explainer.data
import explainer.experiments.agreement.run
import explainer.experiments.claims.run
import explainer.experiments.claims.statements
import explainer.experiments.infills.run
import explainer.experiments.retraining.degraded
import explainer.experiments.retraining.layer_masked
import explainer.experiments.retraining.layers
import explainer.experiments.retraining.roar
import explainer.experiments.trainings.run
import explainer.experiments.variations.run
import explainer.infill
import explainer.launching
import explainer.training.modules  # noqa: F401
from explainer.cli.including import ConfigAction
from explainer.cli.paths import CONFIGS
from explainer.cli.reading import Parser, condensed
from explainer.cli.rehearsal import check_interval, check_name, check_settings, try_out
from explainer.data import ImageDataModule
from explainer.errors import InputError, input_error
from explainer.evaluation.settings import Evaluation
from explainer.experiments.base import Experiment
from explainer.files import make_writable
from explainer.networks import Explanandum
from explainer.training.callbacks import Gallery, Pictures, Resume, Scores, SMOESaliency
from explainer.training.callbacks.best import Best, WholeCheckpoints
from explainer.training.callbacks.resume import LAST
from explainer.training.callbacks.together import Together
from explainer.training.modules import SaliencyModule
from explainer.training.runs import CHECKPOINTS, RUNS, can_go_on
from explainer.training.searching.settings import Search

RESULTS = Path("results")
"""Where evaluations put what they find, below the current folder."""


class ExplainerCLI(LightningCLI):
    """Model, data and Trainer from YAML.

    It only parses; `build` makes the objects, after `cli.prerequisites` has seen to what they need.

    Args:
        args: Command-line arguments; None takes the process's.
        evaluating: Leave out model and Trainer, of which an evaluation has no need.
    """

    def __init__(self, args: Sequence[str] | None = None, evaluating: bool = False) -> None:
        given = sys.argv[1:] if args is None else args
        # the group of settings has the same name: alone, the word says that they are used
        self.arguments = ["--search.run=true" if word == "--search" else word for word in given]
        self.evaluating = evaluating
        super().__init__(
            SaliencyModule,
            ImageDataModule,
            # with run=True Lightning wants a subcommand
            run=False,
            args=self.arguments,
            subclass_mode_model=True,
            subclass_mode_data=True,
            # the modules take their optimizers as arguments, some of them two
            auto_configure_optimizers=False,
            # train.begin_run writes the config, once all is checked
            save_config_callback=None,
            load_from_checkpoint_support=False,
            seed_everything_default=42,
            parser_kwargs={"default_config_files": [str(CONFIGS / "defaults.yaml")], "prog": program(evaluating)},
        )
        self._check()

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse what the constructor was given, whatever the process's own arguments are.

        Raises:
            InputError: Something cannot be read, or a setting has a value that it cannot have.
        """
        self.config = self.parsed(args)
        for key, value in self.config.items():
            if value == "None":  # what jsonargparse makes of null for an argument of a nested class
                self.config[key] = None
        check_settings(self.config)  # here, because Lightning seeds before it asks for anything else

    def parsed(self, args: Sequence[str]) -> Namespace:
        """The config that arguments come to; what cannot be read is an input error."""
        try:
            return self.parser.parse_args(args)
        except (OSError, ValueError, RecursionError) as error:  # such as a nested config file of another encoding
            raise input_error(error) or InputError(condensed(str(error))) from error

    def built(self, config: Namespace) -> Namespace:
        """The objects that a part of the config describes; whatever a constructor raises is an input error."""
        try:
            return self.parser.instantiate_classes(config)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # jsonargparse's own words around what a constructor said
            raise input_error(error) or InputError(f"a setting cannot be used: {condensed(str(error))}") from error

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """A parser whose --config finds bare names in configs/, and that guesses no abbreviations."""
        parser = Parser(**kwargs)
        help_text = "A run's YAML; a bare name is looked up in configs/. What follows it overrides it."
        parser.add_argument("-c", "--config", action=ConfigAction, help=help_text)
        return parser

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Model, data and trainer; Lightning requires a model, and an evaluation needs none."""
        parser.add_lightning_class_args(self.trainer_class, "trainer")
        parser.add_lightning_class_args(SaliencyModule, "model", subclass_mode=True, required=False)
        parser.add_lightning_class_args(ImageDataModule, "data", subclass_mode=True)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Arguments beside model, data and trainer."""
        parser.add_argument(
            "--ckpt_path",
            type=str | None,
            default=None,
            help="'last' goes on with a stopped run; 'auto' does so where nothing changed.",
        )
        parser.add_argument("--name", type=str | None, default=None, help="Of the run; by default the config's name.")
        parser.add_argument(
            "--explanandum_config",
            type=str | None,
            default=None,
            help="Config that trains the explanandum; run first when checkpoints/<its name>.ckpt is missing.",
        )
        parser.add_lightning_class_args(Gallery, "gallery")
        parser.add_lightning_class_args(Pictures, "pictures")
        parser.add_lightning_class_args(Scores, "scores")
        parser.add_lightning_class_args(SMOESaliency, "saliency")
        parser.add_lightning_class_args(Resume, "resume")
        parser.add_class_arguments(Search, "search")
        parser.add_class_arguments(Evaluation, "evaluation")
        parser.add_subclass_arguments(Experiment, "experiment", required=False)
        parser.add_argument(
            "--explanandum",
            type=Explanandum | None,
            default=None,
            help="Classifier that evaluate.py explains as it is; without it, that of the checkpoint or of the model.",
        )

    @property
    def name(self) -> str:
        """The run's name: `--name`, else the config's."""
        if self.config.name:
            return self.config.name
        paths = self.config.config
        name = Path(str(paths[-1])).stem if paths else "run"
        return f"{name}_sweep/{self.agent}" if self.agent else name

    @property
    def agent(self) -> str | None:
        """The id that an agent of a W&B sweep gave this run, if one started it: each of its runs has another folder."""
        return os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None

    @property
    def folder(self) -> Path:
        """Where the run keeps its state and its pictures."""
        return RUNS / self.name

    @property
    def out(self) -> Path:
        """Where an evaluation puts what it finds."""
        return Path(self.config.evaluation.out or RESULTS / self.name)

    def _check(self) -> None:
        config = self.config
        check_name(self.name)
        if config.ckpt_path == "last" and not self.evaluating and not can_go_on(self.folder):
            raise InputError(f"nothing to go on with: no {self.folder / LAST}; leave out --ckpt_path last")
        if config.experiment and not self.evaluating and not retrains(config):
            raise InputError(f"{self.name} is an experiment, there is nothing to train: evaluate.py takes this config")
        if not config.get("model") and (retrains(config) or not self.evaluating):
            raise InputError(f"{self.name} has no model, there is nothing to train: is it a config for evaluate.py?")

    def instantiate_classes(self) -> None:
        """Nothing: `build` does it."""

    def needed(self) -> Namespace:
        """The part of the config that evaluate.py builds: data, its own settings, and the model where it is used."""
        config = self.config.clone()
        unused = ["trainer", "gallery", "pictures", "scores", "saliency", "resume", "search"]
        if config.explanandum or not config.evaluation.as_it_is:
            unused.append("model")
        for key in unused:
            config.pop(key, None)
        return config

    def build(self, callbacks: Sequence[pl.Callback] = ()) -> None:
        """Make the objects that the config describes, and try them out before anything long starts.

        Args:
            callbacks: Further callbacks of the Trainer.

        Raises:
            InputError: Something given cannot be used.
        """
        self.further_callbacks = list(callbacks)
        self._set_seed()  # something else may have been trained since the config was parsed
        if self.evaluating:
            built = self.built(self.needed())
            self.model, self.explanandum = built.get("model"), built.explanandum
            self.datamodule, self.evaluation, self.experiment = built.data, built.evaluation, built.experiment
            return
        whole, self.config = self.config, self.config.clone()
        for key in ("evaluation", "experiment", "explanandum", "search"):  # what they name may not be there
            self.config.pop(key, None)
        try:
            super().instantiate_classes()
        except (KeyboardInterrupt, SystemExit, OSError):
            raise
        except BaseException as error:
            raise input_error(error) or InputError(f"a setting cannot be used: {condensed(str(error))}") from error
        finally:
            self.config = whole
        self._try_out()

    def _try_out(self) -> None:
        """Try out what was built; the other processes of a training trust the first."""
        if getattr(rank_zero_only, "rank", 0) != 0:
            return
        if not self.config.trainer.fast_dev_run:
            make_writable(RUNS, "runs keep their state there, below the current folder")
            make_writable(CHECKPOINTS, "trained networks are put there, below the current folder")
        try_out(self.model, self.datamodule)
        check_interval(self.config, self.datamodule)
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, SMOESaliency):
                callback.check(self.model, self.datamodule.image_size)

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """The Trainer, with the run's folder, progress bar and checkpoints; nothing is written or moved yet."""
        given = self.config.trainer
        plugins = given.plugins or []
        if not isinstance(plugins, list):
            plugins = [plugins]
        settings: dict[str, Any] = {"default_root_dir": str(self.folder), "plugins": [*plugins, WholeCheckpoints()]}
        self.tracked = given.logger in (None, True) and not given.fast_dev_run
        if self.tracked:
            settings["logger"] = False  # it makes files: see training.begin_run
        # the first: no other callback may wait for a process that trains something else
        callbacks: list[pl.Callback] = [Together(), *self.further_callbacks]
        if given.enable_progress_bar is not False:  # null means Lightning's default, which is a bar
            callbacks.append(RichProgressBar(leave=True))
        if not given.fast_dev_run:
            callbacks.append(Best(self.folder, self.model.monitor, self.model.monitor_mode))
        self.trainer_defaults = {"callbacks": callbacks}
        trainer = super().instantiate_trainer(**settings, **kwargs)
        # last.ckpt must know what the others made of the epoch; the sort is stable, their own order stays
        trainer.callbacks.sort(key=lambda callback: isinstance(callback, Resume))  # type: ignore[attr-defined]
        return trainer


def program(evaluating: bool) -> str:
    """Return what a person typed to come here, for the usage that --help prints.

    Args:
        evaluating: Whether the command evaluates; else it trains.

    Example:
        >>> program(True) in ("explainer evaluate", Path(sys.argv[0]).name)
        True
    """
    name = Path(sys.argv[0]).name
    # the console script, and what python -m calls it: there the command is a word of its own
    if name in ("explainer", "__main__.py"):
        return "explainer evaluate" if evaluating else "explainer train"
    return name


def retrains(config: Namespace) -> bool:
    """Whether a config's experiment trains networks of its own.

    Args:
        config: Parsed.
    """
    path = config.get("experiment.class_path")
    return bool(path) and bool(import_object(path).retrains)
