"""One parser for train.py and evaluate.py: the classes' signatures and docstrings are the schema."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from jsonargparse import Namespace
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities.rank_zero import rank_zero_info, rank_zero_only

# imports are the registry: short class names resolve among them
import explainer.attribution
import explainer.data
import explainer.experiments.retraining.degraded
import explainer.experiments.retraining.layer_masked
import explainer.experiments.variations
import explainer.infill
import explainer.training.modules  # noqa: F401
from explainer.cli.reading import CONFIGS, ConfigAction, Parser, condensed, find_config
from explainer.cli.rehearsal import check_interval, check_name, check_settings, try_out, with_stand_in
from explainer.cli.runs import can_go_on
from explainer.data import ImageDataModule
from explainer.errors import InputError, input_error
from explainer.evaluation.settings import Evaluation, InfillComparison, LayerRetraining, Retraining
from explainer.experiments.variations.settings import Variations
from explainer.files import make_writable
from explainer.training.callbacks import Gallery, Pictures, Resume, Scores, SMOESaliency
from explainer.training.callbacks.best import Best, WholeCheckpoints
from explainer.training.callbacks.resume import LAST
from explainer.training.modules import SaliencyModule

RUNS, CHECKPOINTS, RESULTS = Path("runs"), Path("checkpoints"), Path("results")
_FORWARDED = ("data", "trainer.accelerator", "trainer.devices", "trainer.precision", "trainer.fast_dev_run",
              "trainer.logger", "trainer.enable_progress_bar")  # fmt: skip


class ExplainerCLI(LightningCLI):
    """Model, data and Trainer from YAML.

    Args:
        args: Command-line arguments; None takes the process's.
        train: How to train what the config needs and is missing: the explanandum, or a method's Explainer.
            With None what is missing is an error.
        evaluating: Leave out model and Trainer, of which an evaluation has no need.
    """

    def __init__(
        self, args: Sequence[str] | None = None, train: Callable[[Sequence[str]], object] | None = None,
        evaluating: bool = False,
    ) -> None:  # fmt: skip
        self.arguments = list(sys.argv[1:] if args is None else args)
        self.train, self.evaluating = train, evaluating
        super().__init__(
            SaliencyModule, ImageDataModule, run=False, args=self.arguments, subclass_mode_model=True,
            subclass_mode_data=True, auto_configure_optimizers=False, save_config_callback=None,
            load_from_checkpoint_support=False, seed_everything_default=42,
            parser_kwargs={"default_config_files": [str(CONFIGS / "defaults.yaml")]},
        )  # fmt: skip

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse what the constructor was given, whatever the process's own arguments are.

        Raises:
            InputError: Something cannot be read, or a setting has a value that it cannot have.
        """
        self.config = self._parsed(args)
        for key, value in self.config.items():
            if value == "None":  # what jsonargparse makes of null for an argument of a nested class
                self.config[key] = None
        check_settings(self.config)  # here, because Lightning seeds before it asks for anything else

    def _parsed(self, args: Sequence[str]) -> Namespace:
        try:
            return self.parser.parse_args(args)
        except (OSError, ValueError, RecursionError) as error:  # such as a nested config file of another encoding
            raise input_error(error) or InputError(condensed(str(error))) from error

    def _built(self, config: Namespace) -> Namespace:
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
            "--explanandum_config", type=str | None, default=None,
            help="Config that trains the explanandum; run first when checkpoints/<its name>.ckpt is missing.",
        )  # fmt: skip
        parser.add_lightning_class_args(Gallery, "gallery")
        parser.add_lightning_class_args(Pictures, "pictures")
        parser.add_lightning_class_args(Scores, "scores")
        parser.add_lightning_class_args(SMOESaliency, "saliency")
        parser.add_lightning_class_args(Resume, "resume")
        parser.add_class_arguments(Evaluation, "evaluation")
        parser.add_class_arguments(Retraining, "retraining")
        parser.add_class_arguments(LayerRetraining, "layer_retraining")
        parser.add_class_arguments(Variations, "variations")
        parser.add_class_arguments(InfillComparison, "infills")

    @property
    def name(self) -> str:
        """The run's name: `--name`, else the config's."""
        if self.config.name:
            return self.config.name
        paths = self.config.config
        return Path(str(paths[-1])).stem if paths else "run"

    @property
    def folder(self) -> Path:
        """Where the run keeps its state and its pictures."""
        return RUNS / self.name

    def before_instantiate_classes(self) -> None:
        """Check what can be checked, then train what is missing: the explanandum, or Explainers among the methods."""
        config = self.config
        check_name(self.name)
        if config.ckpt_path == "last" and not self.evaluating and not can_go_on(self.folder):
            raise InputError(f"nothing to go on with: no {self.folder / LAST}; leave out --ckpt_path last")
        if config.variations.sources and not self.evaluating:
            raise InputError(f"{self.name} makes variations, there is nothing to train: evaluate.py takes this config")
        if self.evaluating:
            paths = explainers(config.evaluation.methods, config.retraining.methods)
            first = [
                (path, f"{path.stem}.yaml", "a method") for path in paths if (CONFIGS / f"{path.stem}.yaml").is_file()
            ]
        else:
            first = [(path, config.explanandum_config, "the explanandum") for path in self.explanandum_checkpoint()]
        missing = [step for step in first if not step[0].is_file()]
        if missing and self.train:
            self._rehearse()
        for path, source, what in missing:
            self._train_first(path, source, what)

    def explanandum_checkpoint(self) -> list[Path]:
        """The checkpoint that a run's own classifier comes from, where its config says what trains it; or nothing."""
        config = self.config
        if not config.explanandum_config or config.retraining.methods or config.layer_retraining.statistics:
            return []
        return [CHECKPOINTS / f"{Path(config.explanandum_config).stem}.ckpt"]

    def _rehearse(self) -> None:
        """Build all of the run on an untrained network, so that no error comes after the training of another one."""
        config, kept = self.config, torch.get_rng_state()
        if not self.evaluating and config.trainer.fast_dev_run:
            return  # what is missing is not trained then, but an error
        data = self._built(Namespace(data=config.data)).data
        data.prepare_data()
        if self.evaluating:
            self._built(without_missing(self._needed()))
            data.split(config.evaluation.split)
        else:
            source = self._parsed(["--config", find_config(config.explanandum_config)])
            (checkpoint,) = self.explanandum_checkpoint()
            model = self._built(Namespace(model=with_stand_in(config, checkpoint, source, data).model)).model
            try_out(model, data)
            check_interval(config, data)
            self._built(Namespace(trainer=config.trainer))
        torch.set_rng_state(kept)

    def _train_first(self, checkpoint: Path, config: str, what: str = "the explanandum") -> None:
        if self.train and not checkpoint.is_file():
            rank_zero_info(f"{checkpoint} is missing: training {what} first ({checkpoint.stem})")
            self.train(["--config", find_config(config), *forwarded(self.arguments, checkpoint.stem)])
            self._set_seed()
        if not checkpoint.is_file():
            raise InputError(f"no {checkpoint}: fast_dev_run leaves none; train {checkpoint.stem}.yaml first")

    def _needed(self) -> Namespace:
        """The part of the config that evaluate.py builds: data, its own settings, and the model where it is used."""
        config = self.config.clone()
        unused = ["trainer", "gallery", "pictures", "scores", "saliency", "resume"]
        for key in [*unused, *([] if config.evaluation.as_it_is else ["model"])]:
            config.pop(key, None)
        return config

    def instantiate_classes(self) -> None:
        """Build; evaluate.py needs the data and its own settings only."""
        if self.evaluating:
            built = self._built(self._needed())
            self.model = built.get("model")
            self.datamodule, self.evaluation, self.retraining = built.data, built.evaluation, built.retraining
            self.layer_retraining, self.variations = built.layer_retraining, built.variations
            self.infills = built.infills
            return
        whole, self.config = self.config, self.config.clone()
        for key in ("evaluation", "retraining", "variations", "infills"):  # what they name may not be there
            self.config.pop(key, None)
        try:
            super().instantiate_classes()
        except (KeyboardInterrupt, SystemExit, OSError):
            raise
        except BaseException as error:
            raise input_error(error) or InputError(f"a setting cannot be used: {condensed(str(error))}") from error
        finally:
            self.config = whole

    def after_instantiate_classes(self) -> None:
        """Try out what was built before anything long starts; the other processes of a training trust the first."""
        if not self.evaluating and getattr(rank_zero_only, "rank", 0) == 0:
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
        plugins = given.plugins if isinstance(given.plugins, list) else [given.plugins] if given.plugins else []
        settings: dict[str, Any] = {"default_root_dir": str(self.folder), "plugins": [*plugins, WholeCheckpoints()]}
        self.tracked = given.logger in (None, True) and not given.fast_dev_run
        if self.tracked:
            settings["logger"] = False  # it makes files: see training.begin_run
        best = [] if given.fast_dev_run else [Best(self.folder, self.model.monitor, self.model.monitor_mode)]
        bar = [] if given.enable_progress_bar is False else [RichProgressBar(leave=True)]
        self.trainer_defaults = {"callbacks": bar + best}
        trainer = super().instantiate_trainer(**settings, **kwargs)
        trainer.callbacks.sort(key=lambda callback: isinstance(callback, Resume))  # type: ignore[attr-defined]
        return trainer


def explainers(*groups: dict[str, Namespace] | None) -> list[Path]:
    """The checkpoints of the Explainers among some methods, as a config names them.

    Args:
        groups: Name → class_path and init_args, or None.

    Example:
        >>> method = Namespace(class_path="a.Explainer", init_args=Namespace(checkpoint="checkpoints/b.ckpt"))
        >>> explainers(None, {"Ours": method})
        [PosixPath('checkpoints/b.ckpt')]
    """
    named = [method for group in groups for method in (group or {}).values() if method.get("init_args")]
    return [Path(m.init_args.checkpoint) for m in named if m.class_path.split(".")[-1] == "Explainer"]


def without_missing(config: Namespace) -> Namespace:
    """Leave out the Explainers among the methods whose checkpoints are not there yet, so that the rest can be built.

    Args:
        config: Of an evaluation; changed in place.

    Returns:
        The same config.
    """
    for group in ("evaluation.methods", "retraining.methods"):
        methods = config.get(group) or {}
        missing = [name for name, method in methods.items() if not all(p.is_file() for p in explainers({"": method}))]
        if missing:
            config[group] = {name: method for name, method in methods.items() if name not in missing}
    return config


def forwarded(arguments: Sequence[str], name: str) -> list[str]:
    """Those command-line arguments that hold for the explanandum's run too: data, devices, precision, logging.

    Args:
        arguments: Of the Explainer's run.
        name: Of the explanandum's run, to see whether it was stopped and can go on.

    Returns:
        Arguments for the explanandum's run.

    Example:
        >>> forwarded(["--data.init_args.root", "x", "--model.init_args.lr=1", "--trainer.devices=1"], "none")
        ['--data.init_args.root', 'x', '--trainer.devices=1']
    """
    kept: list[str] = []
    taking = False
    for argument in arguments:
        if argument.startswith("-"):
            key = argument.removeprefix("--").split("=")[0]
            taking = any(key == f or key.startswith(f"{f}.") for f in _FORWARDED)
        if taking:
            kept.append(argument)
    if can_go_on(RUNS / name):
        kept += ["--ckpt_path", "auto"]
    return kept
