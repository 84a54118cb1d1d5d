"""What `explainer explain --method` does: photographs one after the other, by a method, whatever the classifier.

Apart from explain.py, because an Explainer does not wait for the imports of all methods.
"""

import argparse

from explainer.attribution import Attribution
from explainer.cli.explain import Command, result_folder
from explainer.cli.photographs import Photograph
from explainer.files import for_terminal
from explainer.inference.arrays import save_arrays
from explainer.inference.by_method import build_method, explain, has_published_weights
from explainer.inference.explain import Explainer
from explainer.networks import Explanandum
from explainer.networks.devices import choose_device


class MethodCommand(Command):
    """Explains photographs by a method, whatever the classifier.

    Args:
        explanandum: Classifier, on its device.
        method: Method.
        options: Options of the command line.
    """

    columns = ("folder", "class", "probability")

    def __init__(self, explanandum: Explanandum, method: Attribution, options: argparse.Namespace) -> None:
        self._begin(options)
        self.explanandum = explanandum
        self.method = method
        self.name = type(method).__name__
        self.arrays = f"{self.name}.{options.arrays or 'npz'}"
        self.files = f"{self.name}.png (the map over the photograph) and {self.arrays} (the map in numbers)"

    def _explain(self, photo: Photograph) -> None:
        """Explain a photograph, write the files, and note its row of the table."""
        result = explain(self.explanandum, photo.file, self.method, self._target(photo))
        folder = result_folder(self.options.out, photo.file, self._taken)
        folder.mkdir(parents=True, exist_ok=True)
        result.save(folder / f"{self.name}.png")
        numbers = {"attribution": result.attribution[0, 0].detach().cpu(), "probabilities": result.probabilities}
        save_arrays(numbers, result.classes, folder / self.arrays)
        self.done.append(folder)
        self.table.add_row(for_terminal(folder.name), for_terminal(result.label[:60]), f"{result.probability:.3f}")

    def _target(self, photo: Photograph) -> int | str | None:
        """Return the class that is asked for: a number is one, unless a class has it as its name."""
        target: str | None = photo.target or self.options.target
        if target is None or target in self.explanandum.classes or not target.isdecimal():
            return target
        return int(target)


def command_of(options: argparse.Namespace) -> Command:
    """Build what explains the photographs by a method.

    Args:
        options: Options of the command line.

    Raises:
        InputError: The checkpoint, the network or the method cannot be used.
    """
    method = build_method(options.method, {})
    device = choose_device(options.device)
    if options.network is None:
        explainer = Explainer(options.ckpt_path, device, options.allow)
        return MethodCommand(explainer.explanandum, method, options)
    weights = options.weights
    if weights == "DEFAULT" and not has_published_weights(options.network):
        weights = None
    explanandum = Explanandum(options.network, weights=weights, allow=options.allow).to(device)
    return MethodCommand(explanandum, method, options)
