"""The program `explainer`: one command for each thing that it does.

explainer photo.jpg [--ckpt_path checkpoints/x.ckpt] [--out explained]   explain by a trained Explainer
explainer photos/ --network resnet50 --method FastCAM                    any classifier, by any method
explainer train --config voc_lite0.yaml                                  as train.py does
explainer evaluate --config voc_lite0.yaml                               as evaluate.py does
explainer audit photos/ --ckpt_path checkpoints/x.ckpt                   shortcuts in a whole data set
explainer serve                                                          a page on this machine
explainer export checkpoints/x.ckpt --format onnx                        one file, for other programs
explainer publish checkpoints/x.ckpt folder                              with a model card, for the Hugging Face Hub
explainer rows results/voc_lite0                                         all rows of results as JSON lines

`python -m explainer` is the same. A photograph whose file has a command's name is given as ./train.
"""

import importlib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from explainer.cli.options import (
    audit_options,
    explain_options,
    export_options,
    publish_options,
    rows_options,
    serve_options,
)
from explainer.cli.terminal import open_streams, run
from explainer.errors import working
from explainer.files import make_writable
from explainer.stopping import Stopped, exit_status

# Imports inside the functions: PyTorch and Lightning take seconds, for which --help and a wrong option do not wait.
# They are part of the commands that `run` runs, so that Ctrl-C in those seconds is a line, too.


def explain_photographs(args: list[str]) -> int:
    """Explain every photograph; those that cannot be explained are named.

    Args:
        args: Command-line arguments, without the command.

    Returns:
        The exit status: 0, 1 when a photograph or the output failed, 2 when nothing could begin, 130 at Ctrl-C.
    """
    has_output = open_streams()
    options = explain_options(args)

    def explain() -> dict[str, Any]:
        photos = options.photos
        command = None
        try:
            from explainer.cli.explain import photographs_of

            if options.method is None:
                from explainer.cli.explain import command_of
            else:
                from explainer.cli.explain_by_method import command_of

            photos = photographs_of(options)
            prepared = command_of(options)
            make_writable(options.out, "name another folder with --out")
            command = prepared
            with working(f"what is done is in {options.out}"):
                command.explain_all(photos)
                printed = command.report()
        except KeyboardInterrupt as error:
            done = len(command.done) if command else 0
            words = f"stopped: {done} of {len(photos)} photographs are explained, in {options.out}"
            raise Stopped(words, exit_status(error) - 128) from None
        return {"failed": command.failed or not printed or not has_output}

    return run(explain, unforeseen=2)


def work_by_config(name: str, args: list[str]) -> int:
    """Do what a config names.

    Args:
        name: Command, "train" or "evaluate".
        args: Command-line arguments, without the command.

    Returns:
        The exit status.
    """

    def work() -> object:
        try:
            # a module of the command line bears the name of what it does
            module = importlib.import_module(f"explainer.cli.{name}")
        except KeyboardInterrupt:
            raise Stopped("stopped") from None  # nothing is done that could be kept
        return getattr(module, name)(args)

    return run(work)


def work_by_options(
    parse: Callable[[list[str]], Any],
    module: str,
    work: str,
    args: list[str],
    *,
    stopped: str = "stopped",
) -> int:
    """Do what options name, until it is done or Ctrl-C.

    Args:
        parse: Function from the arguments to the options.
        module: Module of the command line, below `explainer.cli`.
        work: Function of that module, which is called with the options.
        args: Command-line arguments, without the command.
        stopped: Words for Ctrl-C; "" says that the command goes on from what is done.

    Returns:
        The exit status: 2 when it cannot be done, 1 when a part of it failed, 130 at Ctrl-C.
    """
    open_streams()
    options = parse(args)
    # the import is part of what runs: Ctrl-C in its seconds is a line, too
    return run(
        lambda: getattr(importlib.import_module(f"explainer.cli.{module}"), work)(options),
        unforeseen=2,
        stopped=stopped,
    )


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "explain": explain_photographs,
    "train": partial(work_by_config, "train"),
    "evaluate": partial(work_by_config, "evaluate"),
    "audit": partial(work_by_options, audit_options, "audit", "audit_data", stopped=""),
    "serve": partial(work_by_options, serve_options, "serving.server", "serve"),
    "export": partial(work_by_options, export_options, "export", "export_file"),
    "publish": partial(work_by_options, publish_options, "publishing", "publish_folder"),
    "rows": partial(work_by_options, rows_options, "rows", "export_rows"),
}
"""Command → what it runs."""


def main(args: list[str] | None = None) -> int:
    """Run a command; without one, explain photographs.

    Args:
        args: Command-line arguments; None takes the process's.

    Returns:
        The exit status.

    Raises:
        SystemExit: --help was asked for, or an option is wrong.
    """
    words = sys.argv[1:] if args is None else list(args)
    if words and words[0] in COMMANDS:
        return COMMANDS[words[0]](words[1:])
    return explain_photographs(words)


def program() -> int:
    """Run a command as the installed program does, which then finds the Python files of the current folder.

    Python puts the current folder on its path for `python -m explainer`, but not for a program that is installed. A
    network of one's own (`--network my_models.my_network`) would be found by the one and not by the other. The folder
    comes last, so that no file in it takes the place of a package.

    Returns:
        The exit status.

    Raises:
        SystemExit: As for `main`.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    return main()


if __name__ == "__main__":
    sys.exit(main())
