"""What masks show of right and of wrong decisions, as a table and a picture."""

import math
from collections.abc import Mapping, Sequence

from PIL import Image

from explainer.attribution import Attribution, Reference
from explainer.data import Batch
from explainer.evaluation.batches import part
from explainer.evaluation.report.numbers import number
from explainer.evaluation.report.table import Heading, Table, text_row
from explainer.evaluation.results.content import DecisionMeans
from explainer.evaluation.scoring.decisions import KINDS, Decisions
from explainer.networks import Explanandum
from explainer.rendering import Tile, gallery, overlay, to_pil

SHORT = dict(zip(KINDS, ("TP", "FP", "FN"), strict=True))
"""As they stand under pictures, where there is little room."""


def decision_table(results: Mapping[str, Mapping[str, DecisionMeans]]) -> Table:
    """Return the results as a table, a row for each method and kind of decision.

    Args:
        results: Method → kind → results, as `decision_results` returns them.

    Example:
        >>> entry = {"pairs": 2, "area": 0.5, "image": 0.75, "kept": 0.5, "removed": 0.25}
        >>> [cell.text for cell in decision_table({"a": {"false positive": entry}}).rows[0].cells]
        ['2', '0.500', '0.750', '0.500', '0.250']
    """
    labels = ("pairs", "area", "probability", "seen through the mask", "through its complement")
    rows = []
    for method, kinds in results.items():
        for kind, entry in kinds.items():
            means = (entry["area"], entry["image"], entry["kept"], entry["removed"])
            texts = [str(entry["pairs"]), *(number(mean) for mean in means)]
            rows.append(text_row(f"{method}, {kind}", texts))
    columns = [Heading(label) for label in labels]
    return Table("Masks of right and of wrong decisions", "masks of classes", columns, rows)


def decision_gallery(
    decisions: Decisions,
    explanandum: Explanandum,
    methods: Mapping[str, Attribution],
    batch: Batch,
    count: int,
) -> Image.Image | None:
    """Draw examples of each kind: the image, and each method's mask of the class in question.

    Args:
        decisions: Sorter of classes by kind.
        explanandum: Frozen classifier, on the batch's device.
        methods: Name → method.
        batch: Images to choose from.
        count: Number of examples of each kind, at most.

    Returns:
        The picture, a row an example; None where there is none, or no method to show.
    """
    classes = decisions.kinds(explanandum, batch)
    shown = {name: method for name, method in methods.items() if not isinstance(method, Reference)}
    rows = []
    for kind in KINDS:
        for n, index in _examples(classes, kind)[:count]:
            one = part(batch, [n])
            views = [decisions.view(explanandum, method, one, index) for method in shown.values()]
            # the same for every method, for none of them changes the image
            probability = views[0].image if views else math.nan
            caption = f"{SHORT[kind]}: {explanandum.classes[index]} {probability:.2f}"
            row = [Tile(to_pil(one.image[0]), caption)]
            for view in views:
                words = f"kept {view.keeping:.2f}, without {view.removing:.2f}"
                picture = overlay(one.image[0], view.mask[0])
                row.append(Tile(picture, words))
            rows.append(row)
    if not rows or not shown:
        return None
    return gallery(rows, header=["image", *shown])


def _examples(classes: Sequence[Sequence[tuple[int, str]]], kind: str) -> list[tuple[int, int]]:
    """Return image and class of every decision of a kind."""
    examples = []
    for n, decisions in enumerate(classes):
        examples += [(n, index) for index, own_kind in decisions if own_kind == kind]
    return examples
