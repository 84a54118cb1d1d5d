"""Explain photographs from the command line.

python -m explainer photo.jpg [--ckpt_path checkpoints/x.ckpt] [--out explained]   by a trained Explainer
python -m explainer photos/ --network resnet50 --method FastCAM                    any classifier, by any method
python -m explainer export checkpoints/x.ckpt --format onnx                        as one file, for other programs
"""

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
    from explainer.attribution import Attribution
    from explainer.inference.explain import Explainer
    from explainer.networks import Explanandum

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
    parser = _Parser("python -m explainer", description="Explain photographs by a trained Explainer, or by a method.")
    parser.add_argument("photos", nargs="+", type=Path, help="image files, or folders of them")
    words = "explain by this method, such as FastCAM, GradCAM or RISE (with --network: FastCAM)"
    parser.add_argument("--method", default=None, help=words)
    words = "its classifier: a torchvision name, timm/NAME, or a dotted path; by default the checkpoint's"
    parser.add_argument("--network", default=None, help=words)
    parser.add_argument("--weights", default="DEFAULT", help="its weights: a name or a file (the published ones)")
    parser.add_argument("--target", default=None, help="class to explain, by name or number (the most probable one)")
    words = "an Explainer's checkpoint, checkpoints/<config>.ckpt; by default the one that the project comes with"
    parser.add_argument("--ckpt_path", type=Path, default=SHIPPED, help=words)
    parser.add_argument("--out", type=Path, default=Path("explained"), help="folder of the results (explained)")
    parser.add_argument("--threshold", type=_share, default=0.5, help="probability from which a class is present (0.5)")
    parser.add_argument("--top", type=_count, default=1, help="classes to show when none reaches the threshold (1)")
    parser.add_argument("--device", default=None, help="cpu, cuda, …; by default the GPU when there is one")
    parser.add_argument("--allow", nargs="*", default=[], help="packages that its classifier may come from")
    options = parser.parse_args(args)
    if options.network is not None and options.method is None:
        options.method = "FastCAM"
    if options.target is not None and options.method is None:
        parser.error("--target is for a method: name one with --method")
    return options


def photographs(paths: list[Path]) -> list[Path]:
    """List the files that are given, and the pictures in the folders that are given.

    Args:
        paths: Files and folders; a folder without pictures stays in the list, and is refused when its turn comes.
    """
    from PIL import Image

    endings = Image.registered_extensions()
    photos = []
    for path in paths:
        inside = []
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in endings)
        photos += inside or [path]
    return photos


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

    columns: tuple[str, ...] = ("folder", "class", "probability", "kept", "removed", "area")
    """Headings of the table that is printed."""
    files = "overview.png, masks, overlays, probabilities.json"
    """What a photograph's folder holds."""

    def __init__(self, explainer: "Explainer", options: argparse.Namespace) -> None:
        from explainer.inference.saving import class_file_names

        self._begin(options)
        self.explainer = explainer
        self._names = class_file_names(explainer.classes)

    def _begin(self, options: argparse.Namespace) -> None:
        """Take the options, and begin with nothing done."""
        from rich.table import Table

        self.options = options
        self.table = Table(*self.columns)
        self.done: list[Path] = []
        self.failed: list[Path] = []
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
        words = f"written to {printable(str(self.options.out))}: a folder a photograph, with {self.files}"
        try:
            Console(width=None if sys.stdout.isatty() else 100).print(self.table)
            print(words, flush=True)
        except (OSError, ValueError) as error:
            mute(sys.stdout)
            say(f"error: cannot print the table ({plain_words(error)}); the results are in {self.options.out}")
            return False
        return True


class MethodCommand(Command):
    """Explains photographs by a method, whatever the classifier.

    Args:
        explanandum: Classifier, on its device.
        method: Method.
        options: Options of the command line.
    """

    columns = ("folder", "class", "probability")

    def __init__(self, explanandum: "Explanandum", method: "Attribution", options: argparse.Namespace) -> None:
        self._begin(options)
        self.explanandum = explanandum
        self.method = method
        self.name = type(method).__name__
        self.files = f"{self.name}.png (the map over the photograph) and {self.name}.npz (the map in numbers)"

    def _explain(self, photo: Path) -> None:
        """Explain a photograph, write the files, and note its row of the table."""
        import numpy as np

        from explainer.files import replacing
        from explainer.inference.by_method import explain

        result = explain(self.explanandum, photo, self.method, self._target())
        folder = result_folder(self.options.out, photo, self._taken)
        folder.mkdir(parents=True, exist_ok=True)
        result.save(folder / f"{self.name}.png")
        with replacing(folder / f"{self.name}.npz") as file:
            attribution = result.attribution[0, 0].numpy()
            np.savez_compressed(file, attribution=attribution, probabilities=result.probabilities.numpy())
        self.done.append(folder)
        self.table.add_row(for_terminal(folder.name), for_terminal(result.label[:60]), f"{result.probability:.3f}")

    def _target(self) -> int | str | None:
        """Return the class that is asked for: a number is one, unless a class has it as its name."""
        target = self.options.target
        if target is None or target in self.explanandum.classes or not target.isdigit():
            return target
        return int(target)


def command_of(options: argparse.Namespace) -> Command:
    """Build what explains the photographs.

    Args:
        options: Options of the command line.

    Raises:
        InputError: The checkpoint, the network or the method cannot be used.
    """
    if options.method is None:
        from explainer.inference.explain import Explainer

        return Command(Explainer(options.ckpt_path, options.device, options.allow), options)
    from explainer.inference.by_method import build_method, has_published_weights
    from explainer.networks import Explanandum
    from explainer.networks.devices import choose_device

    method = build_method(options.method, {})
    device = choose_device(options.device)
    if options.network is None:
        from explainer.inference.explain import Explainer

        return MethodCommand(Explainer(options.ckpt_path, device, options.allow).explanandum, method, options)
    weights = options.weights
    if weights == "DEFAULT" and not has_published_weights(options.network):
        weights = None
    explanandum = Explanandum(options.network, weights=weights, allow=options.allow).to(device)
    return MethodCommand(explanandum, method, options)


def main(args: list[str] | None = None) -> int:
    """Explain every photograph; those that cannot be explained are named.

    Args:
        args: Command-line arguments; None takes the process's.

    Returns:
        The exit status: 0, 1 when a photograph or the output failed, 2 when nothing could begin, 130 at Ctrl-C.
    """
    has_output = open_streams()
    given = sys.argv[1:] if args is None else args
    if given[:1] == ["export"]:
        from explainer.cli.export import main as export

        return export(given[1:])
    # the heavy imports come later: --help and a wrong option do not wait for them
    options = arguments(args)
    command = None
    try:
        options.photos = photographs(options.photos)
        prepared = command_of(options)
        make_writable(options.out, "name another folder with --out")
        command = prepared
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
