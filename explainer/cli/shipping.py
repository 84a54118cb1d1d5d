"""Make a checkpoint small enough to be handed on: networks alone, in half precision.

python -m explainer.cli.shipping runs/voc_lite0/best.ckpt checkpoints/voc_lite0.ckpt
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from explainer.cli.options import Parser
from explainer.cli.terminal import open_streams, run
from explainer.errors import InputError
from explainer.files import digest, replacing
from explainer.networks.checkpoint import KEY, read_checkpoint


def half(tensor: Tensor) -> Tensor:
    """Return weights of layers in half precision; vectors, such as those of normalisations, stay as they are.

    Args:
        tensor: Parameter or buffer of a network, of any shape.

    Example:
        >>> half(torch.ones(2, 2)).dtype, half(torch.ones(2)).dtype
        (torch.float16, torch.float32)
    """
    if tensor.dtype != torch.float32 or tensor.squeeze().ndim < 2:
        return tensor
    return tensor.half()


def ship(source: str | Path, out: str | Path) -> str:
    """Write what inference needs of a checkpoint, and nothing else: it cannot go on training.

    Args:
        source: Checkpoint that train.py wrote.
        out: File to write.

    Returns:
        SHA-256 of the file, in hexadecimal digits.

    Raises:
        InputError: The source cannot be used, or a weight is too large for half precision.
    """
    spec, state = read_checkpoint(source)
    small = {name: half(tensor) for name, tensor in state.items()}
    # half precision ends at 65,504: a larger weight would become infinite without a word
    for name, tensor in small.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise InputError(f"{source}: {name!r} has a value that is too large for half precision")
    with replacing(out, sync=True) as partial:
        torch.save({KEY: spec, "state_dict": small}, partial)
    return digest(out)


def ship_file(options: argparse.Namespace) -> None:
    """Ship a checkpoint, and print what was written.

    Args:
        options: Options of the command line.

    Raises:
        InputError: The checkpoint cannot be shipped.
    """
    sha256 = ship(options.source, options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB, sha256 {sha256}")


def main(args: list[str] | None = None) -> int:
    """Ship a checkpoint.

    Args:
        args: Command-line arguments; None takes the process's.

    Returns:
        The exit status: 0, 2 when the checkpoint cannot be shipped, 130 at Ctrl-C.
    """
    open_streams()
    parser = Parser("python -m explainer.cli.shipping", description="Make a checkpoint small.")
    parser.add_argument("source", type=Path, help="a checkpoint that train.py wrote")
    parser.add_argument("out", type=Path, help="the small file to write")
    options = parser.parse_args(args)
    return run(partial(ship_file, options), unforeseen=2, stopped="stopped")


if __name__ == "__main__":
    sys.exit(main())
