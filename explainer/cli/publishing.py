"""Write an Explainer as the Hugging Face Hub keeps it, with its model card, and upload it where that is asked for.

python -m explainer publish checkpoints/voc_lite0.ckpt published/voc_lite0 [--push owner/name]
"""

import argparse
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import yaml

from explainer.cli.options import publish_options
from explainer.cli.terminal import open_streams, run
from explainer.errors import InputError, one_line
from explainer.files import digest, read_text
from explainer.inference.explain import Explainer
from explainer.inference.hub import check_name, upload, weights_file
from explainer.inference.model_card import ModelCard, card_from, read_scores


def read_card(path: Path, checkpoint: Path) -> ModelCard:
    """Read what a card's author says of a checkpoint from a YAML file.

    Args:
        path: YAML file with the fields of `ModelCard`, and `checkpoint_sha256` if they are of one checkpoint only.
        checkpoint: Checkpoint that the card is for.

    Raises:
        InputError: The file cannot be read, is no YAML, has a field that a card does not have, or is of another
            checkpoint.
    """
    try:
        values = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise InputError(f"{path} is no YAML: {one_line(error)}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} must hold the fields of a model card, such as title, data and limits")
    sha256 = values.pop("checkpoint_sha256", None)
    # a training replaces its checkpoint, and the numbers of the earlier one would stay in the card
    if sha256 is not None and sha256 != digest(weights_file(checkpoint)):
        raise InputError(f"{path} is about another checkpoint than {checkpoint}: give another card with --card")
    return card_from(values, path)


def card_of(options: argparse.Namespace) -> ModelCard:
    """Return the model card that the options ask for.

    Args:
        options: Options of the command line.
    """
    path = options.card
    beside = options.checkpoint.with_suffix(".card.yaml")
    if path is None and beside.is_file():
        path = beside
    card = ModelCard() if path is None else read_card(path, options.checkpoint)
    if options.results is not None:
        card = replace(card, scores=read_scores(options.results, options.method))
    return card


def publish_folder(options: argparse.Namespace) -> None:
    """Write the folder of a checkpoint, and upload it where that is asked for.

    Args:
        options: Options of the command line.

    Raises:
        InputError: The checkpoint cannot be published.
    """
    if options.push is not None:
        check_name(options.push)
    card = replace(card_of(options), repository=options.push or "")
    Explainer(options.checkpoint, "cpu", options.allow).save_pretrained(options.folder, card)
    print(f"{options.folder}: config.json, model.safetensors and README.md, the model card", flush=True)
    if options.push is not None:
        print(upload(options.folder, options.push, private=options.private))


def main(args: list[str] | None = None) -> int:
    """Publish a checkpoint.

    Args:
        args: Command-line arguments; None takes the process's.

    Returns:
        The exit status: 0, 2 when the checkpoint cannot be published, 130 at Ctrl-C.
    """
    open_streams()
    options = publish_options(sys.argv[1:] if args is None else args)
    return run(partial(publish_folder, options), unforeseen=2, stopped="stopped")


if __name__ == "__main__":
    sys.exit(main())
