"""The options of the commands that take no config; nothing heavy is imported: --help and errors come at once."""

import argparse
import math
import sys
from pathlib import Path
from typing import NoReturn

from explainer.cli.paths import SHIPPED
from explainer.cli.terminal import say

COMMANDS = {
    "explain": "explain photographs; so does this program without any command",
    "train": "train what a config names: explainer train --config voc_lite0.yaml",
    "evaluate": "score methods on a data set: explainer evaluate --config voc_lite0.yaml",
    "audit": "look for shortcuts in a whole data set: explainer audit photos/ --ckpt_path x.ckpt",
    "serve": "explain photographs on a page in the browser, on this machine alone",
    "export": "write an Explainer as one file for other programs: explainer export checkpoints/x.ckpt",
    "publish": "write an Explainer and its model card for the Hugging Face Hub",
    "rows": "write the rows of results as JSON lines: explainer rows results/voc_lite0",
}
"""Commands of the program, and what each does."""
EXPORT_FORMATS = ("onnx", "pt2")
"""Formats of `explainer.inference.exporting`, which a --help does not wait for."""
MOST_MEGABYTES = 32
"""Size of a photograph that the page takes, unless another one is asked for; a camera's JPEG has some 10."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong; the exit status is 2."""
        say(f"error: {message} (see --help)")
        sys.exit(2)


def _share(text: str) -> float:
    """Read a number in [0, 1]."""
    value = float(text)
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise argparse.ArgumentTypeError(f"must be from 0 to 1, got {text}")
    return value


def _count(text: str) -> int:
    """Read a whole number from 1 on."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return value


def _number_from_0(text: str) -> int:
    """Read a whole number from 0 on."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, got {text}")
    return value


def _port(text: str) -> int:
    """Read the number of a port; 0 lets the system choose one that is free."""
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"must be from 0 to 65535, got {text}")
    return value


# argparse calls what a function refuses by the function's name: "invalid number value: 'a'"
_share.__name__ = "number"
_count.__name__ = "whole number"
_number_from_0.__name__ = "whole number"
_port.__name__ = "port"


def _add_checkpoint_options(parser: argparse.ArgumentParser, top: bool = True) -> None:
    """Add the options that say by which Explainer, and from which probability on."""
    words = "an Explainer's checkpoint, checkpoints/<config>.ckpt; by default the one that the project comes with"
    parser.add_argument("--ckpt_path", type=Path, default=SHIPPED, help=words)
    parser.add_argument("--threshold", type=_share, default=0.5, help="probability from which a class is present (0.5)")
    if top:
        parser.add_argument("--top", type=_count, default=1, help="classes to show when none reaches the threshold (1)")
    parser.add_argument("--device", default=None, help="cpu, cuda, …; by default the GPU when there is one")
    parser.add_argument("--allow", nargs="*", default=[], help="packages that its classifier may come from")


def explain_options(args: list[str]) -> argparse.Namespace:
    """Parse the command line of `explain`.

    Args:
        args: Command-line arguments, without the command.
    """
    listed = "\n".join(f"  {name:10}{words}" for name, words in COMMANDS.items())
    parser = Parser(
        "explainer",
        description="Explain photographs by a trained Explainer, or by a method.",
        epilog=f"commands, in place of the photographs; each has a --help:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    words = "image files, folders of them, or CSV files that list them (column path, perhaps target)"
    parser.add_argument("photos", nargs="+", type=Path, help=words)
    words = "explain by this method, such as FastCAM, GradCAM or RISE (with --network: FastCAM)"
    parser.add_argument("--method", default=None, help=words)
    words = "its classifier: a torchvision name, timm/NAME, or a dotted path; by default the checkpoint's"
    parser.add_argument("--network", default=None, help=words)
    parser.add_argument("--weights", default="DEFAULT", help="its weights: a name or a file (the published ones)")
    parser.add_argument("--target", default=None, help="class to explain, by name or number (the most probable one)")
    parser.add_argument("--out", type=Path, default=Path("explained"), help="folder of the results (explained)")
    words = "write masks and probabilities in numbers too; a method writes npz unless told otherwise"
    parser.add_argument("--arrays", choices=("npz", "safetensors"), default=None, help=words)
    _add_checkpoint_options(parser)
    options = parser.parse_args(args)
    if options.network is not None and options.method is None:
        options.method = "FastCAM"
    if options.target is not None and options.method is None:
        parser.error("--target is for a method: name one with --method")
    return options


def audit_options(args: list[str]) -> argparse.Namespace:
    """Parse the command line of `audit`.

    Args:
        args: Command-line arguments, without the command.
    """
    words = "Explain a whole data set at the speed of inference, and look for shortcuts of the classifier."
    parser = Parser("explainer audit", description=words)
    words = "a folder of images, whose folders may bear the classes' names, or a config with a data set"
    parser.add_argument("data", type=Path, help=words)
    words = "split of a config's data set (val)"
    parser.add_argument("--split", choices=("train", "val", "test"), default="val", help=words)
    words = "the Explainer of a second classifier of these classes, to compare with"
    parser.add_argument("--versus", type=Path, default=None, metavar="CHECKPOINT", help=words)
    words = "explain by this method in place of the Explainer, such as GradCAM, which takes longer"
    parser.add_argument("--method", default=None, help=words)
    words = "its classifier: a torchvision name, timm/NAME, or a dotted path; by default the checkpoint's"
    parser.add_argument("--network", default=None, help=words)
    parser.add_argument("--weights", default="DEFAULT", help="its weights: a name or a file (the published ones)")
    words = "folder of the results (audited); a stopped audit goes on there"
    parser.add_argument("--out", type=Path, default=Path("audited"), help=words)
    parser.add_argument("--limit", type=_count, default=None, help="images at most, drawn at random (all)")
    words = "also ask the classifier about what each mask keeps and leaves: two more passes"
    parser.add_argument("--masked", action="store_true", help=words)
    parser.add_argument("--batch_size", type=_count, default=32, help="images at once (32)")
    words = "processes that read images (one a core, at most 8, or the config's)"
    parser.add_argument("--workers", type=_number_from_0, default=None, help=words)
    parser.add_argument("--seed", type=_number_from_0, default=0, help="seed of the order of the images (0)")
    _add_checkpoint_options(parser, top=False)
    options = parser.parse_args(args)
    if options.network is not None and options.method is None:
        parser.error("--network is for a method: name one with --method")
    if options.versus is not None and options.method is not None:
        parser.error("--versus compares two Explainers: leave out --method")
    return options


def serve_options(args: list[str]) -> argparse.Namespace:
    """Parse the command line of `serve`.

    Args:
        args: Command-line arguments, without the command.
    """
    words = "Explain photographs on a page in the browser. Only this machine can reach the page, and nothing is stored."
    parser = Parser("explainer serve", description=words)
    parser.add_argument("--port", type=_port, default=8765, help="port of the page; 0 takes a free one (8765)")
    words = f"largest photograph that is taken, in megabytes ({MOST_MEGABYTES})"
    parser.add_argument("--most_megabytes", type=_count, default=MOST_MEGABYTES, help=words)
    _add_checkpoint_options(parser)
    return parser.parse_args(args)


def export_options(args: list[str]) -> argparse.Namespace:
    """Parse the command line of `export`.

    Args:
        args: Command-line arguments, without the command.
    """
    parser = Parser("explainer export", description="Write a trained Explainer as one file for other programs.")
    parser.add_argument("checkpoint", type=Path, help="an Explainer's checkpoint, or a folder of save_pretrained")
    words = "onnx, or pt2 for torch.export (onnx)"
    parser.add_argument("--format", choices=EXPORT_FORMATS, default="onnx", help=words)
    parser.add_argument("--out", type=Path, default=None, help="file to write; by default beside the checkpoint")
    words = "compute in eight bits, with ranges from the photographs in this folder"
    parser.add_argument("--int8", type=Path, default=None, metavar="PHOTOS", help=words)
    parser.add_argument("--allow", nargs="*", default=[], help="packages that its classifier may come from")
    return parser.parse_args(args)


def publish_options(args: list[str]) -> argparse.Namespace:
    """Parse the command line of `publish`.

    Args:
        args: Command-line arguments, without the command.
    """
    words = "Write an Explainer and its model card as the Hugging Face Hub keeps them, and upload them if asked for."
    parser = Parser("explainer publish", description=words)
    parser.add_argument("checkpoint", type=Path, help="an Explainer's checkpoint")
    parser.add_argument("folder", type=Path, help="folder for config.json, model.safetensors and README.md")
    words = "a YAML file with the card's texts; by default CHECKPOINT.card.yaml, if there is one"
    parser.add_argument("--card", type=Path, default=None, help=words)
    parser.add_argument("--results", type=Path, default=None, help="results.json of an evaluation, for the scores")
    parser.add_argument("--method", default="Explainer", help="name of the method in the results (Explainer)")
    parser.add_argument("--push", default=None, metavar="OWNER/NAME", help="upload it to this repository of the Hub")
    parser.add_argument("--private", action="store_true", help="let a new repository be private")
    parser.add_argument("--allow", nargs="*", default=[], help="packages that its classifier may come from")
    return parser.parse_args(args)


def rows_options(args: list[str]) -> argparse.Namespace:
    """Parse the command line of `rows`.

    Args:
        args: Command-line arguments, without the command.
    """
    words = "Write all rows of results as JSON lines, those too that are held in Parquet files."
    parser = Parser("explainer rows", description=words)
    parser.add_argument("folder", type=Path, help="folder of the results, such as results/voc_lite0")
    words = "file to write; by default all_rows.jsonl in that folder"
    parser.add_argument("--out", type=Path, default=None, help=words)
    return parser.parse_args(args)
