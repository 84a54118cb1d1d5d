"""What a class's mask shows where the classifier is right, and where it is wrong.

S. Stalder, N. Perraudin, R. Achanta, F. Perez-Cruz, M. Volpi: What You See is What You Classify: Black Box
Attributions, NeurIPS 2022 (section 3 and supplement C: masks of false positives and of false negatives). An attribution
that is faithful to the classifier shows what misled it: seen through the mask, a wrongly predicted class stays
predicted, and of the complement it does not.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from rich.table import Table
from torch import Tensor

from explainer.attribution import Attribution, Reference
from explainer.data import Batch
from explainer.evaluation.batches import part
from explainer.evaluation.matrix import class_masks
from explainer.evaluation.table import number, two_forms
from explainer.masking import composite
from explainer.networks import Explanandum
from explainer.rendering import Tile, gallery, overlay, to_pil

KINDS = ("true positive", "false positive", "false negative")
"""Of an image and a class; the many classes that are rightly not predicted have no mask here."""
SHORT = dict(zip(KINDS, ("TP", "FP", "FN"), strict=True))
"""As they stand under pictures, where there is little room."""


class Decisions:
    """Masks of single classes, by what became of the classifier's decision.

    Args:
        threshold: Probability from which a class of a multi-label classifier counts as predicted.
        scaled: Whether maps that are masks already are scaled too; the masks of an Explainer never are.
    """

    def __init__(self, threshold: float = 0.5, scaled: bool = True) -> None:
        self.threshold, self.scaled = threshold, scaled

    def kinds(self, explanandum: Explanandum, batch: Batch) -> list[list[tuple[int, str]]]:
        """Sort the classes of each image by what became of them.

        Args:
            explanandum: The frozen classifier, on the batch's device.
            batch: The images.

        Returns:
            An entry an image: classes that are labelled or predicted, and which of `KINDS` each is.
        """
        with torch.no_grad():
            said = explanandum.decided(explanandum(batch.image).float(), self.threshold) > 0
        there = batch.labels > 0
        of_image = []
        for labelled, predicted in zip(there.tolist(), said.tolist(), strict=True):
            named = [kind_of(*pair) for pair in zip(labelled, predicted, strict=True)]
            of_image.append([(index, kind) for index, kind in enumerate(named) if kind is not None])
        return of_image

    def __call__(self, explanandum: Explanandum, method: Attribution | None, batch: Batch) -> list[dict[str, Any]]:
        """What to add to the rows of the images.

        Args:
            explanandum: The frozen classifier.
            method: Makes a mask of a class; references, which look at no class, have nothing here.
            batch: The images, on the explanandum's device.

        Returns:
            An entry an image: a list of its classes, each with its kind, the area of its mask, and the classifier's
            probability of it for the image, for what the mask keeps, and for the complement.
        """
        if method is None or isinstance(method, Reference):
            return [{} for _ in batch.id]
        rows = []
        for n, chosen in enumerate(self.kinds(explanandum, batch)):
            entries = []
            for index, kind in chosen:
                seen = self.seen(explanandum, method, part(batch, [n]), index)
                values = {key: round(float(value), 5) for key, value in seen.items() if key != "mask"}
                entries.append({"class": explanandum.classes[index], "kind": kind} | values)
            rows.append({"decisions": entries})
        return rows

    def seen(self, explanandum: Explanandum, method: Attribution, one: Batch, index: int) -> dict[str, Tensor]:
        """The mask of a class over one image, and what the classifier says of the class with it.

        Args:
            explanandum: The frozen classifier.
            method: Makes the mask.
            one: A batch of one image.
            index: Of the class.

        Returns:
            "mask" (1, 1, H, W) in [0, 1]; its "area"; probabilities for the "image", and of what it "kept" and what
            without it is left ("removed").
        """
        mask = class_masks(explanandum, method, one.image, [index], self.scaled)
        colour = explanandum.mean_colour
        three = [one.image, composite(one.image, mask, colour), composite(one.image, 1 - mask, colour)]
        with torch.no_grad():
            said = explanandum.probabilities(explanandum(torch.cat(three)).float())[:, index]
        return {"mask": mask, "area": mask.mean(), "image": said[0], "kept": said[1], "removed": said[2]}


def kind_of(labelled: bool, predicted: bool) -> str | None:
    """Name a decision; None where nothing is labelled and nothing predicted.

    Example:
        >>> [kind_of(*pair) for pair in ((True, True), (False, True), (True, False), (False, False))]
        ['true positive', 'false positive', 'false negative', None]
    """
    if labelled:
        return "true positive" if predicted else "false negative"
    return "false positive" if predicted else None


def examples(rows: Sequence[Mapping[str, Any]], count: int) -> list[str]:
    """Choose images to draw: the first that have a class of each kind.

    Args:
        rows: Of a `Store`.
        count: Of images of each kind, at most.

    Returns:
        Ids, each once.

    Example:
        >>> rows = [{"id": str(n), "decisions": [{"kind": "false positive"}]} for n in range(3)]
        >>> examples(rows, 2)
        ['0', '1']
    """
    chosen: dict[str, None] = {}
    for kind in KINDS:
        own = dict.fromkeys(r["id"] for r in rows if any(e["kind"] == kind for e in r.get("decisions", [])))
        chosen |= dict.fromkeys([*own][:count])
    return [*chosen]


def decision_results(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Means over images and classes.

    Args:
        rows: Of a `Store`; those with "decisions" count.

    Returns:
        Method → kind → "pairs" of image and class, and the means of area, image, kept and removed.

    Example:
        >>> entry = {"class": "cat", "kind": "false positive", "area": 0.5, "image": 0.75, "kept": 0.5, "removed": 0.25}
        >>> decision_results([{"method": "a", "decisions": [entry]}])["a"]["false positive"]["kept"]
        0.5
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for method in dict.fromkeys(row["method"] for row in rows if "decisions" in row):
        entries = [entry for row in rows if row["method"] == method for entry in row.get("decisions", [])]
        found[method] = {}
        for kind in KINDS:
            own = [entry for entry in entries if entry["kind"] == kind]
            if own:
                means = {key: sum(e[key] for e in own) / len(own) for key in ("area", "image", "kept", "removed")}
                found[method][kind] = {"pairs": len(own)} | means
    return found


def decision_table(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> tuple[Table, str]:
    """The results as a table: for the terminal, and in Markdown.

    Args:
        found: Of `decision_results`.

    Returns:
        A line for each method and kind.

    Example:
        >>> entry = {"pairs": 2, "area": 0.5, "image": 0.75, "kept": 0.5, "removed": 0.25}
        >>> print(decision_table({"a": {"false positive": entry}})[1].splitlines()[2])
        | a, false positive | 2 | 0.500 | 0.750 | 0.500 | 0.250 |
    """
    header = ["masks of classes", "pairs", "area", "probability", "seen through the mask", "through its complement"]
    cells = []
    for method, kinds in found.items():
        for kind, entry in kinds.items():
            values = [number(entry[key]) for key in ("area", "image", "kept", "removed")]
            cells.append([f"{method}, {kind}", str(entry["pairs"]), *values])
    return two_forms("Masks of right and of wrong decisions", header, cells)


def decision_gallery(
    decisions: Decisions, explanandum: Explanandum, methods: Mapping[str, Attribution], batch: Batch, count: int
) -> Image.Image | None:
    """Draw examples of each kind: the image, and each method's mask of the class in question.

    Args:
        decisions: Sorts the classes.
        explanandum: The frozen classifier, on the batch's device.
        methods: Name → method.
        batch: The images to choose from.
        count: Of examples of each kind, at most.

    Returns:
        The picture, a row an example; None where there is none, or no method to show.
    """
    kinds = decisions.kinds(explanandum, batch)
    methods = {name: method for name, method in methods.items() if not isinstance(method, Reference)}
    rows = []
    for kind in KINDS:
        examples = [(n, index) for n, chosen in enumerate(kinds) for index, own in chosen if own == kind][:count]
        for n, index in examples:
            one, name = part(batch, [n]), explanandum.classes[index]
            seen = {method: decisions.seen(explanandum, unit, one, index) for method, unit in methods.items()}
            said = next(iter(seen.values()))["image"] if seen else torch.nan
            row = [Tile(to_pil(one.image[0]), f"{SHORT[kind]}: {name} {float(said):.2f}")]
            for own in seen.values():
                words = f"kept {float(own['kept']):.2f}, without {float(own['removed']):.2f}"
                row.append(Tile(overlay(one.image[0], own["mask"][0]), words))
            rows.append(row)
    return gallery(rows, header=["image", *methods]) if rows and methods else None
