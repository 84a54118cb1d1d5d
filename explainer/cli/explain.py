"""What `explainer explain` does: photographs one after the other, by a trained Explainer."""

import argparse
import errno
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from explainer.cli.photographs import Photograph, photographs
from explainer.cli.terminal import mute, say
from explainer.errors import InputError, plain_words
from explainer.files import file_name, for_terminal, printable
from explainer.inference.arrays import explanation_arrays, save_arrays
from explainer.inference.explain import Explainer
from explainer.inference.saving import class_file_names, save

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
"""Errors of a disk after which the next photograph would not fare better."""


def photographs_of(options: argparse.Namespace) -> list[Photograph]:
    """List the photographs that a command line names.

    Args:
        options: Options of the command line.

    Raises:
        InputError: A CSV cannot be read, or asks for classes where no method is named.
    """
    photos = photographs(options.photos)
    # an Explainer shows the classes present; said once, before the work, as it is of --target
    if options.method is None and any(photo.target is not None for photo in photos):
        raise InputError("the column target of a CSV is for a method: name one with --method")
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

    def __init__(self, explainer: Explainer, options: argparse.Namespace) -> None:
        self._begin(options)
        self.explainer = explainer
        self._names = class_file_names(explainer.classes)
        if options.arrays is not None:
            self.files = f"{self.files}, arrays.{options.arrays} (masks and probabilities in numbers)"

    def _begin(self, options: argparse.Namespace) -> None:
        """Take the options, and begin with nothing done."""
        self.options = options
        self.table = Table(*self.columns)
        self.done: list[Path] = []
        self.failed: list[Path] = []
        self._taken: set[str] = set()

    def explain_all(self, photos: Sequence[Photograph]) -> None:
        """Explain every photograph, or name what is wrong with it.

        Args:
            photos: Photographs, and lines of CSV files that name none.
        """
        # on stderr: what is piped on is the table alone
        console = Console(stderr=True)
        for photo in track(photos, "explaining", console=console, disable=not console.is_terminal):
            if photo.fault:
                self._refuse(photo, photo.fault)
                continue
            try:
                self._explain(photo)
            except InputError as error:
                self._refuse(photo, str(error))
            except OSError as error:
                self._refuse(photo, f"{photo.file}: {plain_words(error)}")
                # an unreadable photograph concerns no other one; a full disk concerns all that come after it
                if error.errno in _NO_ROOM:
                    say("error: the photographs after it are left out")
                    return
            except Exception as error:
                self._refuse(photo, f"{photo.file}: {plain_words(error)}")

    def _refuse(self, photo: Photograph, words: str) -> None:
        """Note that a photograph failed, and say why."""
        self.failed.append(photo.file)
        say(f"error: {words}")

    def _explain(self, photo: Photograph) -> None:
        """Explain a photograph, write the files, and note its rows of the table."""
        explanation = self.explainer.explain(photo.file, self.options.threshold, self.options.top)
        folder = result_folder(self.options.out, photo.file, self._taken)
        if self.options.arrays is not None:
            # before the pictures: probabilities.json, which they end with, says that all files are there
            save_arrays(explanation_arrays(explanation), explanation.classes, folder / f"arrays.{self.options.arrays}")
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


def command_of(options: argparse.Namespace) -> Command:
    """Build what explains the photographs by a trained Explainer.

    Args:
        options: Options of the command line.

    Raises:
        InputError: The checkpoint cannot be used.
    """
    return Command(Explainer(options.ckpt_path, options.device, options.allow), options)
