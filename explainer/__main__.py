"""python -m explainer photo.jpg --ckpt_path checkpoints/x.ckpt --out explained: explain photographs."""

import argparse
import errno
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from explainer.cli.terminal import mute, open_streams, say
from explainer.errors import InputError, plain_words
from explainer.files import file_name, for_terminal, make_writable, printable

if TYPE_CHECKING:
    from explainer.inference.explain import Explainer

SHIPPED = Path(__file__).resolve().parent.parent / "checkpoints" / "voc_lite0.ckpt"
"""An Explainer of animals and people in photographs, trained on VOC 2012."""
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
"""Errors of a disk after which the next photograph would not fare better."""


class _Parser(argparse.ArgumentParser):
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


# argparse calls what a function refuses by the function's name: "invalid number value: 'a'"
_share.__name__ = "number"
_count.__name__ = "whole number"


def arguments(args: list[str] | None) -> argparse.Namespace:
    """Parse the command line.

    Args:
        args: Command-line arguments; None takes the process's.
    """
    parser = _Parser("python -m explainer", description="Explain photographs with a trained Explainer.")
    parser.add_argument("photos", nargs="+", type=Path, help="image files")
    words = "an Explainer's checkpoint, checkpoints/<config>.ckpt; by default the one that the project comes with"
    parser.add_argument("--ckpt_path", type=Path, default=SHIPPED, help=words)
    parser.add_argument("--out", type=Path, default=Path("explained"), help="folder of the results (explained)")
    parser.add_argument("--threshold", type=_share, default=0.5, help="probability from which a class is present (0.5)")
    parser.add_argument("--top", type=_count, default=1, help="classes to show when none reaches the threshold (1)")
    parser.add_argument("--device", default=None, help="cpu, cuda, …; by default the GPU when there is one")
    parser.add_argument("--allow", nargs="*", default=[], help="packages that its classifier may come from")
    return parser.parse_args(args)


def result_folder(out: Path, photo: Path, taken: set[str]) -> Path:
    """Return a folder for a photograph that no other one of this call has: photographs may share a name.

    Args:
        out: Folder of all results.
        photo: File of the photograph.
        taken: Names given before, without case; the new one is added.

    Example:
        >>> names = set()
        >>> [result_folder(Path("out"), Path(p), names).name for p in ("a/x.jpg", "b/x.jpg", "..jpg")]
        ['x', 'x_2', '_']
    """
    stem = photo.stem
    if not stem.isprintable() or stem.startswith("."):  # a name that a terminal cannot show, or a hidden folder
        stem = file_name(stem)
    name = stem
    number = 1
    # compared without case, as some file systems do
    while name.casefold() in taken:
        number += 1
        name = f"{stem}_{number}"
    taken.add(name.casefold())
    return out / name


class Command:
    """Explains photographs one after the other; a photograph that fails does not touch the others.

    Args:
        explainer: Explainer of all photographs.
        options: Options of the command line.
    """

    def __init__(self, explainer: "Explainer", options: argparse.Namespace) -> None:
        from rich.table import Table

        from explainer.inference.saving import class_file_names

        self.explainer = explainer
        self.options = options
        self.table = Table("folder", "class", "probability", "kept", "removed", "area")
        self.done: list[Path] = []
        self.failed: list[Path] = []
        self._names = class_file_names(explainer.classes)
        self._taken: set[str] = set()

    def explain_all(self) -> None:
        """Explain every photograph, or name what is wrong with it."""
        from rich.console import Console
        from rich.progress import track

        # on stderr: what is piped on is the table alone
        console = Console(stderr=True)
        for photo in track(self.options.photos, "explaining", console=console, disable=not console.is_terminal):
            try:
                self._explain(photo)
            except InputError as error:
                self._refuse(photo, str(error))
            except OSError as error:
                self._refuse(photo, f"{photo}: {plain_words(error)}")
                # an unreadable photograph concerns no other one; a full disk concerns all that come after it
                if error.errno in _NO_ROOM:
                    say("error: the photographs after it are left out")
                    return
            except Exception as error:
                self._refuse(photo, f"{photo}: {plain_words(error)}")

    def _refuse(self, photo: Path, words: str) -> None:
        """Note that a photograph failed, and say why."""
        self.failed.append(photo)
        say(f"error: {words}")

    def _explain(self, photo: Path) -> None:
        """Explain a photograph, write the files, and note its rows of the table."""
        from explainer.inference.saving import save

        explanation = self.explainer.explain(photo, self.options.threshold, self.options.top)
        folder = result_folder(self.options.out, photo, self._taken)
        areas = save(explanation, folder, self._names, self.explainer.explanandum.mean_colour.cpu())
        self.done.append(folder)
        for index, area in areas.items():
            numbers = (
                explanation.probabilities[index],
                explanation.through_mask[index],
                explanation.through_complement[index],
                area,
            )
            shown = [f"{float(number):.3f}" for number in numbers]
            # a class name may be a long sentence, which would fill the screen
            name = for_terminal(explanation.classes[index][:60])
            self.table.add_row(for_terminal(folder.name), name, *shown)

    def report(self) -> bool:
        """Print the table of what was explained.

        Returns:
            Whether it could be printed.
        """
        from rich.console import Console

        if not self.done:
            return True
        words = f"written to {printable(str(self.options.out))}: a folder a photograph, with overview.png, masks, "
        try:
            Console(width=None if sys.stdout.isatty() else 100).print(self.table)
            print(f"{words}overlays, probabilities.json", flush=True)
        except (OSError, ValueError) as error:
            mute(sys.stdout)
            say(f"error: cannot print the table ({plain_words(error)}); the results are in {self.options.out}")
            return False
        return True


def main(args: list[str] | None = None) -> int:
    """Explain every photograph; those that cannot be explained are named.

    Args:
        args: Command-line arguments; None takes the process's.

    Returns:
        The exit status: 0, 1 when a photograph or the output failed, 2 when nothing could begin, 130 at Ctrl-C.
    """
    has_output = open_streams()
    # the heavy imports come later: --help and a wrong option do not wait for them
    options = arguments(args)
    command = None
    try:
        from explainer.inference.explain import Explainer

        explainer = Explainer(options.ckpt_path, options.device, options.allow)
        make_writable(options.out, "name another folder with --out")
        command = Command(explainer, options)
        command.explain_all()
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
        say(f"stopped: {done} of {len(options.photos)} photographs are explained, in {options.out}")
        return 130
    if command.failed or not printed or not has_output:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
