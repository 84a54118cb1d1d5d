"""What must be trained before a run can be built: the explanandum, or Explainers among the methods of an evaluation."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import torch
from jsonargparse import Namespace
from jsonargparse._util import import_object
from pytorch_lightning.utilities.rank_zero import rank_zero_info

from explainer.cli.including import read_config
from explainer.cli.parser import ExplainerCLI, retrains
from explainer.cli.processes import first_process, has_others, started_with_others, train_apart, wait_for
from explainer.cli.reading import find_config, run_configs
from explainer.cli.rehearsal import check_interval, try_out, with_stand_in
from explainer.data import ImageDataModule
from explainer.errors import InputError
from explainer.experiments.trainings.run import as_arguments
from explainer.files import alone
from explainer.training.runs import CHECKPOINTS, RUNS, can_go_on

_FORWARDED = (
    "data",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.strategy",
    "trainer.sync_batchnorm",
    "trainer.precision",
    "trainer.fast_dev_run",
    "trainer.logger",
    "trainer.enable_progress_bar",
)
"""Arguments of a run that hold for the training of what it needs, too."""

Train = Callable[[Sequence[str]], object]


class Prerequisite(NamedTuple):
    """Something that another config trains.

    Attributes:
        checkpoint: File that must be there.
        config: Name of the config that trains it.
        what: What it is, in words.
    """

    checkpoint: Path
    config: str
    what: str


def train_missing(cli: ExplainerCLI, train: Train) -> None:
    """Train what the config needs and what is missing; before that, find out whether the run itself can be built.

    Of several processes of a training the first one does it, and the others wait.

    Args:
        cli: Parsed, not built.
        train: Trains what arguments of train.py name.

    Raises:
        InputError: Something given cannot be used, a quick run of an evaluation has nothing to evaluate, or a training
            left no checkpoint.
    """
    missing = [step for step in prerequisites(cli) if not step.checkpoint.is_file()]
    if not missing:
        return
    quick = cli.config.get("trainer.fast_dev_run")
    lock = cli.folder.with_name(f".{cli.folder.name}.first.lock")
    if quick and not cli.evaluating:
        try_training(cli, missing[0], train)
    elif first_process():
        # held by the process, however it ends: those that wait see from it that it is at work
        with alone(lock, f"what {cli.folder} needs", patience=1.0) if has_others() else nullcontext():
            train_steps(cli, missing, train)
    else:
        for step in missing:
            wait_for(step.checkpoint, lock)


def train_steps(cli: ExplainerCLI, missing: Sequence[Prerequisite], train: Train) -> None:
    """Rehearse the run, and train what it needs.

    Args:
        cli: Parsed, not built.
        missing: What is to be trained, in this order.
        train: Trains what arguments of train.py name.

    Raises:
        InputError: Something given cannot be used, a quick run of an evaluation has nothing to evaluate, or a training
            left no checkpoint.
    """
    rehearse(cli)
    for checkpoint, config, what in missing:
        if cli.config.get("trainer.fast_dev_run"):
            raise InputError(f"no {checkpoint}: fast_dev_run leaves none; train {checkpoint.stem}.yaml first")
        if not checkpoint.is_file():  # two methods may need the same one
            rank_zero_info(f"{checkpoint} is missing: training {what} first ({checkpoint.stem})")
            name = ["--name", checkpoint.stem]  # also where an agent of a sweep names its runs
            arguments = ["--config", find_config(config), *name, *forwarded(arguments_of(cli), checkpoint.stem)]
            train_step(cli, arguments, train)
        if not checkpoint.is_file():
            raise InputError(f"no {checkpoint}: the training of {checkpoint.stem}.yaml left none; look at its output")


def train_step(cli: ExplainerCLI, arguments: Sequence[str], train: Train) -> None:
    """Train one thing: in this process, or in a command of its own where there are, or will be, several processes.

    Args:
        cli: Parsed.
        arguments: Arguments of train.py.
        train: Trains what arguments of train.py name, in this process.
    """
    alone_here = not started_with_others() and str(cli.parsed(arguments).trainer.devices) == "1"
    if alone_here:
        train(arguments)
    else:
        train_apart(arguments)


def try_training(cli: ExplainerCLI, missing: Prerequisite, train: Train) -> None:
    """Try out the training of what is missing, and let the run be tried on an untrained network in its place.

    A quick run (`fast_dev_run`) leaves no checkpoint, and nothing in checkpoints/.

    Args:
        cli: Parsed, not built; its config names no missing checkpoint any more afterwards.
        missing: Explanandum that is missing.
        train: Trains what arguments of train.py name.

    Raises:
        InputError: Something given cannot be used.
    """
    checkpoint = missing.checkpoint
    if first_process():
        rank_zero_info(f"{checkpoint} is missing: its training is tried first, then this one with untrained weights")
        # said again: it may stand in the config alone, and the training must not become a whole one
        quick = f"--trainer.fast_dev_run={cli.config.trainer.fast_dev_run}"
        arguments = ["--config", find_config(missing.config), *forwarded(cli.arguments, checkpoint.stem), quick]
        train_step(cli, arguments, train)
    data = cli.built(Namespace(data=cli.config.data)).data
    data.prepare_data()
    cli.config = on_stand_in(cli, data)


def on_stand_in(cli: ExplainerCLI, data: ImageDataModule) -> Namespace:
    """Return the config of a training in which an untrained network stands for the explanandum that is missing.

    Args:
        cli: Parsed.
        data: Data of the training.
    """
    source = cli.parsed(["--config", find_config(cli.config.explanandum_config)])
    (checkpoint,) = explanandum_of(cli)
    return with_stand_in(cli.config, checkpoint, source, data)


def prerequisites(cli: ExplainerCLI) -> Iterator[Prerequisite]:
    """Name what a run needs and what our configs can train.

    Args:
        cli: Parsed.
    """
    config = cli.config
    if not cli.evaluating or (retrains(config) and not config.ckpt_path):
        yield from (Prerequisite(path, config.explanandum_config, "the explanandum") for path in explanandum_of(cli))
    if cli.evaluating:
        for path in explainers(*method_groups(config).values()):
            config_name = f"{path.stem}.yaml"
            if config_name in run_configs():
                yield Prerequisite(path, config_name, "a method")
        if trains_configs(config):
            # here, and not in each of the trainings: several at once would train the same classifier
            for name in config.experiment.init_args.configs:
                named = read_config(find_config(name)).get("explanandum_config")
                if isinstance(named, str):
                    yield Prerequisite(CHECKPOINTS / f"{Path(named).stem}.ckpt", named, "the explanandum")


def trains_configs(config: Namespace) -> bool:
    """Whether a config's experiment trains configs of train.py.

    Args:
        config: Parsed.
    """
    path = config.get("experiment.class_path")
    return bool(path) and bool(import_object(path).trains_configs)


def arguments_of(cli: ExplainerCLI) -> list[str]:
    """Return the arguments that a run was given, or those that its experiment gives to the runs that it trains.

    Args:
        cli: Parsed.
    """
    if not trains_configs(cli.config):
        return cli.arguments
    return as_arguments(cli.config.experiment.init_args.options or {})


def explanandum_of(cli: ExplainerCLI) -> list[Path]:
    """The checkpoint that a run's own classifier comes from, where its config says what trains it; or nothing."""
    config = cli.config
    if not config.explanandum_config or (retrains(config) and not cli.evaluating):
        return []
    return [CHECKPOINTS / f"{Path(config.explanandum_config).stem}.ckpt"]


def rehearse(cli: ExplainerCLI) -> None:
    """Build all of the run on an untrained network, so that no error comes after the training of another one.

    Args:
        cli: Parsed; its random state stays as it is.

    Raises:
        InputError: Something given cannot be used.
    """
    config = cli.config
    random_state = torch.get_rng_state()
    data = cli.built(Namespace(data=config.data)).data
    data.prepare_data()
    if cli.evaluating:
        experiment = cli.built(without_missing(cli.needed())).experiment
        if experiment is not None:
            experiment.check(cli.out)
        data.split(config.evaluation.images.split)
    else:
        model = cli.built(Namespace(model=on_stand_in(cli, data).model)).model
        try_out(model, data)
        check_interval(config, data)
        cli.built(Namespace(trainer=config.trainer))
    # building drew weights: the run begins with the numbers that it has without a rehearsal
    torch.set_rng_state(random_state)


def method_groups(config: Namespace) -> dict[str, dict[str, Namespace]]:
    """Where a config names methods: key → name → class_path and init_args.

    Args:
        config: Config of an evaluation.
    """
    keys = ("evaluation.methods", "experiment.init_args.methods")
    groups = {key: config.get(key) for key in keys}
    return {key: group for key, group in groups.items() if group}


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
        config: Config of an evaluation; changed in place.

    Returns:
        The same config.
    """
    for key, methods in method_groups(config).items():
        buildable = {}
        for name, method in methods.items():
            if all(path.is_file() for path in explainers({name: method})):
                buildable[name] = method
        config[key] = buildable
    return config


def forwarded(arguments: Sequence[str], name: str) -> list[str]:
    """Those command-line arguments that hold for the explanandum's run too: data, devices, precision, logging.

    Args:
        arguments: Arguments of the Explainer's run.
        name: Name of the explanandum's run, to see whether it was stopped and can go on.

    Returns:
        Arguments for the explanandum's run.

    Example:
        >>> forwarded(["--data.init_args.root", "x", "--model.init_args.lr=1", "--trainer.devices=1"], "none")
        ['--data.init_args.root', 'x', '--trainer.devices=1']
    """
    shared: list[str] = []
    taking = False
    for argument in arguments:
        if argument.startswith("-"):
            key = argument.removeprefix("--").split("=")[0]
            taking = any(key == f or key.startswith(f"{f}.") for f in _FORWARDED)
        if taking:
            shared.append(argument)
    if can_go_on(RUNS / name):
        shared += ["--ckpt_path", "auto"]
    return shared
