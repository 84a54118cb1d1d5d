"""The program `explainer`: one command for each thing that it does.

explainer photo.jpg [--ckpt_path checkpoints/x.ckpt] [--out explained]   explain by a trained Explainer
explainer photos/ --network resnet50 --method FastCAM                    any classifier, by any method
explainer train --config voc_lite0.yaml                                  as train.py does
explainer evaluate --config voc_lite0.yaml                               as evaluate.py does
explainer serve                                                          a page on this machine
explainer export checkpoints/x.ckpt --format onnx                        one file, for other programs

`python -m explainer` is the same. A photograph whose file has a command's name is given as ./train.
"""

import sys
from collections.abc import Callable
from functools import partial

from explainer.cli.options import explain_options, serve_options
from explainer.cli.terminal import open_streams, say
from explainer.errors import InputError, plain_words
from explainer.files import make_writable

# Imports inside the functions: PyTorch and Lightning take seconds, for which --help and a wrong option do not wait.


def explain_photographs(args: list[str]) -> int:
    """Explain every photograph; those that cannot be explained are named.

    Args:
        args: Command-line arguments, without the command.

    Returns:
        The exit status: 0, 1 when a photograph or the output failed, 2 when nothing could begin, 130 at Ctrl-C.
    """
    has_output = open_streams()
    options = explain_options(args)
    count = len(options.photos)
    command = None
    try:
        from explainer.cli.explain import photographs_of

        if options.method is None:
            from explainer.cli.explain import command_of
        else:
            from explainer.cli.explain_by_method import command_of

        photos = photographs_of(options)
        count = len(photos)
        prepared = command_of(options)
        make_writable(options.out, "name another folder with --out")
        command = prepared
        command.explain_all(photos)
        printed = command.report()
    except InputError as error:
        say(f"error: {error}")
        return 2
    except Exception as error:
        say(f"error: {plain_words(error)}")
        if command is None:
            return 2
        return 1
    except KeyboardInterrupt:
        done = len(command.done) if command else 0
        say(f"stopped: {done} of {count} photographs are explained, in {options.out}")
        return 130
    if command.failed or not printed or not has_output:
        return 1
    return 0


def train_config(args: list[str]) -> int:
    """Train what a config names.

    Args:
        args: Command-line arguments, without the command.

    Raises:
        SystemExit: Always, with the exit status.
    """
    try:
        from explainer.cli.evaluate import run
        from explainer.cli.train import train
    except KeyboardInterrupt:
        return stopped()
    return run(partial(train, args))


def evaluate_config(args: list[str]) -> int:
    """Evaluate what a config names.

    Args:
        args: Command-line arguments, without the command.

    Raises:
        SystemExit: Always, with the exit status.
    """
    try:
        from explainer.cli.evaluate import evaluate, run
    except KeyboardInterrupt:
        return stopped()
    return run(partial(evaluate, args))


def serve_page(args: list[str]) -> int:
    """Explain photographs on a page in the browser, until Ctrl-C.

    Args:
        args: Command-line arguments, without the command.

    Returns:
        The exit status: 2 when the page cannot be served, 130 at Ctrl-C.
    """
    open_streams()
    options = serve_options(args)
    try:
        from explainer.cli.serving.server import serve

        serve(options)
    except InputError as error:
        say(f"error: {error}")
    except Exception as error:
        say(f"error: {plain_words(error)}")
    except KeyboardInterrupt:
        return stopped()
    return 2


def export_checkpoint(args: list[str]) -> int:
    """Write an Explainer as one file for other programs.

    Args:
        args: Command-line arguments, without the command.

    Returns:
        The exit status.
    """
    open_streams()
    try:
        from explainer.cli.export import main as export
    except KeyboardInterrupt:
        return stopped()
    return export(args)


def stopped() -> int:
    """Say that Ctrl-C ended a command that leaves nothing behind, and return its exit status."""
    say("stopped")
    return 130


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "explain": explain_photographs,
    "train": train_config,
    "evaluate": evaluate_config,
    "serve": serve_page,
    "export": export_checkpoint,
}
"""Command → what it runs."""


def main(args: list[str] | None = None) -> int:
    """Run a command; without one, explain photographs.

    Args:
        args: Command-line arguments; None takes the process's.

    Returns:
        The exit status.

    Raises:
        SystemExit: --help was asked for, an option is wrong, or the command trains or evaluates.
    """
    words = sys.argv[1:] if args is None else list(args)
    if words and words[0] in COMMANDS:
        return COMMANDS[words[0]](words[1:])
    return explain_photographs(words)


if __name__ == "__main__":
    sys.exit(main())
